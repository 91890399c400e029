"""A net that lends: read from a file of ours, pulled from the catalog, or one of torchvision's.

A category of the catalog lends its category module; where answers are what is borrowed, its whole
classification route. Whatever it is, the licence of use of each site whose module is in it is asked first: a
module whose manifest forbids transfer is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save
from torch import nn

from edge.pull import fetch, pull_version
from edge.seal import payload_path
from transplant.artifact.codec import load_module, read_manifest
from transplant.artifact.digest import sha256_hex
from transplant.errors import InvalidSettings, NotFound, TransferForbidden, TransferNotPossible
from transplant.nets.architecture_table import image_px
from transplant.nets.category_module import Normalize
from transplant.nets.torchvision_ops import ensure_torchvision_ops
from transplant.nets.transplant_net import freeze
from transplant.transfer.tapped_net import Tap, TappedNet, pool_inputs
from transplant.types import ModuleKind, Task, checked_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.site_home import SiteHome
    from transplant.artifact.manifest import Manifest
    from transplant.rpc.client import CentralClient
    from transplant.types import Route

_CATALOG, _TORCHVISION = "catalog:", "torchvision:"
_PUBLIC = ("resnet18", "resnet34", "vgg16")
_IMAGENET = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, eq=False)
class Lender:
    """A frozen net that a teacher may learn from.

    Args:
        name: as the person said it.
        digests: module ids, or the digest of public weights: what the teacher's manifest names as parents.
        net: images in [0, 1] -> features and answers.
        chain: the net's own layers with weights, lowest first.
        answers: whether it answers questions; a category module alone gives features only.
        image_px: side of the images that its answers are about; None: of any.
    """

    name: str
    digests: tuple[str, ...]
    net: TappedNet
    chain: tuple[nn.Module, ...]
    answers: bool
    image_px: int | None = None


def open_lender(
    text: str,
    site: str | None,
    home: SiteHome,
    client: Callable[[], CentralClient],
    *,
    for_answers: bool = False,
) -> Lender:
    """Open what `--from` names.

    Args:
        text: `catalog:CATEGORY/VERSION`, `torchvision:NAME`, or a manifest or payload of our codec.
        site: who asks; a site may always learn from its own modules.
        home: where pulled modules are cached.
        client: opens a connection, if one is needed.
        for_answers: whether class answers are what is borrowed: then a category of the catalog lends its
            whole classification route, else its category module alone.

    Raises:
        InvalidSettings: if the text is none of these.
        NotFound: if there is no such version, category or file.
        TransferNotPossible: if answers are wanted, and the category has no classification route.
        TransferForbidden: if the module's site does not allow it.
        ArtifactRejected: if a module is not what its manifest says.
    """
    if text.startswith(_CATALOG):
        return _from_catalog(text, site, home, client, for_answers=for_answers)
    if text.startswith(_TORCHVISION):
        return _from_torchvision(text.removeprefix(_TORCHVISION))
    path = Path(text)
    if path.suffix not in (".json", ".safetensors"):
        raise InvalidSettings(
            f"--from {text}: take catalog:CATEGORY/VERSION, torchvision:{'|'.join(_PUBLIC)}, or the .json or "
            ".safetensors of a sealed module"
        )
    return _from_files(text, path.parent, path.stem, site)


def _from_catalog(
    text: str, site: str | None, home: SiteHome, client: Callable[[], CentralClient], *, for_answers: bool
) -> Lender:
    category, _, number = text.removeprefix(_CATALOG).partition("/")
    checked_name("category", category)
    if not number.isdecimal():
        raise InvalidSettings(f"--from {text}: say which version of the net, as in catalog:{category}/1")
    with client() as center:
        version = pull_version(center, home, int(number))
        found = [route for route in version.routes if route.category == category]
        if not found:
            known = ", ".join(sorted({route.category for route in version.routes}))
            raise NotFound(
                f"version {version.number} of the net has no category {category!r}: it has {known}"
            )
        module_ids = _of_route(text, found) if for_answers else (found[0].category_module,)
        for module_id in module_ids:
            fetch(center, home, module_id)
    folders = [
        home.modules if (home.modules / f"{each}.json").is_file() else home.sealed for each in module_ids
    ]
    parts = [(each, _manifest(each, name)) for each, name in zip(folders, module_ids, strict=True)]
    return _lent(text, parts, site)


def _of_route(name: str, routes: Sequence[Route]) -> tuple[str, ...]:
    """Return the modules of the route that gives class answers, in the order of a pass."""
    for route in routes:
        if route.task is Task.CLASSIFICATION:
            adapter = () if route.adapter is None else (route.adapter,)
            return (route.category_module, *adapter, route.task_module)
    raise TransferNotPossible(
        f"{name} is not classified in that version, and --transfer lwf learns from class answers: take l2t, "
        "at or fm"
    )


def _from_files(name: str, folder: Path, module_id: str, site: str | None) -> Lender:
    """Open a category module, or a task module with the category module that it was trained on beside it."""
    manifest = _manifest(folder, module_id)
    manifests = [manifest]
    if manifest.kind is ModuleKind.TASK:
        manifests.insert(0, _manifest(folder, manifest.parents[0]))
    elif manifest.kind is not ModuleKind.CATEGORY:
        raise TransferNotPossible(
            f"--from {name} is a module of {manifest.kind}: a category or a task module lends"
        )
    return _lent(name, [(folder, each) for each in manifests], site)


def _lent(name: str, modules: Sequence[tuple[Path, Manifest]], site: str | None) -> Lender:
    """Load the modules of a net, f first, unless a site forbids it."""
    for _, each in modules:
        if each.transfer_forbidden and each.site != site:
            raise TransferForbidden(
                f"site {each.site} does not allow that other sites learn from its {each.kind} module of "
                f"{each.category} ({each.module_id[:12]}): choose another --from, or ask that site"
            )
    parts = [freeze(load_module(each, payload_path(folder, each.module_id))) for folder, each in modules]
    digests = tuple(each.module_id for _, each in modules)
    return lender_of(name, digests, parts, image_px(modules[0][1].architecture.to_type()))


def lender_of(name: str, digests: tuple[str, ...], parts: list[nn.Module], side: int) -> Lender:
    """Return what frozen modules lend: f alone, or all from f to a task module; `side` of f's images."""
    net = nn.Sequential(*parts)
    return Lender(name, digests, TappedNet(net, pool_inputs(net)).eval(), _chain(net), len(parts) > 1, side)


