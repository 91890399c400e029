"""Pictures of the quality benches: samples, figure 5, bytes, transfer matrix, spectrum of D'_S."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import matplotlib as mpl
import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from benchmarks.drawing import looks, plain_numbers
from benchmarks.quality.summary import categories_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.quality.cells import Cell
    from benchmarks.quality.summary import TableKey
    from benchmarks.records import Record

mpl.use("Agg")

BASELINE = "direct-learn"
OURS = ("transplant", "function", "closed-form", "back-distill")


def draw_samples(key: TableKey, records: Sequence[Record], path: Path) -> bool:
    """Draw figure against number of labelled samples: a line a method, its band from worst to best seed.

    Returns:
        False where there is only one number of samples and so nothing to draw.
    """
    curves = sample_curves(records)
    counts = sorted({count for curve in curves.values() for count in curve})
    if len(counts) < 2:
        return False
    canvas = Canvas(figsize=(6.4, 4.2), layout="constrained")
    axes = canvas.add_subplot()
    for look, (label, curve) in zip(looks(len(curves)), curves.items(), strict=True):
        places = [counts.index(count) for count in sorted(curve)]
        low, mean, high = zip(*(curve[count] for count in sorted(curve)), strict=True)
        axes.plot(places, mean, **look._asdict(), label=label, linewidth=1.5, markersize=4)
        axes.fill_between(places, low, high, color=look.color, alpha=0.15, linewidth=0)
    for name, style in (("teacher", "--"), ("floor", ":")):
        values = [getattr(record, name) for record in records if getattr(record, name) is not None]
        if values:
            axes.axhline(sum(values) / len(values), color="#888888", linestyle=style, linewidth=1, label=name)
    axes.set_xticks(range(len(counts)), [str(count) for count in counts])
    axes.set_xlabel("labelled samples")
    axes.set_ylabel(
        f"{key.metric.replace('_', ' ')}, % (average of {len(categories_of(records))} categories)"
    )
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    canvas.savefig(path, dpi=140)
    return True


def sample_curves(records: Sequence[Record]) -> dict[str, dict[int, tuple[float, float, float]]]:
    """Return label -> samples -> (min, mean, max) over seeds of the average over categories.

    A seed counts where all categories of the table are there.
    """
    wanted = set(categories_of(records))
    curves: dict[str, dict[int, tuple[float, float, float]]] = {}
    for (samples, label), row in rows_of(records).items():
        averages: list[float] = []
        for seed in {record.seed for record in row}:
            mine = [record for record in row if record.seed == seed]
            if {record.category for record in mine} == wanted:
                averages.append(sum(record.value for record in mine) / len(mine))
        if averages:
            curves.setdefault(label, {})[samples] = (
                min(averages), sum(averages) / len(averages), max(averages),
            )  # fmt: skip
    return curves


def draw_bytes(key: TableKey, points: Mapping[str, tuple[float, float]], path: Path) -> None:
    """Draw the figure of each row (label -> bytes up, value) against what a site had to send."""
    canvas = Canvas(figsize=(6.4, 4.2), layout="constrained")
    axes = canvas.add_subplot()
    for look, (label, (size, value)) in zip(looks(len(points)), points.items(), strict=True):
        axes.plot([size / 2**20], [value], **look._asdict(), linestyle="none", label=label)
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)
    axes.set_xlabel("MiB up for one category")
    axes.set_ylabel(f"{key.metric.replace('_', ' ')}, %")
    axes.legend(frameon=False, fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    canvas.savefig(path, dpi=140)


def draw_matrix(key: TableKey, values: Mapping[tuple[str, str], float], path: Path) -> None:
    """Draw category modules x hosts as a heat map; `values` maps (category, host) to the mean figure."""
    categories = list(dict.fromkeys(category for category, _ in values))
    hosts = list(dict.fromkeys(host for _, host in values))
    canvas = Canvas(figsize=(1.6 + 0.9 * len(hosts), 1.4 + 0.6 * len(categories)), layout="constrained")
    axes = canvas.add_subplot()
    grid = [[values.get((category, host), float("nan")) for host in hosts] for category in categories]
    shown = axes.imshow(grid, cmap="YlOrBr")
    for row, line in enumerate(grid):
        for column, value in enumerate(line):
            if value == value:  # a pair that was not run is NaN
                colour = "white" if shown.norm(value) > 0.6 else "black"
                axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=9, color=colour)
    axes.set_xticks(range(len(hosts)), hosts)
    axes.set_yticks(range(len(categories)), categories)
    axes.set_xlabel("g of")
    axes.set_ylabel("f of")
    axes.set_title(f"{key.metric.replace('_', ' ')}, %", fontsize=10)
    canvas.savefig(path, dpi=140)


def first_two_components(ours_ND: Tensor, baseline_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Project both onto the first two principal components of both together (figure 5): (N, 2) each."""
    both = torch.cat([ours_ND, baseline_ND]).to(torch.float64)
    centre = both.mean(0)
    _, _, components = torch.linalg.svd(both - centre, full_matrices=False)
    projected = (both - centre) @ components[:2].T
    return projected[: len(ours_ND)], projected[len(ours_ND) :]


def draw_figure5(pairs: Mapping[str, tuple[Tensor, Tensor]], ours: str, samples: int, path: Path) -> None:
    """Draw each category's last hidden layer: blue our method's adapter, red direct-learn's."""
    canvas = Canvas(figsize=(3.0 * len(pairs), 3.0), layout="constrained")
    for place, (category, (mine, baseline)) in enumerate(pairs.items()):
        axes = canvas.add_subplot(1, len(pairs), place + 1)
        blue, red = first_two_components(mine, baseline)
        axes.scatter(blue[:, 0], blue[:, 1], s=4, color="#3b5fc0", label=ours, linewidths=0)
        axes.scatter(red[:, 0], red[:, 1], s=4, color="#c03b3b", label=BASELINE, linewidths=0)
        axes.set_title(f"{category}, {samples} labels", fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
        if place == 0:
            axes.legend(frameon=False, fontsize=7)
    canvas.savefig(path, dpi=140)


def draw_spectrum(spectra: Mapping[str, Tensor], path: Path) -> None:
    """Draw the eigenvalues of D'_S, falling, a line a method."""
    canvas = Canvas(figsize=(6.0, 3.6), layout="constrained")
    axes = canvas.add_subplot()
    for look, (label, values) in zip(looks(len(spectra)), spectra.items(), strict=True):
        shown = values.clamp(min=1e-9)
        axes.plot(range(1, len(shown) + 1), shown.tolist(), color=look.color, label=label, linewidth=1.3)
    axes.set_yscale("log")
    axes.set_xlabel("direction")
    axes.set_ylabel("share of the variance of D'_S")
    axes.legend(frameon=False, fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    canvas.savefig(path, dpi=140)


def file_name(*parts: object) -> str:
    """Return a picture's file name."""
    return (
        re.sub(r"[^a-z0-9]+", "-", "-".join(str(part) for part in parts if part is not None).lower()) + ".png"
    )


def cell_group(cell: Cell) -> tuple[object, ...]:
    """Return what two cells must share to stand in one picture of hidden layers."""
    return (cell.bench, cell.data, cell.arch, cell.task, cell.layers, cell.kernel, cell.seed)
