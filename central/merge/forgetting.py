"""The proof that a new version forgets nothing: bytes of every old module, logits of every old route.

Both are computed from the store, before and after: the old version is assembled by itself and answers
a fixed probe batch; then the new version, with the newcomer's modules in it, answers the same batch.
Every sha256 must be equal, and equal to the one recorded when the route was published.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import torch

from central.registry.values import Comparison
from transplant.artifact.digest import sha256_file, sha256_hex
from transplant.datafree.procedural_images import procedural_images
from transplant.errors import ForgettingDetected, RegistryDamaged, TensorNotFinite
from transplant.nets.architecture_table import image_px
from transplant.nets.transplant_net import TransplantNet
from transplant.types import NetVersion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from transplant.artifact.manifest import Manifest
    from transplant.types import Architecture, Route

PROBE_IMAGES = 8
PROBE_SEED = 20190106


class Shelf(Protocol):
    """Where modules come from."""

    def manifest(self, module_id: str) -> Manifest:
        """Return a module's manifest."""
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


def check_forgetting(base: NetVersion | None, version: NetVersion, shelf: Shelf) -> ForgettingProof:
    """Compare everything in `base` with the same thing in `version`.

    Raises:
        ForgettingDetected: if one module's bytes or one route's logits differ.
        RegistryDamaged: if a module cannot be read.
    """
    old_ids = () if base is None else base.module_ids()
    before = {f"module {module_id}": _payload_digest(shelf, module_id) for module_id in old_ids}
    old_logits = {} if base is None else _logits(base, shelf)
    before |= {_name(route): old_logits[route.merge_key] for route in (() if base is None else base.routes)}
    new_logits = _logits(version, shelf)
    after = {f"module {module_id}": _payload_digest(shelf, module_id) for module_id in version.module_ids()}
    after |= {_name(route): new_logits[route.merge_key] for route in version.routes}
    for subject, digest in before.items():
        if after.get(subject) != digest:
            raise ForgettingDetected(
                f"{subject}: {digest[:12]} would become {after.get(subject, 'lost')[:12]}"
            )
    comparisons = tuple(Comparison(subject, digest, after[subject]) for subject, digest in before.items())
    return ForgettingProof(comparisons, numerics(), new_logits)


def check_answers(route: Route, shelf: Shelf) -> None:
    """Check that a candidate route, assembled from the store, gives finite logits.

    Raises:
        TensorNotFinite: if it does not.
    """
    logits = _answers(NetVersion(1, None, (route,)), shelf)[route.merge_key]
    if not torch.isfinite(logits).all():
        raise TensorNotFinite("the candidate route answers ordinary images with numbers that are not finite")


def numerics() -> str:
    """Name what decides the last bits of a float: two machines that differ here may round otherwise."""
    capability = torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__} {platform.machine()} {capability} threads {torch.get_num_threads()}"


def _answers(version: NetVersion, shelf: Shelf) -> dict[str, Tensor]:
    """Return merge key -> logits of every route of a version on the probe batch."""
    net = TransplantNet(version, {module_id: shelf.load(module_id) for module_id in version.module_ids()})
    with torch.inference_mode():
        return {
            route.merge_key: net.assemble(route)(_probe(image_px(_architecture(shelf, route))))
            for route in version.routes
        }


def _logits(version: NetVersion, shelf: Shelf) -> dict[str, str]:
    return {
        merge_key: sha256_hex(logits.contiguous().numpy().tobytes())
        for merge_key, logits in _answers(version, shelf).items()
    }


def _payload_digest(shelf: Shelf, module_id: str) -> str:
    digest = sha256_file(shelf.path(module_id))
    if digest != shelf.manifest(module_id).payload_sha256:
        raise RegistryDamaged(f"the store holds other bytes for module {module_id[:12]}")
    return digest


def _architecture(shelf: Shelf, route: Route) -> Architecture:
    return shelf.manifest(route.category_module).architecture.to_type()


def _name(route: Route) -> str:
    return f"route {route.category}/{route.task.value}"


@lru_cache(maxsize=8)
def _probe(side: int) -> Tensor:
    return procedural_images(PROBE_IMAGES, side, PROBE_SEED).float() / 255.0
