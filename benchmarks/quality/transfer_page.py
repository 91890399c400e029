"""The part of the report about teachers from little data: tables and pictures of both benches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from safetensors.torch import load

from benchmarks.journey.pictures import wilson_interval
from benchmarks.quality.l2t_methods import METHODS, SALIENT
from benchmarks.quality.layer_transfer_plan import BENCH, TRAINING
from benchmarks.quality.tables import table_line
from benchmarks.quality.transfer_pictures import (
    draw_limited,
    draw_pair_weights,
    draw_retained,
    draw_retained_range,
    draw_saliency,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.records import Record


def transfer_parts(
    directory: Path, records: Sequence[Record], pictures: Path, shown: Callable[[str, Path], str]
) -> list[str]:
    """Return the paragraphs of both benches, as far as there are records; draws their pictures.

    Args:
        directory: the folder of the run.
        records: all of its records.
        pictures: where pictures go.
        shown: (caption, path) -> the Markdown of a picture.
    """
    accuracies = [record for record in records if record.metric == "accuracy"]
    parts: list[str] = []
    layers = [record for record in accuracies if record.bench == BENCH]
    for data in dict.fromkeys(record.data or "" for record in layers):
        mine = [record for record in layers if record.data == data]
        chosen = [r for r in records if (r.bench, r.metric, r.data) == (BENCH, "retained", data)]
        source = [r for r in records if (r.bench, r.metric, r.data) == (BENCH, TRAINING, data)]
        parts += _layers(data, mine, chosen, source, pictures, shown)
    matching = [record for record in accuracies if record.bench == "l2t"]
    for arch in dict.fromkeys(record.arch or "" for record in matching if record.method != "source"):
        parts += _matching(arch, matching, directory, pictures, shown)
        parts += _lambda(arch, records)
    return parts


def _layers(
    data: str,
    records: Sequence[Record],
    chosen: Sequence[Record],
    source: Sequence[Record],
    pictures: Path,
    shown: Callable[[str, Path], str],
) -> list[str]:
    kinds: list[tuple[str, int | None]] = sorted(
        {(r.method or "", r.retained) for r in records},
        key=lambda kind: (kind[1] is None, kind[1]),
    )
    counts = sorted({r.samples for r in records if r.samples is not None})
    lines = [
        table_line(["samples a class", *(f"n = {n}" if n is not None else "auto (chose)" for _, n in kinds)])
    ]
    lines.append("|---:|" + "---:|" * len(kinds))
    for samples in counts:
        cells = [str(samples)]
        for method, retained in kinds:
            row = [r for r in records if (r.method, r.retained, r.samples) == (method, retained, samples)]
            picked = (
                sorted({int(r.value) for r in chosen if r.samples == samples}) if retained is None else []
            )
            cells.append(_range(row) + (f" ({', '.join(map(str, picked))})" if picked else ""))
        lines.append(table_line(cells))
    learned = "handwriting" if data == "chars" else "computer fonts"
    told = (
        f"Source: {learned}, {source[0].value:.2f} % on the {source[0].image_count} images of its 20 classes "
        "it was trained on, distorted copies included (the paper's 94.38 % is of its training set, too). "
        if source
        else ""
    )
    parts = [
        f"## Layer transfer ({data}): figures 2 to 5 of Gutstein et al. 2007",
        told
        + "Mean accuracy in percent with its 95 % Wilson interval over all trials' test characters, then "
        "smallest to largest trial. n layers from the input up are the source's, frozen; auto chooses n by "
        "validation on the training characters.",
        "\n".join(lines),
    ]
    curves: dict[int, dict[int, list[float]]] = {}
    for record in records:
        if record.retained is not None and record.samples is not None:
            curves.setdefault(record.samples, {}).setdefault(record.retained, []).append(record.value)
    if not any(len(curve) > 1 for curve in curves.values()):
        return parts
    path = pictures / f"layer-transfer-{data}.png"
    draw_retained(curves, path)
    parts.append(shown("Figure 2: mean accuracy against retained layers.", path))
    for samples in sorted(curves):
        path = pictures / f"layer-transfer-{data}-{samples}.png"
        auto = [r.value for r in records if (r.method, r.samples) == ("auto", samples)]
        draw_retained_range(samples, curves[samples], auto, path)
        parts.append(shown(f"Figures 3 to 5: {samples} samples a class, extremes over the trials.", path))
    return parts


def _matching(
    arch: str,
    records: Sequence[Record],
    directory: Path,
    pictures: Path,
    shown: Callable[[str, Path], str],
) -> list[str]:
    mine = [record for record in records if record.arch == arch]
    profile = arch.removeprefix("vgg9-")
    lending = [r for r in records if r.method == "source" and r.arch == profile]
    told = "; ".join(f"{r.source or 'source'} ({r.seed}): {r.value:.2f} %" for r in lending)
    parts = [
        f"## What and where to transfer ({profile}): Tiny ImageNet to CIFAR-10 (Jang et al. 2019)",
        f"Accuracy in percent, mean over seeds, smallest and largest in brackets. Validation accuracy of the "
        f"nets that lend: {told or 'not told'}.",
    ]
    for source in dict.fromkeys(record.source or "" for record in mine):
        part = [record for record in mine if record.source == source]
        counts = sorted({record.samples or 0 for record in part})
        lines = [table_line([f"from {source}", *(f"{count} a class" for count in counts), "CPU s"])]
        lines.append("|:---|" + "---:|" * (len(counts) + 1))
        curves: dict[str, dict[int, list[float]]] = {}
        for method in METHODS:
            row = [record for record in part if record.method == method]
            for record in row:
                curves.setdefault(method, {}).setdefault(record.samples or 0, []).append(record.value)
            if row:
                seconds = [record.cpu_seconds or 0.0 for record in row]
                cells = [_seeds([r.value for r in row if r.samples == count]) for count in counts]
                lines.append(table_line([method, *cells, f"{sum(seconds) / len(seconds):.0f}"]))
        parts.append("\n".join(lines))
        if len(counts) > 1:
            path = pictures / f"l2t-{profile}-{source}.png"
            draw_limited(curves, path)
            parts.append(shown("Figure 5: accuracy against samples a class, seeds as bands.", path))
    return parts + _inner(profile, directory, pictures, shown)


def _lambda(arch: str, records: Sequence[Record]) -> list[str]:
    """Return whether lambda was learned, in figures."""
    mine = [
        record for record in records if (record.bench, record.arch, record.unit) == ("l2t", arch, "weight")
    ]
    if not mine:
        return []
    lines = [table_line(["lambda of l2t-ww, 1 at the start", "from", "moved by", "largest less smallest"])]
    lines.append("|:---|:---|---:|---:|")
    for source, samples in dict.fromkeys((record.source or "", record.samples or 0) for record in mine):
        cell = [record for record in mine if (record.source, record.samples) == (source, samples)]
        figures = [
            _seeds([record.value for record in cell if record.metric == metric])
            for metric in ("lambda_moved", "lambda_spread")
        ]
        lines.append(table_line([f"{samples} a class", source, *figures]))
    return ["\n".join(lines)]


def _inner(profile: str, directory: Path, pictures: Path, shown: Callable[[str, Path], str]) -> list[str]:
    parts: list[str] = []
    for kept in sorted((directory / "inner").glob(f"l2t-{profile}-*.json")):
        lent = json.loads(kept.read_bytes())
        path = pictures / f"{kept.stem}-lambda.png"
        draw_pair_weights([(m, n) for m, n in lent["pairs"]], lent["before"], lent["after"], path)
        parts.append(shown(f"Figure 3d: lambda of each pair, {kept.stem}; lines below 0.1 are hidden.", path))
    for kept in sorted((directory / "inner").glob(f"l2t-{profile}-*-{SALIENT[0]}.saliency")):
        baseline = load(kept.read_bytes())
        for method in SALIENT[1:]:
            other = kept.with_name(kept.name.replace(SALIENT[0], method))
            if other.is_file():
                ours = load(other.read_bytes())
                path = pictures / f"{other.stem}-saliency.png"
                draw_saliency(ours["images"], ours["saliency"], baseline["saliency"], method, path)
                parts.append(
                    shown(
                        f"Figure 6: where {method} looks more and less than {SALIENT[0]} ({other.stem}).",
                        path,
                    )
                )
    return parts


def _range(records: Sequence[Record]) -> str:
    if not records:
        return "-"
    values = [record.value for record in records]
    mean = sum(values) / len(values)
    low, high = wilson_interval(mean, sum(record.image_count or 0 for record in records))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}], {min(values):.1f} to {max(values):.1f}"


def _seeds(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{sum(values) / len(values):.2f} [{min(values):.2f}, {max(values):.2f}]"
