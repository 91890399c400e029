"""Small statistics and answers for tests of what carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load, save

from transplant.artifact.digest import sha256_hex
from transplant.artifact.limits import DEFAULT_LIMITS
from transplant.artifact.manifest_fields import DISCLOSED_DTYPES
from transplant.artifact.safetensors_header import parse_header
from transplant.datafree.feature_statistics import collect_statistics
from transplant.datafree.probe import answer_probe
from transplant.datafree.procedural_images import GENERATOR_ID, procedural_images
from transplant.nets.architectures import build
from transplant.nets.disclosures import ProbeRequest
from transplant.types import Disclosure, ModuleKind, Task

if TYPE_CHECKING:
    from torch import nn

    from transplant.artifact.manifest import Manifest
    from transplant.nets.disclosures import DisclosedStatistics, ProbeAnswers
    from transplant.types import Architecture


def net(architecture: Architecture, kind: ModuleKind, task: Task | None = None, seed: int = 0) -> nn.Module:
    """Return a module with seeded random weights, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(architecture, kind, task).eval()


def statistics_of(
    category_module: nn.Module, level: Disclosure = Disclosure.MOMENTS, directions: int = 4
) -> DisclosedStatistics:
    """Return statistics over procedural images of which every second one counts as the category's."""
    images = procedural_images(256, 32, 11)
    labels = (torch.arange(256) % 2).to(torch.uint8)
    batches = zip(images.split(64), labels.split(64), strict=True)
    return collect_statistics(category_module, batches, level, directions=directions)


def request_of(task: Task = Task.CLASSIFICATION, **changes: int | str) -> ProbeRequest:
    """Return a small request."""
    grid = 4 if task is Task.SEGMENTATION else 1
    numbers = {"seed": 5, "pool": 192, "count": 48, "image_px": 32, "drawings_percent": 50, "grid": grid}
    return ProbeRequest(**{"generator": GENERATOR_ID, **numbers, **changes, "task": task})  # type: ignore[arg-type]


def answers_of(architecture: Architecture, request: ProbeRequest, seed: int = 0) -> ProbeAnswers:
    """Return what a random teacher answers."""
    f = net(architecture, ModuleKind.CATEGORY, seed=seed)
    return answer_probe(request, f, net(architecture, ModuleKind.TASK, request.task, seed + 1))


def tensors_of(origin: tuple[Manifest, bytes]) -> dict[str, torch.Tensor]:
    return load(origin[1])


def resealed(origin: tuple[Manifest, bytes], changes: dict[str, Any]) -> tuple[Manifest, bytes]:
    """Return an artifact with other tensors and an honest manifest about them."""
    payload = save(tensors_of(origin) | changes)
    header = int.from_bytes(payload[:8], "little")
    specs = parse_header(payload[8 : 8 + header], len(payload) - 8 - header, DEFAULT_LIMITS, DISCLOSED_DTYPES)
    update = {"tensors": specs, "payload_bytes": len(payload), "payload_sha256": sha256_hex(payload)}
    return origin[0].model_copy(update=update), payload
