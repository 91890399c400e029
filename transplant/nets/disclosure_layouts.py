"""How feature statistics and probe answers are laid out as tensors: closed, like the nets' architectures.

`statistics` is described by the seam and, at level `pca`, by the number of directions, which are factors on a
`grid` where maps are large (`transplant.datafree.kronecker_factors`); `answers` by the
probe request that they answer, repeated number by number, so that a reader can compare it with what was
asked. Everything is an integer: the generator's name is its ASCII codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transplant.errors import UnknownArchitecture
from transplant.nets.disclosures import ProbeRequest
from transplant.types import Architecture, Disclosure, ModuleKind, Seam, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

Bounds = tuple[int, int]

DISCLOSED_KINDS = frozenset({ModuleKind.STATISTICS, ModuleKind.ANSWERS})
"""Artifacts that hold no net."""

STATISTICS_LENGTHS: Mapping[str, Bounds] = dict.fromkeys(
    ("channels", "height", "width", "directions"), (1, 1)
) | {"grid": (2, 2)}
STATISTICS_OPTIONAL = frozenset({"directions", "grid"})
STATISTICS_RANGES: Mapping[str, Bounds] = {
    "channels": (1, 512),
    "height": (1, 256),
    "width": (1, 256),
    "directions": (1, 128),
    "grid": (1, 32),
}
_REQUEST = ("seed", "pool", "count", "image_px", "drawings_percent", "grid")
ANSWERS_LENGTHS: Mapping[str, Bounds] = {"generator": (1, 32)} | dict.fromkeys(_REQUEST, (1, 1))
ANSWERS_RANGES: Mapping[str, Bounds] = {
    "generator": (ord("-"), ord("z")),
    "seed": (0, 2**31 - 1),
    "pool": (1, 1 << 20),
    "count": (1, 1 << 16),
    "image_px": (32, 512),
    "drawings_percent": (0, 100),
    "grid": (1, 64),
}


def statistics_architecture(
    seam: Seam, directions: int = 0, grid: tuple[int, int] | None = None
) -> Architecture:
    """Return the description of statistics of a seam.

    Args:
        seam: the shape of x.
        directions: how many there are, or the larger rank of two factors; 0 at level `moments`.
        grid: of the factors; None where directions are told in full.
    """
    values: list[tuple[str, tuple[int, ...]]] = [
        ("channels", (seam.channels,)),
        ("height", (seam.height,)),
        ("width", (seam.width,)),
    ]
    if directions:
        values.append(("directions", (directions,)))
    if grid is not None:
        values.append(("grid", grid))
    return Architecture("statistics", tuple(values))


def statistics_level(architecture: Architecture) -> Disclosure:
    """Return the level of statistics that are described so."""
    return Disclosure.PCA if architecture.ints("directions") else Disclosure.MOMENTS


def answers_architecture(request: ProbeRequest) -> Architecture:
    """Return the description of the answers to a request: the request itself, but for its task."""
    codes = tuple(request.generator.encode("ascii", "replace"))
    numbers = tuple((name, (int(getattr(request, name)),)) for name in _REQUEST)
    return Architecture("answers", (("generator", codes), *numbers))


def request_of(architecture: Architecture, task: Task) -> ProbeRequest:
    """Return the request that answers described so repeat."""
    numbers = {name: architecture.ints(name)[0] for name in _REQUEST}
    return ProbeRequest(generator=bytes(architecture.ints("generator")).decode("ascii"), task=task, **numbers)


def check_disclosure_relations(architecture: Architecture) -> None:
    """Check what the ranges cannot say.

    Raises:
        UnknownArchitecture: if more answers are described than images, or more cells than pixels, or a
            grid that does not cut the seam into equal cells.
    """
    if architecture.id == "statistics" and architecture.ints("grid"):
        sides = (architecture.ints("height")[0], architecture.ints("width")[0])
        cut = zip(sides, architecture.ints("grid"), strict=True)
        if not architecture.ints("directions") or any(side % cells for side, cells in cut):
            raise UnknownArchitecture(
                "statistics.grid must divide height and width, and needs statistics.directions"
            )
    if architecture.id == "answers":
        if architecture.ints("count")[0] > architecture.ints("pool")[0]:
            raise UnknownArchitecture("answers.count must be at most answers.pool")
        if architecture.ints("grid")[0] > architecture.ints("image_px")[0]:
            raise UnknownArchitecture("answers.grid must be at most answers.image_px")


def disclosure_seam(architecture: Architecture) -> Seam:
    """Return the shape of what is described: one feature map, or one answer (1, grid, grid)."""
    if architecture.id == "answers":
        grid = architecture.ints("grid")[0]
        return Seam(1, grid, grid)
    channels, height, width = (architecture.ints(name)[0] for name in ("channels", "height", "width"))
    return Seam(channels, height, width)


def disclosure_layout(architecture: Architecture, task: Task | None) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of the tensors.

    Raises:
        UnknownArchitecture: if answers to classification are described with a grid.
    """
    if architecture.id == "answers":
        return _answers_layout(architecture, task)
    seam = disclosure_seam(architecture)
    directions, grid = architecture.ints("directions"), architecture.ints("grid")
    layout: dict[str, tuple[int, ...]] = {"epsilon": (1,), "delta": (1,)}
    for name in ("0", "1"):
        layout |= {
            f"{name}.sample_count": (1,),
            f"{name}.mean": (seam.channels,),
            f"{name}.covariance": (seam.channels, seam.channels),
        }
        if grid:
            rank, cells = directions[0], grid[0] * grid[1]
            layout |= {
                f"{name}.mean_grid": (seam.channels, *grid),
                f"{name}.channel_factor": (seam.channels, min(rank, seam.channels)),
                f"{name}.spatial_factor": (min(rank, cells), *grid),
            }
        elif directions:
            shape = (seam.channels, seam.height, seam.width)
            layout |= {
                f"{name}.mean_map": shape,
                f"{name}.directions": (directions[0], *shape),
                f"{name}.residual": (seam.channels,),
            }
    return layout


def _answers_layout(architecture: Architecture, task: Task | None) -> dict[str, tuple[int, ...]]:
    count, grid = architecture.ints("count")[0], architecture.ints("grid")[0]
    if task is not Task.SEGMENTATION and grid != 1:
        raise UnknownArchitecture("answers.grid is 1 for classification: one logit an image")
    side = (grid, grid) if task is Task.SEGMENTATION else ()
    return {"chosen": (count,), "codes": (count, *side), "range": (2,)}
