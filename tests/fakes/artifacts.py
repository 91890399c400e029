"""Small sealed modules for tests of what carries them."""

from __future__ import annotations

import torch

from transplant.artifact.codec import seal
from transplant.artifact.encoding import Encoding
from transplant.artifact.manifest import Manifest, TrainingRecord
from transplant.nets.architecture_table import DEFAULT, adapter_architecture
from transplant.nets.architectures import build
from transplant.types import Architecture, ModuleKind, Task

ARCHITECTURE = DEFAULT["vgg_small"]
TINY = Architecture(
    "vgg_small", (("image_px", (32,)), ("channels", (4,)), ("widths", (8, 8)), ("hidden", (8,)))
)


def sealed(
    kind: ModuleKind = ModuleKind.CATEGORY,
    task: Task | None = None,
    architecture: Architecture = TINY,
    seed: int = 0,
    parents: tuple[str, ...] = (),
    site: str = "site-a",
    category: str = "dog",
    encoding: Encoding = Encoding.F32,
    transfer_forbidden: bool = False,
    metrics: dict[str, float] | None = None,
) -> tuple[Manifest, bytes]:
    """Return a sealed module with seeded random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build(architecture, kind, task)
    return seal(
        net,
        site=site,
        category=category,
        kind=kind,
        task=task,
        architecture=architecture,
        metrics={"error": 3.25} if metrics is None else metrics,
        training=TrainingRecord(sample_count=120, raw_bytes=368_640, seed=seed, epochs=2),
        parents=parents,
        encoding=encoding,
        transfer_forbidden=transfer_forbidden,
    )


def sealed_task(
    architecture: Architecture = ARCHITECTURE, seed: int = 0, encoding: Encoding = Encoding.F32
) -> tuple[Manifest, bytes]:
    """Return a task module of a few chunks."""
    return sealed(
        ModuleKind.TASK, Task.CLASSIFICATION, architecture, seed, parents=("a" * 64,), encoding=encoding
    )


def sealed_adapter() -> tuple[Manifest, bytes]:
    """Return an adapter."""
    return sealed(
        ModuleKind.ADAPTER, Task.SEGMENTATION, adapter_architecture(4, 4, 2, 3, [3, 2, 1, 0]), site="center"
    )
