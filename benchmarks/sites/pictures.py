"""Pictures of federated benches: bytes against accuracy, growth by categories, what a join takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from benchmarks.drawing import looks, plain_numbers
from benchmarks.sites.report_figures import method_of
from benchmarks.sites.run_methods import METHODS

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.drawing import Look
    from benchmarks.sites.report_figures import Table

mpl.use("Agg")

_MIB = 1 << 20


def draw_bytes(table: Table, path: Path) -> None:
    """Draw what travelled up and down together against accuracy, a point a method with its interval.

    A method of which nothing travels is a line: a logarithmic axis has no place for it.
    """
    canvas, axes = _axes("MiB that travelled, up and down", "accuracy over all categories, %")
    for method in table.methods:
        accuracy = table.figure(method, "multi_category_accuracy")
        up, down = table.figure(method, "bytes_up"), table.figure(method, "bytes_down")
        if accuracy is None or up is None or down is None:
            continue
        travelled = (up.mean + down.mean) / _MIB
        if not travelled:
            label = f"{method} (nothing travels)"
            axes.axhline(accuracy.mean, color="#333333", linestyle="--", label=label)
            continue
        reach = [[accuracy.mean - accuracy.low], [accuracy.high - accuracy.mean]]
        axes.errorbar(
            [travelled],
            [accuracy.mean],
            yerr=reach,
            linestyle="none",
            **look_of(method)._asdict(),
            label=method,
            capsize=3,
        )
    axes.axhline(100 / table.stages[-1], color="#bbbbbb", linestyle=":", linewidth=1, label="chance")
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)
    _finish(canvas, path)


def draw_growth(table: Table, path: Path) -> None:
    """Draw accuracy against the number of categories, a line a method."""
    canvas, axes = _axes("categories in the net", "accuracy over all of them, %")
    _lines(table, axes, "multi_category_accuracy", table.stages)
    axes.plot(
        table.stages,
        [100 / stage for stage in table.stages],
        ":",
        color="#bbbbbb",
        linewidth=1,
        label="chance",
    )
    _finish(canvas, path)


def draw_join_seconds(table: Table, path: Path) -> None:
    """Draw the processor seconds of each join, a line a method."""
    canvas, axes = _axes("categories in the net", "processor seconds of the last one's joining")
    _lines(table, axes, "join_seconds", table.stages[1:])
    axes.set_yscale("log")
    plain_numbers(axes.yaxis)
    _finish(canvas, path)


def look_of(method: str) -> Look:
    """Return how a method looks in all pictures, whatever its labels."""
    return looks(len(METHODS))[METHODS.index(method_of(method))]


def _lines(table: Table, axes: Axes, metric: str, stages: list[int]) -> None:
    for method in table.methods:
        found = [(stage, figure) for stage in stages if (figure := table.figure(method, metric, stage))]
        if not found:
            continue
        places = [stage for stage, _ in found]
        look = look_of(method)
        means = [figure.mean for _, figure in found]
        axes.plot(places, means, **look._asdict(), label=method, markersize=4)
        low, high = [figure.low for _, figure in found], [figure.high for _, figure in found]
        axes.fill_between(places, low, high, color=look.color, alpha=0.12, linewidth=0)
    axes.set_xticks(stages)


def _axes(x: str, y: str) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(6.4, 4.2), layout="constrained")
    axes = canvas.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return canvas, axes


def _finish(canvas: Canvas, path: Path) -> None:
    canvas.legend(frameon=False, fontsize=7, loc="outside right upper")
    canvas.savefig(path, dpi=140)
