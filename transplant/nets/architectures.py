"""Build the modules that an architecture of the table describes."""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import nn

from transplant.errors import SeamMismatch, UnknownArchitecture
from transplant.nets.adapter import Adapter
from transplant.nets.architecture_table import checked_architecture, image_px, seam_of
from transplant.nets.category_module import CategoryModule, Normalize
from transplant.nets.disclosure_layouts import DISCLOSED_KINDS, disclosure_layout
from transplant.nets.task_module import (
    ClassificationModule,
    SegmentationModule,
    TaskModule,
    bilinear_upsampling,
    convolution_stage,
)
from transplant.types import Architecture, ModuleKind, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def build_category_module(architecture: Architecture) -> CategoryModule:
    """Build f; weights are torch's default initialisation until loaded or initialised."""
    if architecture.id == "vgg16":
        return CategoryModule(Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), 64)
    return CategoryModule(Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)), seam_of(architecture).channels)


def build_task_module(architecture: Architecture, task: Task) -> TaskModule:
    """Build g for one task on the seam of this architecture."""
    return _BUILDERS[architecture.id, task](architecture)


def build_adapter(architecture: Architecture) -> Adapter:
    """Build h; it starts transparent (see `Adapter.start_transparent`)."""
    reorder = architecture.ints("reorder")
    return Adapter(
        architecture.ints("channels_in")[0],
        architecture.ints("channels_out")[0],
        architecture.ints("layers")[0],
        architecture.ints("kernel")[0],
        reorder or None,
    )


def build(architecture: Architecture, kind: ModuleKind, task: Task | None) -> nn.Module:
    """Check the architecture and build the module that a manifest describes."""
    checked_architecture(architecture, kind)
    if kind in DISCLOSED_KINDS:
        raise UnknownArchitecture(f"an artifact of {kind} holds no net to build")
    if kind is ModuleKind.ADAPTER:
        return build_adapter(architecture)
    if kind is ModuleKind.CATEGORY:
        return build_category_module(architecture)
    if task is None:
        raise UnknownArchitecture("a task module must name its task")
    return build_task_module(architecture, task)


@lru_cache(maxsize=256)
def tensor_layout(
    architecture: Architecture, kind: ModuleKind, task: Task | None
) -> Mapping[str, tuple[int, ...]]:
    """Return name -> shape of the module's tensors, computed on the meta device: nothing is allocated.

    Remembered, because every manifest that is read again is checked again.
    """
    if kind in DISCLOSED_KINDS:
        return MappingProxyType(disclosure_layout(checked_architecture(architecture, kind), task))
    with torch.device("meta"):
        net = build(architecture, kind, task)
    return MappingProxyType({name: tuple(tensor.shape) for name, tensor in net.state_dict().items()})


def check_joint(from_architecture: Architecture, to_architecture: Architecture) -> None:
    """Check that an adapter can join f of one architecture to g of another.

    Raises:
        SeamMismatch: if the maps differ in height or width (channels may differ: h maps them).
    """
    source, target = seam_of(from_architecture), seam_of(to_architecture)
    if (source.height, source.width) != (target.height, target.width):
        raise SeamMismatch(
            f"the category module gives {source} and the host task module takes {target}: "
            "height and width must be equal; train the teacher at the host's image size"
        )


def _small_classification(architecture: Architecture) -> TaskModule:
    hidden = architecture.ints("hidden")[0]
    channels, stages = _small_trunk(architecture)
    side = image_px(architecture) // 2 ** (len(stages) + 1)
    return ClassificationModule(
        nn.Sequential(
            *(layer for stage in stages for layer in stage),
            nn.Conv2d(channels, hidden, side),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(hidden, 1, 1),
        )
    )


def _small_segmentation(architecture: Architecture) -> TaskModule:
    hidden = architecture.ints("hidden")[0]
    channels, stages = _small_trunk(architecture)
    head = nn.Sequential(
        nn.Conv2d(channels, hidden, 3, padding=1), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(hidden, 1, 1)
    )
    scored = [
        seam_of(architecture).channels,
        *architecture.ints("widths")[:-1],
    ]  # m_0 ... before the coarsest
    skips = list(range(len(scored)))[::-1]
    return SegmentationModule(
        stages,
        head,
        skips,
        [nn.Conv2d(scored[skip], 1, 1) for skip in skips],
        [bilinear_upsampling(2) for _ in range(len(skips) + 1)],
    )


def _small_trunk(architecture: Architecture) -> tuple[int, list[nn.Sequential]]:
    channels = seam_of(architecture).channels
    stages: list[nn.Sequential] = []
    for width in architecture.ints("widths"):
        stages.append(convolution_stage(channels, width, 2))
        channels = width
    return channels, stages


def _vgg16_classification(architecture: Architecture) -> TaskModule:
    side = image_px(architecture) // 32
    return ClassificationModule(
        nn.Sequential(*(layer for stage in _vgg16_trunk() for layer in stage), *_vgg16_head(side, padding=0))
    )


def _vgg16_segmentation(architecture: Architecture) -> TaskModule:  # noqa: ARG001 - FCN-8s takes any size
    head = nn.Sequential(*_vgg16_head(7, padding=3))
    skips = [3, 2]  # pool4, then pool3; m_0 is pool1
    scores = [nn.Conv2d(512, 1, 1), nn.Conv2d(256, 1, 1)]
    return SegmentationModule(
        _vgg16_trunk(),
        head,
        skips,
        scores,
        [bilinear_upsampling(2), bilinear_upsampling(2), bilinear_upsampling(8)],
    )


def _vgg16_trunk() -> list[nn.Sequential]:
    return [
        convolution_stage(64, 128, 2),
        convolution_stage(128, 256, 3),
        convolution_stage(256, 512, 3),
        convolution_stage(512, 512, 3),
    ]


def _vgg16_head(side: int, padding: int) -> list[nn.Module]:
    return [
        nn.Conv2d(512, 4096, side, padding=padding),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(4096, 4096, 1),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(4096, 1, 1),
    ]


_BUILDERS: Mapping[tuple[str, Task], Callable[[Architecture], TaskModule]] = {
    ("vgg_small", Task.CLASSIFICATION): _small_classification,
    ("vgg_small", Task.SEGMENTATION): _small_segmentation,
    ("vgg16", Task.CLASSIFICATION): _vgg16_classification,
    ("vgg16", Task.SEGMENTATION): _vgg16_segmentation,
}
