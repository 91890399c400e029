"""Pictures of layer transfer (figures 2 to 5) and of what and where (figures 3d, 5 and 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from benchmarks.drawing import looks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from torch import Tensor

mpl.use("Agg")

_HIDDEN = 0.1  # lines of lambda below this are not drawn


def draw_retained(curves: Mapping[int, Mapping[int, Sequence[float]]], path: Path) -> None:
    """Draw figure 2: a line for each number of samples, mean accuracy against retained layers."""
    canvas, axes = _axes("retained layers", "accuracy, %")
    for look, samples in zip(looks(len(curves)), sorted(curves, reverse=True), strict=True):
        curve = curves[samples]
        places = sorted(curve)
        means = [sum(curve[place]) / len(curve[place]) for place in places]
        axes.plot(places, means, **look._asdict(), label=f"{samples} a class", markersize=4)
    canvas.legend(frameon=False, fontsize=8, loc="outside right upper")
    canvas.savefig(path, dpi=140)


def draw_retained_range(
    samples: int, curve: Mapping[int, Sequence[float]], auto: Sequence[float], path: Path
) -> None:
    """Draw figures 3 to 5: least, mean and largest accuracy over the trials, and what `auto` reaches."""
    canvas, axes = _axes("retained layers", f"accuracy, % ({samples} samples a class)")
    places = sorted(curve)
    for label, style, pick in (("maximum", ":", max), ("mean", "-", _mean), ("minimum", ":", min)):
        axes.plot(places, [pick(curve[place]) for place in places], style, color="#4c6a92", label=label)
    if auto:
        axes.axhline(_mean(auto), color="#d9822b", linestyle="--", linewidth=1, label="auto, mean")
    canvas.legend(frameon=False, fontsize=8, loc="outside right upper")
    canvas.savefig(path, dpi=140)


def draw_limited(curves: Mapping[str, Mapping[int, Sequence[float]]], path: Path) -> None:
    """Draw figure 5 of Jang et al.: mean accuracy of each method against samples a class, seeds as a band."""
    canvas, axes = _axes("samples a class", "accuracy, %")
    for look, (method, curve) in zip(looks(len(curves)), curves.items(), strict=True):
        places = sorted(curve)
        means = [_mean(curve[place]) for place in places]
        axes.plot(places, means, **look._asdict(), label=method, markersize=4)
        low, high = ([pick(curve[place]) for place in places] for pick in (min, max))
        axes.fill_between(places, low, high, color=look.color, alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    axes.set_xticks(sorted({place for curve in curves.values() for place in curve}))
    axes.get_xaxis().set_major_formatter("{x:g}")
    axes.minorticks_off()
    canvas.legend(frameon=False, fontsize=8, loc="outside right upper")
    canvas.savefig(path, dpi=140)


def draw_pair_weights(
    pairs: Sequence[tuple[int, int]], before: Sequence[float], after: Sequence[float], path: Path
) -> None:
    """Draw figure 3d: a line a pair, as wide as lambda, hidden below 0.1; the start on the left."""
    canvas = Canvas(figsize=(6.4, 3.6), layout="constrained")
    for place, (title, weights) in enumerate((("before", before), ("after", after))):
        axes = canvas.add_subplot(1, 2, place + 1)
        for (m, n), weight in zip(pairs, weights, strict=True):
            if weight >= _HIDDEN:
                axes.plot(
                    [0, 1], [m, n], color="#4c6a92", linewidth=2.5 * weight, solid_capstyle="round", alpha=0.7
                )
        for x, name, count in (
            (0, "source", 1 + max(m for m, _ in pairs)),
            (1, "target", 1 + max(n for _, n in pairs)),
        ):
            axes.plot([x] * count, range(count), "s", color="#333333", markersize=7)
            axes.text(x, -0.7, name, ha="center", fontsize=8)
        axes.set_title(f"{title}: {min(weights):.2f} to {max(weights):.2f}", fontsize=9)
        axes.axis("off")
        axes.set_ylim(-1, max(max(m, n) for m, n in pairs) + 0.5)
    canvas.savefig(path, dpi=140)


def draw_saliency(images_u8: Tensor, ours: Tensor, baseline: Tensor, name: str, path: Path) -> None:
    """Draw figure 6: each image with the pixels that matter more, and less, to ours than to the baseline."""
    count = len(images_u8)
    canvas = Canvas(figsize=(1.3 * count, 4.0), layout="constrained")
    change = ours - baseline
    limit = float(change.abs().flatten().quantile(0.995))
    rows = (
        ("image", None),
        (f"more in {name}", change.clamp(min=0)),
        (f"less in {name}", (-change).clamp(min=0)),
    )
    for row, (title, maps) in enumerate(rows):
        for column in range(count):
            axes = canvas.add_subplot(3, count, row * count + column + 1)
            if maps is None:
                axes.imshow(images_u8[column].permute(1, 2, 0).numpy())
            else:
                axes.imshow(maps[column].numpy(), cmap="magma", vmin=0, vmax=limit)
            axes.set_xticks([])
            axes.set_yticks([])
            if column == 0:
                axes.set_ylabel(title, fontsize=8)
    canvas.savefig(path, dpi=140)


def _axes(x: str, y: str) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(6.0, 4.0), layout="constrained")
    axes = canvas.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return canvas, axes


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
