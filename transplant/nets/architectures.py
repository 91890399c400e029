"""The closed table of architectures: an id and integer hyper-parameters, never an import path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from transplant.errors import SeamMismatch, UnknownArchitecture
from transplant.nets.adapter import Adapter
from transplant.nets.category_module import CategoryModule, Normalize
from transplant.nets.disclosure_layouts import (
    ANSWERS_LENGTHS,
    ANSWERS_RANGES,
    DISCLOSED_KINDS,
    STATISTICS_LENGTHS,
    STATISTICS_RANGES,
    check_disclosure_relations,
    disclosure_layout,
)
from transplant.nets.task_module import (
    ClassificationModule,
    SegmentationModule,
    TaskModule,
    bilinear_upsampling,
    convolution_stage,
)
from transplant.types import Architecture, ModuleKind, Seam, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True)
class _Entry:
    """One row: for which kinds, which hyper-parameters, their ranges, and how to build."""

    kinds: frozenset[ModuleKind]
    lengths: Mapping[str, tuple[int, int]]  # hyper-parameter -> least and largest number of values
    ranges: Mapping[str, tuple[int, int]]  # hyper-parameter -> least and largest value
    optional: frozenset[str] = frozenset()


_NET = frozenset({ModuleKind.CATEGORY, ModuleKind.TASK})
_TABLE: Mapping[str, _Entry] = {
    "vgg_small": _Entry(
        _NET,
        {"image_px": (1, 1), "channels": (1, 1), "widths": (2, 3), "hidden": (1, 1)},
        {"image_px": (32, 128), "channels": (4, 128), "widths": (8, 256), "hidden": (8, 1024)},
    ),
    "vgg16": _Entry(_NET, {"image_px": (1, 1)}, {"image_px": (32, 512)}),
    "adapter": _Entry(
        frozenset({ModuleKind.ADAPTER}),
        {
            "channels_in": (1, 1),
            "channels_out": (1, 1),
            "layers": (1, 1),
            "kernel": (1, 1),
            "reorder": (1, 512),
        },
        {
            "channels_in": (1, 512),
            "channels_out": (1, 512),
            "layers": (1, 8),
            "kernel": (1, 7),
            "reorder": (0, 511),
        },
        optional=frozenset({"reorder"}),
    ),
    "statistics": _Entry(
        frozenset({ModuleKind.STATISTICS}), STATISTICS_LENGTHS, STATISTICS_RANGES, frozenset({"directions"})
    ),
    "answers": _Entry(frozenset({ModuleKind.ANSWERS}), ANSWERS_LENGTHS, ANSWERS_RANGES),
}

DEFAULT: Mapping[str, Architecture] = {
    "vgg_small": Architecture(
        "vgg_small",
        (("image_px", (32,)), ("channels", (32,)), ("widths", (64, 128)), ("hidden", (128,))),
    ),
    "vgg16": Architecture("vgg16", (("image_px", (224,)),)),
}


def default_architecture(architecture_id: str, image_px: int) -> Architecture:
    """Return the table's default for images of `image_px` (64 px and more get a third stage).

    Raises:
        UnknownArchitecture: if there is no such id or it does not take this size.
    """
    if architecture_id not in DEFAULT:
        known = ", ".join(sorted(DEFAULT))
        raise UnknownArchitecture(f"architecture {architecture_id!r} is not in the table ({known})")
    values = dict(DEFAULT[architecture_id].hyper_parameters)
    values["image_px"] = (image_px,)
    if architecture_id == "vgg_small" and image_px >= 64:
        values["widths"] = (64, 128, 128)
    return checked_architecture(Architecture(architecture_id, tuple(values.items())), ModuleKind.CATEGORY)


def adapter_architecture(
    channels_in: int, channels_out: int, layers: int, kernel: int, reorder: Sequence[int] | None = None
) -> Architecture:
    """Return the checked description of an adapter."""
    values: list[tuple[str, tuple[int, ...]]] = [
        ("channels_in", (channels_in,)),
        ("channels_out", (channels_out,)),
        ("layers", (layers,)),
        ("kernel", (kernel,)),
    ]
    if reorder is not None:
        values.append(("reorder", tuple(reorder)))
    return checked_architecture(Architecture("adapter", tuple(values)), ModuleKind.ADAPTER)


def checked_architecture(architecture: Architecture, kind: ModuleKind) -> Architecture:
    """Return `architecture` if it is in the closed table for this kind of module.

    Raises:
        UnknownArchitecture: naming the id or the hyper-parameter and what is allowed.
    """
    entry = _TABLE.get(architecture.id)
    if entry is None or kind not in entry.kinds:
        known = ", ".join(sorted(name for name, row in _TABLE.items() if kind in row.kinds))
        raise UnknownArchitecture(
            f"architecture {architecture.id!r} is not in the table for a {kind} module ({known})"
        )
    names = [name for name, _ in architecture.hyper_parameters]
    given, required = set(names), set(entry.lengths) - entry.optional
    if len(names) != len(given) or given - set(entry.lengths) or required - given:
        raise UnknownArchitecture(
            f"{architecture.id} takes the hyper-parameters {sorted(entry.lengths)}, each once; "
            f"got {sorted(names)}"
        )
    for name, values in architecture.hyper_parameters:
        (fewest, most), (least, largest) = entry.lengths[name], entry.ranges[name]
        if not fewest <= len(values) <= most or any(not least <= value <= largest for value in values):
            raise UnknownArchitecture(
                f"{architecture.id}.{name} takes {fewest} to {most} values of {least} to {largest}; "
                f"got {list(values)[:8]}"
            )
    _check_relations(architecture)
    return architecture


def _check_relations(architecture: Architecture) -> None:
    if architecture.id == "adapter":
        if architecture.ints("kernel")[0] % 2 == 0:
            raise UnknownArchitecture("adapter.kernel must be odd, so that the feature map keeps its size")
        reorder = architecture.ints("reorder")
        if reorder and sorted(reorder) != list(range(architecture.ints("channels_in")[0])):
            raise UnknownArchitecture("adapter.reorder must be a permutation of the input channels")
        return
    if architecture.id in ("statistics", "answers"):
        check_disclosure_relations(architecture)
        return
    stages = len(architecture.ints("widths")) + 1 if architecture.id == "vgg_small" else 5
    if architecture.ints("image_px")[0] % (2**stages):
        raise UnknownArchitecture(
            f"{architecture.id}.image_px must be a multiple of {2**stages} ({stages} pools)"
        )


def image_px(architecture: Architecture) -> int:
    """Return the side of the square images that the net takes."""
    return architecture.ints("image_px")[0]


def seam_of(architecture: Architecture) -> Seam:
    """Return the shape of x = f(I) for a net of this architecture."""
    channels = 64 if architecture.id == "vgg16" else architecture.ints("channels")[0]
    side = image_px(architecture) // 2
    return Seam(channels, side, side)


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


def tensor_layout(
    architecture: Architecture, kind: ModuleKind, task: Task | None
) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of the module's tensors, computed on the meta device: nothing is allocated."""
    if kind in DISCLOSED_KINDS:
        return disclosure_layout(checked_architecture(architecture, kind), task)
    with torch.device("meta"):
        net = build(architecture, kind, task)
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


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
