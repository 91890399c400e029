"""The closed table of architectures: an id and integer hyper-parameters, never an import path.

Nothing here needs torch, so that a command which builds no net starts at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transplant.errors import UnknownArchitecture
from transplant.nets.disclosure_layouts import (
    ANSWERS_LENGTHS,
    ANSWERS_RANGES,
    STATISTICS_LENGTHS,
    STATISTICS_OPTIONAL,
    STATISTICS_RANGES,
    check_disclosure_relations,
)
from transplant.types import Architecture, ModuleKind, Seam

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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
        frozenset({ModuleKind.STATISTICS}), STATISTICS_LENGTHS, STATISTICS_RANGES, STATISTICS_OPTIONAL
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
            f"got {sorted(names)[:8]}"
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
