"""Tables in the paper's layout as Markdown: samples x method down, categories and their average across."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.journey.table import byte_text
from benchmarks.quality.paper import paper_table
from benchmarks.quality.summary import categories_of, row_label, rows_of, summarise, table_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.quality.paper import PaperTable
    from benchmarks.quality.summary import TableKey
    from benchmarks.records import Record


class Extras:
    """The figures that go with a row of any table of a bench: gap closed, agreement, bytes.

    Args:
        records: all records of a folder.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._found: dict[tuple[object, ...], list[Record]] = {}
        for record in records:
            if record.metric in ("gap_closed", "agreement", "bytes_up"):
                self._found.setdefault(self._place(record, record.metric), []).append(record)

    def mean(self, row: Sequence[Record], metric: str) -> float | None:
        """Return the mean of `metric` over the cells of a row."""
        found = self._found.get(self._place(row[0], metric))
        return None if not found else sum(record.value for record in found) / len(found)

    @staticmethod
    def _place(record: Record, metric: str) -> tuple[object, ...]:
        key = table_key(record)
        return (
            key.bench, key.data, key.arch, key.task, key.host, key.layers, key.kernel, metric,
            record.samples, row_label(record),
        )  # fmt: skip


def quality_table(key: TableKey, records: Sequence[Record], extras: Extras) -> str:
    """Return our table; the last columns are for the average over categories and seeds."""
    categories = categories_of(records)
    paper = paper_table(key.bench, key.task, key.metric, key.layers)
    header = ["samples", "method", *categories, "average", "gap closed", "agreement"]
    header += ["the paper's average, on its own data"] if paper else []
    header += ["wall s", "CPU s", "peak MiB", "bytes up"]
    lines = [table_line(header), "|---:|:---|" + "---:|" * (len(header) - 2)]
    for (samples, label), row in rows_of(records).items():
        cells = [str(samples), label]
        parts = [[record for record in row if record.category == category] for category in categories]
        cells += [summarise(part).text() if part else "-" for part in parts]
        # An average over other categories than its neighbours' would not compare.
        cells.append(f"**{summarise(row).text()}**" if all(parts) else "-")
        cells += [_percent(extras.mean(row, "gap_closed")), _percent(extras.mean(row, "agreement"))]
        if paper:
            theirs = paper.average(samples, str(row[0].method))
            cells.append("-" if theirs is None else f"{theirs:.2f}")
        cells += [_mean(row, "seconds", "{:.1f}"), _mean(row, "cpu_seconds", "{:.1f}")]
        peaks = [record.peak_rss_bytes for record in row if record.peak_rss_bytes is not None]
        size = extras.mean(row, "bytes_up")
        cells += [
            f"{max(peaks) / 2**20:.0f}" if peaks else "-",
            "-" if size is None else byte_text(int(size)),
        ]
        lines.append(table_line(cells))
    for name in ("teacher", "floor"):
        values = [_once_a_seed(records, category, name) for category in categories]
        told = [sum(value) / len(value) if value else None for value in values]
        average = sum(value for value in told if value is not None) / max(1, len(told))
        cells = ["", f"*{name}*", *("-" if value is None else f"{value:.2f}" for value in told)]
        cells.append("-" if None in told else f"{average:.2f}")
        if name == "teacher" and paper:
            theirs = sum(paper.teachers) / len(paper.teachers)
            cells += ["", "", f"{theirs:.2f}"]
        lines.append(table_line(cells + [""] * (len(header) - len(cells))))
    return "\n".join(lines)


def speed_sentence(records: Sequence[Record]) -> str | None:
    """Compare the CPU time of the closed form with that of the paper's iterative learner, at 0 samples."""
    spent = {
        method: [
            record.cpu_seconds
            for record in records
            if (record.method, record.samples) == (method, 0) and record.cpu_seconds is not None
        ]
        for method in ("closed-form", "back-distill")
    }
    if not all(spent.values()):
        return None
    ours, theirs = (sum(values) / len(values) for values in spent.values())
    return (
        f"CPU time of one adapter at 0 samples: closed form {ours:.2f} s, iterative back-distillation "
        f"{theirs:.2f} s ({theirs / max(ours, 1e-9):.1f} times as much)."
    )


def papers_table(paper: PaperTable) -> str:
    """Return the paper's own table in the same layout."""
    header = ["samples", "method", *paper.categories, "average"]
    lines = [table_line(header), "|---:|:---|" + "---:|" * (len(header) - 2)]
    lines += [
        table_line([str(row.samples), row.method, *(f"{v:.2f}" for v in row.values), f"{row.average:.2f}"])
        for row in paper.rows
    ]
    average = sum(paper.teachers) / len(paper.teachers)
    lines.append(
        table_line(["", "*teacher*", *(f"{value:.2f}" for value in paper.teachers), f"{average:.2f}"])
    )
    return "\n".join(lines)


def _once_a_seed(records: Iterable[Record], category: str, name: str) -> list[float]:
    """Return the teacher's or the floor's value once for each seed of a category."""
    found = {
        record.seed: getattr(record, name)
        for record in records
        if record.category == category and getattr(record, name) is not None
    }
    return list(found.values())


def _mean(row: Sequence[Record], name: str, form: str) -> str:
    values = [getattr(record, name) for record in row if getattr(record, name) is not None]
    return form.format(sum(values) / len(values)) if values else "-"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} %"


def table_line(cells: Sequence[str]) -> str:
    """Return one line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"
