"""What the sites ship: tiny nets of random weights, sealed by the real code, and endless variants of them.

The templates are built once, by the driver. A site makes its k-th module from them by writing another number
into one weight and into the manifest's seed: nothing is trained, and the same k gives the same bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from transplant.artifact.codec import read_manifest, seal, write_artifact
from transplant.artifact.digest import sha256_hex
from transplant.artifact.manifest import TrainingRecord
from transplant.nets.architectures import build
from transplant.types import Architecture, ModuleKind, Task

if TYPE_CHECKING:
    from pathlib import Path

    from transplant.artifact.manifest import Manifest

TASKS = (Task.CLASSIFICATION, Task.SEGMENTATION)
GHOSTS = 1_000_000
"""Numbers from here on belong to modules that are never committed, or not after their parent."""


def architecture_of(hidden: int, image_px: int = 32) -> Architecture:
    """Return a `vgg_small`: g has about 4 KiB for each of `hidden` at 32 px, 32 KiB at 64 px; f has 1 KiB."""
    widths = (8, 8) if hidden < 16 else (8, 2 * image_px)
    return Architecture(
        "vgg_small",
        (("image_px", (image_px,)), ("channels", (4,)), ("widths", widths), ("hidden", (hidden,))),
    )


@dataclass(frozen=True)
class Template:
    """A sealed module that others are made from."""

    manifest: Manifest
    payload: bytes

    def variant(self, number: int, weight: int | None = None, parent: str | None = None) -> Template:
        """Return another module.

        Args:
            number: distinguishes its manifest.
            weight: distinguishes its payload; default: `number`. Two variants of one weight share a payload.
            parent: another category module than the template's.
        """
        start = 8 + int.from_bytes(self.payload[:8], "little")
        told = struct.pack("<f", 1e-6 * ((number if weight is None else weight) + 1))
        payload = self.payload[:start] + told + self.payload[start + 4 :]
        changes: dict[str, object] = {
            "payload_sha256": sha256_hex(payload),
            "training": self.manifest.training.model_copy(update={"seed": number}),
        }
        if parent is not None:
            changes["parents"] = (parent,)
        return Template(self.manifest.model_copy(update=changes), payload)


@dataclass(frozen=True)
class Stock:
    """The templates of one site: a category module and its task modules, in the order of `TASKS`."""

    f: Template
    g: tuple[Template, ...]

    def nth(self, number: int, spread: int) -> Template:
        """Return the site's module of a number: the teacher's own first, then variants of its task modules.

        Every third variant has the same payload at all sites of a size; the others are the site's own, by
        `spread`.
        """
        own = (self.f, *self.g)
        if number < len(own):
            return own[number]
        return self.g[number % len(self.g)].variant(number, number if number % 3 == 0 else number + spread)

    def ghosts(self) -> tuple[Template, Template]:
        """Return a category module that is never sent, and a task module on it, which thus is never kept."""
        f = self.f.variant(GHOSTS)
        return f, self.g[0].variant(GHOSTS + 1, parent=f.manifest.module_id)


def make_stock(site: str, category: str, hidden: int, image_px: int = 32) -> Stock:
    """Build and seal the templates of a site. Equal sizes give equal weights, as copied models would have."""
    torch.manual_seed(hidden)
    architecture = architecture_of(hidden, image_px)

    def sealed(kind: ModuleKind, task: Task | None, parents: tuple[str, ...]) -> Template:
        made = seal(
            build(architecture, kind, task),
            site=site,
            category=category,
            kind=kind,
            task=task,
            architecture=architecture,
            metrics={"error": 5.0},
            training=TrainingRecord(sample_count=100, raw_bytes=1 << 20, seed=0, epochs=1),
            parents=parents,
        )
        return Template(*made)

    f = sealed(ModuleKind.CATEGORY, None, ())
    return Stock(f, tuple(sealed(ModuleKind.TASK, task, (f.manifest.module_id,)) for task in TASKS))


def write_stock(stock: Stock, folder: Path) -> None:
    """Write the templates where `read_stock` finds them."""
    for name, template in zip(("f", *TASKS), (stock.f, *stock.g), strict=True):
        write_artifact(folder / name, template.manifest, template.payload)


def read_stock(folder: Path) -> Stock:
    """Return the templates of a folder."""
    f, *g = (_read(folder / name) for name in ("f", *TASKS))
    return Stock(f, tuple(g))


def _read(folder: Path) -> Template:
    (path,) = folder.glob("*.json")
    return Template(read_manifest(path), path.with_suffix(".safetensors").read_bytes())