def _manifest(folder: Path, module_id: str) -> Manifest:
    path = folder / f"{module_id}.json"
    if not path.is_file():
        raise NotFound(f"no manifest {path}: a module lends with its manifest and its payload side by side")
    return read_manifest(path)


def _from_torchvision(name: str) -> Lender:
    """Open a public net with its ImageNet weights; torchvision downloads them, or has them cached."""
    if name not in _PUBLIC:
        raise InvalidSettings(f"--from torchvision:{name}: take one of {', '.join(_PUBLIC)}")
    ensure_torchvision_ops()
    from torchvision.models import get_model  # pyright: ignore[reportMissingTypeStubs]

    public = freeze(get_model(name, weights="IMAGENET1K_V1"))
    weights = {key: tensor.contiguous() for key, tensor in public.state_dict().items()}
    net = nn.Sequential(OrderedDict(normalize=_IMAGENET, net=public))
    taps = pool_inputs(net) if name == "vgg16" else [Tap(f"net.layer{group}") for group in (1, 2, 3, 4)]
    return Lender(
        f"{_TORCHVISION}{name}",
        (sha256_hex(save(weights)),),
        TappedNet(net, taps).eval(),
        _chain(public),
        True,
    )


def _chain(net: nn.Module) -> tuple[nn.Module, ...]:
    return tuple(layer for layer in net.modules() if any(True for _ in layer.parameters(recurse=False)))
