"""The picture of the ablations: a panel a factor, everything else as in the setting that all share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from benchmarks.quality.summary import summarise

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.quality.summary import TableKey
    from benchmarks.records import Record

mpl.use("Agg")

FACTORS = {
    "layers": "layers of the adapter",
    "kernel": "side of its kernels",
    "disclosure": "disclosure",
    "synthetic_images": "synthetic images",
    "host": "whose g_S",
}
"""Field of a record -> what its axis is called."""


def one_factor_at_a_time(
    records: Sequence[Record],
) -> tuple[tuple[object, ...], dict[str, dict[object, list[Record]]]]:
    """Return the shared setting, and factor -> its values -> their records, where a factor was varied.

    The shared setting is the one from which all others together differ in the fewest factors.

    Args:
        records: of one table of ablations.
    """
    rows: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        rows.setdefault(tuple(getattr(record, factor) for factor in FACTORS), []).append(record)

    def differing(one: tuple[object, ...], other: tuple[object, ...]) -> list[str]:
        return [factor for factor, mine, its in zip(FACTORS, one, other, strict=True) if mine != its]

    shared = min(rows, key=lambda one: sum(len(differing(one, other)) for other in rows))
    varied: dict[str, dict[object, list[Record]]] = {}
    for place, factor in enumerate(FACTORS):
        values = {
            setting[place]: row
            for setting, row in rows.items()
            if differing(shared, setting) in ([], [factor])
        }
        if len(values) > 1:
            varied[factor] = values
    return shared, varied


def draw_ablation(key: TableKey, records: Sequence[Record], path: Path) -> bool:
    """Draw each factor's values against the figure, with their intervals; the shared setting is filled.

    Returns:
        False where nothing was varied and so nothing is to be drawn.
    """
    shared, varied = one_factor_at_a_time(records)
    if not varied:
        return False
    shared_value = dict(zip(FACTORS, shared, strict=True))
    canvas = Canvas(figsize=(0.6 + 2.3 * len(varied), 3.2), layout="constrained")
    panels = canvas.subplots(1, len(varied), sharey=True, squeeze=False)[0]
    teachers = [record.teacher for record in records if record.teacher is not None]
    for axes, (factor, values) in zip(panels, varied.items(), strict=True):
        usual = shared_value[factor]
        ordered = sorted(values, key=lambda value: (isinstance(value, str) and value != usual, value))
        for place, value in enumerate(ordered):
            told = summarise(values[value])
            axes.errorbar(
                [place], [told.mean], [[told.mean - told.low], [told.high - told.mean]],
                marker="o", markersize=6, color="#4c6a92", capsize=3, linewidth=1.2,
                markerfacecolor="#4c6a92" if value == usual else "white",
            )  # fmt: skip
        if teachers:
            axes.axhline(sum(teachers) / len(teachers), color="#888888", linestyle="--", linewidth=1)
        axes.set_xticks(range(len(ordered)), [str(value) for value in ordered], fontsize=8)
        axes.set_xlim(-0.5, len(ordered) - 0.5)
        axes.set_xlabel(FACTORS[factor])
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(f"{key.metric.replace('_', ' ')}, %")
    canvas.savefig(path, dpi=140)
    return True
