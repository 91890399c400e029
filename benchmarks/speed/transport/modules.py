"""A module of about the wanted size, sealed; and as many others of the same size as a measurement needs."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from transplant.artifact.codec import seal
from transplant.artifact.digest import sha256_file
from transplant.nets.architectures import build
from transplant.types import Architecture, ModuleKind, Task

if TYPE_CHECKING:
    from pathlib import Path

    from transplant.artifact.manifest import Manifest

_VGG16_MIB = 512
CATEGORY = "dog"


@dataclass(frozen=True)
class Modules:
    """Modules of one size: equal but for one weight of the payload, and for what their manifests say.

    `f` and `g` are as they were made first, `f_path` and `path` are their payloads.
    """

    f: Manifest
    f_path: Path
    g: Manifest
    path: Path

    def rewrite(self, number: int) -> Manifest:
        """Write another weight into the task module's payload and return the manifest that describes it."""
        with self.path.open("r+b") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
            file.seek(8 + header_bytes)
            file.write(struct.pack("<f", 1e-3 * (number + 1)))
        return self.of(self.g, number, payload_sha256=sha256_file(self.path))

    def f_of(self, site: str) -> Manifest:
        """Return the category module as another site's."""
        return self.f.model_copy(update={"site": site})

    def of(self, manifest: Manifest, number: int, site: str | None = None, **changes: str) -> Manifest:
        """Return another task module with the same payload: another seed, or another site."""
        site = site or manifest.site
        told: dict[str, object] = {
            "training": manifest.training.model_copy(update={"seed": number}),
            "site": site,
            "parents": (self.f_of(site).module_id,),
        }
        return manifest.model_copy(update=told | changes)


def modules_of(site: str, mib: int, folder: Path) -> Modules:
    """Return a category module, and task modules on it of about `mib` MiB.

    From 512 MiB on it is vgg16's classifier at 224 px, which has that size; below, `vgg_small` at 128 px, as
    wide as it takes.
    """
    architecture = _architecture(mib)
    torch.manual_seed(0)
    f, f_payload = _sealed(site, architecture, None, ())
    g, payload = _sealed(site, architecture, Task.CLASSIFICATION, (f.module_id,))
    return Modules(
        f,
        _written(folder / "category.safetensors", f_payload),
        g,
        _written(folder / "task.safetensors", payload),
    )


def _sealed(
    site: str, architecture: Architecture, task: Task | None, parents: tuple[str, ...]
) -> tuple[Manifest, bytes]:
    kind = ModuleKind.CATEGORY if task is None else ModuleKind.TASK
    return seal(
        build(architecture, kind, task),
        site=site,
        category=CATEGORY,
        kind=kind,
        task=task,
        architecture=architecture,
        parents=parents,
    )


def _architecture(mib: int) -> Architecture:
    if mib >= _VGG16_MIB:
        return Architecture("vgg16", (("image_px", (224,)),))
    hidden = min(1024, max(8, 8 * mib))  # its first layer is 128 x hidden x 16 x 16 float32
    return Architecture(
        "vgg_small", (("image_px", (128,)), ("channels", (32,)), ("widths", (64, 128)), ("hidden", (hidden,)))
    )


def _written(path: Path, payload: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(payload)
    return path
