"""The proof that a new version forgets nothing: bytes of every kept module, logits of every kept route.

What is compared, for everything that stays:

- bytes: what each module's id promises, with a sha256 of the bytes that the store gives now;
- logits: what each route answered to a fixed probe batch before, assembled by itself, with what it answers
  in the new version. A route that this process asked before is not asked again for every publication: its
  modules' bytes are the same (they were just compared), so its answer is, and the digest is taken from
  `central.merge.known_answers`. Those never asked before are asked twice, alone and in the new version; a
  few of the others are asked anew in the new version, in turns. A newcomer was asked when it was checked
  as a candidate;
- the record: every digest with the one recorded when the route was published, by whatever process: a route
  that comes back is held to that, too.

Every sha256 must be equal.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from central.merge.known_answers import KnownAnswers
from central.registry.values import Comparison
from transplant.artifact.digest import sha256_file, sha256_hex
from transplant.datafree.procedural_images import procedural_images
from transplant.errors import ForgettingDetected, RegistryDamaged, TensorNotFinite
from transplant.nets.architecture_table import image_px
from transplant.nets.transplant_net import TransplantNet
from transplant.types import NetVersion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from transplant.artifact.manifest import Manifest
    from transplant.types import Architecture, Route

PROBE_IMAGES = 8
PROBE_SEED = 20190106
_LONGEST = 255


class Shelf(Protocol):
    """Where modules come from."""

    def manifest(self, module_id: str) -> Manifest:
        """Return a module's manifest."""
        ...

    def payload_sha256(self, module_id: str) -> str:
        """Return the digest of its payload, as its id promises it."""
        ...

    def path(self, module_id: str) -> Path:
        """Return the file of its payload."""
        ...

    def load(self, module_id: str) -> nn.Module:
        """Return the module, verified."""
        ...


@dataclass(frozen=True)
class ForgettingProof:
    """What was compared, and the new version's logit digests by merge key."""

    comparisons: tuple[Comparison, ...]
    numerics: str
    digests: Mapping[str, str]

    def compare_with_record(self, recorded: Mapping[str, str]) -> None:
        """Compare with the digests that earlier publications recorded.

        Args:
            recorded: merge key -> digest, of machines with the same numerics.

        Raises:
            ForgettingDetected: if a route answers otherwise than when it was published.
        """
        for merge_key, before in recorded.items():
            if self.digests.get(merge_key, before) != before:
                raise ForgettingDetected(
                    f"the route of merge {merge_key[:12]} answers otherwise than when it was published"
                )


def check_forgetting(
    base: NetVersion | None, version: NetVersion, shelf: Shelf, known: KnownAnswers | None = None
) -> ForgettingProof:
    """Compare everything of `base` that `version` keeps with the same thing in `version`.

    Args:
        base: the newest version, if there is one.
        version: its successor.
        shelf: where modules come from.
        known: what this process remembers; None: nothing, every route is asked.

    Raises:
        ForgettingDetected: if one module's bytes or one route's logits differ.
        RegistryDamaged: if a module cannot be read.
    """
    known = KnownAnswers() if known is None else known
    kept, here = kept_routes(base, version), numerics()
    before = {f"module {module_id}": shelf.payload_sha256(module_id) for module_id in kept.module_ids()}
    after = {f"module {module_id}": _payload_digest(shelf, module_id) for module_id in version.module_ids()}
    old = known.known(kept.routes, here)
    unknown = tuple(route for route in kept.routes if route.merge_key not in old)
    again = known.to_ask_again([route for route in kept.routes if route.merge_key in old])
    keys = {route.merge_key for route in kept.routes}
    newcomers = [route for route in version.routes if route.merge_key not in keys]
    checked = known.known(newcomers, here)
    fresh = tuple(route for route in newcomers if route.merge_key not in checked)
    old |= _logits(_only(kept, unknown), shelf)
    new = old | checked | _logits(_only(version, (*unknown, *again, *fresh)), shelf)
    before |= {_name(route): old[route.merge_key] for route in kept.routes}
    after |= {_name(route): new[route.merge_key] for route in version.routes}
    for subject, digest in before.items():
        if after.get(subject) != digest:
            raise ForgettingDetected(
                f"{subject}: {digest[:12]} would become {after.get(subject, 'lost')[:12]}"
            )
    known.remember(version.routes, new, here)
    comparisons = tuple(Comparison(subject, digest, after[subject]) for subject, digest in before.items())
    return ForgettingProof(comparisons, here, new)


def kept_routes(base: NetVersion | None, version: NetVersion) -> NetVersion:
    """Return `base` without the routes that `version` does not have."""
    if base is None:
        return NetVersion(0, None, ())
    keys = {route.merge_key for route in version.routes}
    return NetVersion(
        base.number, base.parent_digest, tuple(route for route in base.routes if route.merge_key in keys)
    )


def check_answers(route: Route, shelf: Shelf, known: KnownAnswers | None = None) -> None:
    """Check that a candidate route, assembled from the store, gives finite logits.

    Args:
        route: the candidate.
        shelf: where modules come from.
        known: is told what it answered.

    Raises:
        TensorNotFinite: if it does not.
    """
    logits = _answers(NetVersion(1, None, (route,)), shelf)[route.merge_key]
    if not torch.isfinite(logits).all():
        raise TensorNotFinite("the candidate route answers ordinary images with numbers that are not finite")
    if known is not None:
        known.note(route, _digest(logits), numerics())


def numerics() -> str:
    """Name what decides the last bits of a float: two machines that differ here may round otherwise.

    The processor's model is part of it: the libraries behind torch choose their kernels and the size of
    their blocks by it, so a center that moved to another machine must not be held to the old one's bits.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    told = f"torch {torch.__version__} {platform.machine()} {capability} threads {torch.get_num_threads()}"
    return f"{told} {processor()}"[:_LONGEST]


@cache
def processor() -> str:
    """Return the processor's model as the operating system calls it; "" where it does not say."""
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text("utf-8", "replace"), re.M)
    except OSError:
        found = None
    return platform.processor() if found is None else found[1].strip()


def _answers(version: NetVersion, shelf: Shelf) -> dict[str, Tensor]:
    """Return merge key -> logits of every route of a version on the probe batch."""
    net = TransplantNet(version, {module_id: shelf.load(module_id) for module_id in version.module_ids()})
    with torch.inference_mode():
        return {
            route.merge_key: net.assemble(route)(_probe(image_px(_architecture(shelf, route))))
            for route in version.routes
        }


def _logits(version: NetVersion, shelf: Shelf) -> dict[str, str]:
    return {merge_key: _digest(logits) for merge_key, logits in _answers(version, shelf).items()}


def _digest(logits: Tensor) -> str:
    return sha256_hex(logits.contiguous().numpy().tobytes())


def _only(version: NetVersion, routes: tuple[Route, ...]) -> NetVersion:
    return replace(version, routes=routes)


def _payload_digest(shelf: Shelf, module_id: str) -> str:
    digest = sha256_file(shelf.path(module_id))
    if digest != shelf.payload_sha256(module_id):
        raise RegistryDamaged(f"the store holds other bytes for module {module_id[:12]}")
    return digest


def _architecture(shelf: Shelf, route: Route) -> Architecture:
    return shelf.manifest(route.category_module).architecture.to_type()


def _name(route: Route) -> str:
    return f"route {route.category}/{route.task.value}"


@lru_cache(maxsize=8)
def _probe(side: int) -> Tensor:
    return procedural_images(PROBE_IMAGES, side, PROBE_SEED).float() / 255.0
