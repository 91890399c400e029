"""Pictures of a journey: how good each route is, and how the net hangs together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from transplant.types import NetVersion, Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.journey.figures import Figure

mpl.use("Agg")

TEACHER, TRANSPLANTED, FLOOR, BESIDE = "#4c6a92", "#d9822b", "#b8b8b8", "#7a9e7e"
_TASK_COLOURS = {Task.CLASSIFICATION: "#4c6a92", Task.SEGMENTATION: "#b5543a"}
_PANELS = (("error", "classification error, %"), ("pixel_accuracy", "pixel accuracy, %"), ("iou", "IoU, %"))


def wilson_interval(percent: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson score interval (95 %) of a percentage measured on `count` independent images."""
    if count == 0:
        return 0.0, 100.0
    share = percent / 100
    scale = 1 + z * z / count
    middle = (share + z * z / (2 * count)) / scale
    half = z * ((share * (1 - share) + z * z / (4 * count)) / count) ** 0.5 / scale
    return max(0.0, 100 * (middle - half)), min(100.0, 100 * (middle + half))


def draw_bars(
    figures: Sequence[Figure],
    path: Path,
    beside: Mapping[tuple[str, str, str], float] | None = None,
    beside_name: str = "",
) -> None:
    """Draw teacher, transplanted and floor side by side, a panel a measure, a group a site."""
    panels = [(metric, title) for metric, title in _PANELS if any(each.metric == metric for each in figures)]
    canvas = Canvas(figsize=(4.6 * len(panels), 3.6), layout="constrained")
    for position, (metric, title) in enumerate(panels):
        axes = canvas.add_subplot(1, len(panels), position + 1)
        _draw_panel(axes, [each for each in figures if each.metric == metric], title, beside, beside_name)
        if position == len(panels) - 1:
            axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    canvas.savefig(path, dpi=150)


def _draw_panel(
    axes: Any,
    figures: Sequence[Figure],
    title: str,
    beside: Mapping[tuple[str, str, str], float] | None,
    beside_name: str,
) -> None:
    series: list[tuple[str, str, list[float | None]]] = [
        ("teacher", TEACHER, [each.teacher for each in figures]),
        ("transplanted, 0 labels", TRANSPLANTED, [each.transplanted for each in figures]),
    ]
    if beside:
        values = [beside.get((each.category, each.task, each.metric)) for each in figures]
        series.append((beside_name, BESIDE, values))
    series.append(("floor", FLOOR, [each.floor for each in figures]))
    width = 0.8 / len(series)
    for offset, (name, colour, values) in enumerate(series):
        places = [row + (offset - (len(series) - 1) / 2) * width for row in range(len(figures))]
        shown = [(place, value) for place, value in zip(places, values, strict=True) if value is not None]
        axes.bar(
            [place for place, _ in shown], [value for _, value in shown], width, color=colour, label=name
        )
        # One image is one trial only in classification: pixels of an image are not independent.
        if name != "floor" and figures[0].metric == "error":
            for place, value in shown:
                low, high = wilson_interval(value, figures[0].sample_count)
                axes.plot([place, place], [low, high], color="black", linewidth=0.8)
    labels = [f"{each.site}\n(founder)" if each.founder else each.site for each in figures]
    axes.set_xticks(range(len(figures)), labels, fontsize=8)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    if figures[0].larger_is_better:
        lowest = min(min(each.floor, each.transplanted) for each in figures)
        axes.set_ylim(max(0.0, lowest - 0.25 * (100 - lowest)) if lowest > 0 else 0.0, 100)


def draw_net(versions: Sequence[NetVersion], path: Path) -> None:
    """Draw the newest version: category modules, adapters, task modules, and when each route came."""
    newest = versions[-1]
    since = {
        (route.category, route.task): version.number
        for version in reversed(versions)
        for route in version.routes
    }
    categories = list(dict.fromkeys(route.category for route in newest.routes))
    hosts = list(dict.fromkeys(route.task_module for route in newest.routes))
    canvas = Canvas(figsize=(9, 1.0 + 1.05 * len(categories)), layout="constrained")
    axes = canvas.add_subplot()
    height = len(newest.routes)
    per_category = height / len(categories)
    category_y = {name: height - per_category * (row + 0.5) for row, name in enumerate(categories)}
    host_y = {name: height - height / len(hosts) * (row + 0.5) for row, name in enumerate(hosts)}
    order = sorted(newest.routes, key=lambda route: (categories.index(route.category), route.task))
    for row, route in enumerate(order):
        y = height - row - 0.5
        colour = _TASK_COLOURS[route.task]
        axes.plot([0, 1], [category_y[route.category], y], color=colour, linewidth=1.2, zorder=1)
        axes.plot([1, 2], [y, host_y[route.task_module]], color=colour, linewidth=1.2, zorder=1)
        text = "identity" if route.adapter is None else f"h {route.adapter[:8]}"
        _box(axes, 1, y, f"{text}\nversion {since[route.category, route.task]}", "white", colour)
    for name in categories:
        module_id = next(route.category_module for route in newest.routes if route.category == name)
        _box(axes, 0, category_y[name], f"f  {name}\n{module_id[:8]}", "#f3efe6", "#555555")
    for module_id in hosts:
        task = next(route.task for route in newest.routes if route.task_module == module_id)
        owners = {
            route.category
            for route in newest.routes
            if (route.task_module, route.adapter) == (module_id, None)
        }
        text = f"g  {task}\nof {', '.join(sorted(owners)) or '?'}  {module_id[:8]}"
        _box(axes, 2, host_y[module_id], text, "#f3efe6", _TASK_COLOURS[task])
    for x, title in enumerate(("category modules", "adapters", "task modules")):
        axes.text(x, height + 0.25, title, ha="center", fontsize=10, color="#333333")
    axes.set_xlim(-0.45, 2.5)
    axes.set_ylim(0, height + 0.6)
    axes.axis("off")
    canvas.savefig(path, dpi=150)


def _box(axes: Any, x: float, y: float, text: str, face: str, edge: str) -> None:
    axes.text(
        x, y, text, ha="center", va="center", fontsize=8, zorder=2,
        bbox={"boxstyle": "round,pad=0.35", "facecolor": face, "edgecolor": edge},
    )  # fmt: skip
