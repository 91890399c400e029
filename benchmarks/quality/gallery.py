"""Which pictures a folder of records has material for, drawn into its `pictures` folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.quality.ablation_picture import draw_ablation
from benchmarks.quality.cells import Bench
from benchmarks.quality.inner_life import read_inner_life
from benchmarks.quality.pictures import (
    BASELINE,
    OURS,
    cell_group,
    draw_bytes,
    draw_figure5,
    draw_matrix,
    draw_samples,
    draw_spectrum,
    file_name,
)
from benchmarks.quality.summary import rows_of, summarise

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from benchmarks.quality.cells import Cell
    from benchmarks.quality.summary import TableKey
    from benchmarks.quality.tables import Extras
    from benchmarks.records import Record


def table_pictures(
    key: TableKey, records: Sequence[Record], extras: Extras, folder: Path
) -> list[tuple[str, Path]]:
    """Draw what one table shows; return (caption, path) of each picture."""
    parts = (key.bench, key.data, key.arch, key.task, key.metric, key.host, key.layers, key.kernel)
    drawn: list[tuple[str, Path]] = []
    path = folder / file_name("samples", *parts)
    if draw_samples(key, records, path):
        drawn.append(("Samples against the figure; bands run from the worst to the best seed.", path))
    if key.bench == Bench.ABLATION:
        return drawn + _ablation_pictures(key, records, folder, parts)
    points = {
        f"{label}, {samples} labels": (size, summarise(row).mean)
        for (samples, label), row in rows_of(records).items()
        if samples in (0, 100) and (size := extras.mean(row, "bytes_up"))
    }
    if len(points) > 1:
        path = folder / file_name("bytes", *parts)
        draw_bytes(key, points, path)
        drawn.append(("What a site sends against the figure.", path))
    return drawn


def _ablation_pictures(
    key: TableKey, records: Sequence[Record], folder: Path, parts: Sequence[object]
) -> list[tuple[str, Path]]:
    drawn: list[tuple[str, Path]] = []
    path = folder / file_name("factors", *parts)
    if draw_ablation(key, records, path):
        caption = (
            "One factor at a time, with intervals; filled is the setting that the others share, the dashed "
            "line the teachers."
        )
        drawn.append((caption, path))
    pairs = _by_host(records)
    if len({host for _, host in pairs}) > 1:
        path = folder / file_name("hosts", *parts)
        draw_matrix(key, pairs, path)
        drawn.append(("Transfer from f (rows) to g (columns).", path))
    return drawn


def _by_host(records: Sequence[Record]) -> dict[tuple[str, str], float]:
    """Return the mean figure of each (category, host), of the rows that differ in nothing but the host."""
    hosted: dict[tuple[object, ...], dict[tuple[str, str], list[Record]]] = {}
    for record in records:
        rest = (
            record.method, record.disclosure, record.samples, record.layers, record.kernel, record.ship,
            record.source, record.synthetic_images,
        )  # fmt: skip
        pair = (record.category or "", record.host or "")
        hosted.setdefault(rest, {}).setdefault(pair, []).append(record)
    most = max(hosted.values(), key=len)
    return {pair: summarise(mine).mean for pair, mine in most.items()}


def inner_pictures(directory: Path, folder: Path) -> list[tuple[str, Path]]:
    """Draw figure 5 and the spectra of D'_S from what the run kept, if it kept anything."""
    groups: dict[tuple[object, ...], list[tuple[Cell, dict[str, Tensor]]]] = {}
    for cell, tensors in read_inner_life(directory):
        groups.setdefault(cell_group(cell), []).append((cell, tensors))
    drawn: list[tuple[str, Path]] = []
    for group, kept in groups.items():
        drawn += _figure5(group, kept, folder)
        drawn += _spectra(group, kept, folder)
    return drawn


def _figure5(
    group: tuple[object, ...], kept: Sequence[tuple[Cell, dict[str, Tensor]]], folder: Path
) -> list[tuple[str, Path]]:
    hidden = {
        (cell.method, cell.samples, cell.category): tensors["hidden_ND"]
        for cell, tensors in kept
        if "hidden_ND" in tensors and cell.disclosure == "none" and cell.ship == "modules"
    }
    baseline = {(samples, category) for method, samples, category in hidden if method == BASELINE}
    for ours in OURS:
        counts = [
            samples
            for method, samples, category in hidden
            if method == ours and (samples, category) in baseline
        ]
        if counts:
            samples = min(counts)
            pairs = {
                category: (hidden[ours, samples, category], hidden[BASELINE, samples, category])
                for found, category in sorted(baseline)
                if found == samples and (ours, samples, category) in hidden
            }
            path = folder / file_name("figure5", *group)
            draw_figure5(pairs, ours, samples, path)
            caption = (
                "The paper's figure 5, ours: first two principal components of the last hidden layer on "
                f"test images; blue {ours}, red {BASELINE}, {samples} labels each."
            )
            return [(caption, path)]
    return []


def _spectra(
    group: tuple[object, ...], kept: Sequence[tuple[Cell, dict[str, Tensor]]], folder: Path
) -> list[tuple[str, Path]]:
    spectra: dict[str, Tensor] = {}
    category = kept[0][0].category
    for cell, tensors in kept:
        fewest = min(each.samples for each, _ in kept if each.method == cell.method)
        plain = cell.disclosure == "none" and cell.ship == "modules" and cell.source is None
        if "spectrum_C" in tensors and cell.category == category and plain and cell.samples == fewest:
            spectra.setdefault(f"{cell.method}, {cell.samples} labels", tensors["spectrum_C"])
    if len(spectra) < 2:
        return []
    path = folder / file_name("spectrum", *group)
    draw_spectrum(spectra, path)
    return [(f"Eigen-spectrum of D'_S, {category}.", path)]
