"""Proof that nothing learned is ever lost: what was published stays, byte for byte and bit for bit.

A witness with a reader's certificate downloads each version as soon as it is published, and all of them
once more at the end. Of every module it notes the sha256 of the received bytes, of every route the sha256
of its logits on one fixed procedural batch. Two notes of one route may never differ.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from transplant.artifact.codec import load_module
from transplant.artifact.digest import sha256_file
from transplant.artifact.net_document import net_digest
from transplant.datafree.procedural_images import procedural_images
from transplant.nets.architecture_table import image_px
from transplant.nets.measures import as_images
from transplant.nets.transplant_net import TransplantNet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from transplant.artifact.manifest import Manifest
    from transplant.types import NetVersion

FINAL = "final"
"""Folder, below the witness's own, of all modules as they were downloaded at the end."""

_PROBE_IMAGES = 32
_PROBE_SEED = 1901_06978


class CatalogReader(Protocol):
    """What the witness needs of a connection to the center."""

    def list_versions(self, after: int = 0) -> Sequence[NetVersion]:
        """Return the published versions with a number above `after`, in order."""
        ...

    def get_manifest(self, module_id: str) -> Manifest:
        """Return a module's manifest."""
        ...

    def download(self, module_id: str, directory: Path) -> Path:
        """Download a module into `directory` and return the path of its payload."""
        ...


@dataclass(frozen=True)
class Sighting:
    """One version as it was received at one moment."""

    number: int
    digest: str
    modules: Mapping[str, str]  # module id -> sha256 of the payload's bytes
    routes: Mapping[str, str]  # "category/task" -> sha256 of the logits' bytes
    wiring: Mapping[str, str]  # "category/task" -> the three module ids


class Witness:
    """Sees versions and remembers them in `directory/sightings.jsonl`."""

    def __init__(self, catalog: CatalogReader, directory: Path) -> None:
        self._catalog = catalog
        self.directory = directory
        self._file = directory / "sightings.jsonl"
        directory.mkdir(parents=True, exist_ok=True)
        self.sightings = [
            Sighting(**json.loads(line)) for line in self._file.read_text(encoding="utf-8").splitlines()
        ] if self._file.is_file() else []  # fmt: skip

    def newest(self) -> int:
        """Return the number of the newest version seen, 0 before the first."""
        return max((sighting.number for sighting in self.sightings), default=0)

    def see_new(self) -> list[NetVersion]:
        """Download and note every version that was published since the last look."""
        fresh = list(self._catalog.list_versions(self.newest()))
        for version in fresh:
            self._see(version, f"published-{version.number}")
        return fresh

    def see_all_again(self) -> list[NetVersion]:
        """Download every module once more, from nothing, and note all versions as built from these."""
        shutil.rmtree(self.directory / FINAL, ignore_errors=True)  # of an interrupted run
        versions = list(self._catalog.list_versions(0))
        for version in versions:
            self._see(version, FINAL)
        return versions

    def _see(self, version: NetVersion, folder: str) -> None:
        directory = self.directory / folder
        directory.mkdir(parents=True, exist_ok=True)
        modules: dict[str, nn.Module] = {}
        hashes: dict[str, str] = {}
        manifests: dict[str, Manifest] = {}
        for module_id in version.module_ids():
            manifest = self._catalog.get_manifest(module_id)
            path = self._catalog.download(module_id, directory)
            hashes[module_id] = sha256_file(path)
            modules[module_id] = load_module(manifest, path)
            manifests[module_id] = manifest
        net = TransplantNet(version, modules)
        logits: dict[str, str] = {}
        for route in version.routes:
            side = image_px(manifests[route.category_module].architecture.to_type())
            logits[f"{route.category}/{route.task}"] = _hash_of(net.assemble(route), probe(side))
        wiring = {
            f"{route.category}/{route.task}": " -> ".join(
                (route.category_module, route.adapter or "identity", route.task_module)
            )
            for route in version.routes
        }
        self._note(Sighting(version.number, net_digest(version), hashes, logits, wiring))

    def _note(self, sighting: Sighting) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(sighting)) + "\n")
        self.sightings.append(sighting)


@cache
def probe(side_px: int) -> Tensor:
    """Return the batch, float32 (B,3,side,side), that every route of every version must answer alike."""
    return as_images(procedural_images(_PROBE_IMAGES, side_px, _PROBE_SEED))


def differences(sightings: Sequence[Sighting]) -> list[str]:
    """Compare all sightings with each other and return what changed; empty is the proof.

    A version may never look different a second time, and a later version must hold every earlier route,
    through the same modules, with the same bytes and the same logits.
    """
    found: list[str] = []
    digests: dict[int, str] = {}
    modules: dict[str, str] = {}
    routes: dict[str, tuple[str, str]] = {}
    for sighting in sorted(sightings, key=lambda each: each.number):
        if digests.setdefault(sighting.number, sighting.digest) != sighting.digest:
            found.append(f"version {sighting.number} has another document than when it was published")
        for module_id, digest in sighting.modules.items():
            if modules.setdefault(module_id, digest) != digest:
                found.append(f"module {module_id[:12]} has other bytes in version {sighting.number}")
        for name, logits in sighting.routes.items():
            was = routes.setdefault(name, (sighting.wiring[name], logits))
            if was[0] != sighting.wiring[name]:
                found.append(f"route {name} goes through other modules in version {sighting.number}")
            if was[1] != logits:
                found.append(f"route {name} gives other logits in version {sighting.number}")
        found += [
            f"route {name} is gone in version {sighting.number}"
            for name in routes
            if name not in sighting.routes
        ]
    return found


@torch.no_grad()
def _hash_of(net: nn.Module, images: Tensor) -> str:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a sum over several threads is not reproducible
    try:
        logits = net(images).contiguous()
    finally:
        torch.set_num_threads(threads)
    return hashlib.sha256(logits.numpy().tobytes()).hexdigest()
