"""The final table of a journey, on a terminal and in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.journey.figures import Figure

_NAMES = {"error": "error", "pixel_accuracy": "pixel accuracy", "iou": "IoU", "mean_iou": "mean IoU"}
_HEADER = (
    "site",
    "task",
    "measure (%)",
    "teacher",
    "transplanted",
    "floor",
    "closed",
    "shipped",
    "raw, kept",
)


def byte_text(size_bytes: int) -> str:
    """Return a size for people, in powers of 1024."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


def rows(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Return the cells of the table; a site's name, task and bytes stand on their first line only."""
    cells: list[tuple[str, ...]] = []
    site = task = ""
    for figure in figures:
        first_of_site, first_of_task = figure.site != site, (figure.site, figure.task) != (site, task)
        cells.append(
            (
                (f"{figure.site} (founder)" if figure.founder else figure.site) if first_of_site else "",
                figure.task if first_of_task else "",
                _NAMES[figure.metric],
                f"{figure.teacher:.2f}",
                f"{figure.transplanted:.2f}",
                f"{figure.floor:.2f}",
                "-" if figure.founder else f"{100 * figure.closed:.0f} %",
                byte_text(figure.bytes_shipped) if first_of_site else "",
                byte_text(figure.raw_bytes_kept) if first_of_site else "",
            )
        )
        site, task = figure.site, figure.task
    return cells


def rich_table(figures: Sequence[Figure], title: str) -> Table:
    """Return the table for the terminal; a missed bar is red."""
    table = Table(title=title, title_justify="left")
    for position, name in enumerate(_HEADER):
        table.add_column(name, justify="left" if position < 3 else "right", no_wrap=position < 3)
    for figure, cells in zip(figures, rows(figures), strict=True):
        style = "dim" if figure.founder else ("red" if figure.closed < 0.5 else "")
        table.add_row(*cells, style=style, end_section=False)
    return table


def markdown_table(
    figures: Sequence[Figure],
    beside: Mapping[tuple[str, str, str], float] | None = None,
    beside_name: str = "",
) -> str:
    """Return the table as Markdown, with a column of comparison values beside where there are any."""
    header = list(_HEADER[:6]) + ([beside_name] if beside else []) + list(_HEADER[6:])
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * 3 + "---:|" * (len(header) - 3)]
    for figure, cells in zip(figures, rows(figures), strict=True):
        value = (beside or {}).get((figure.category, figure.task, figure.metric))
        extra = (["-" if value is None else f"{value:.2f}"]) if beside else []
        lines.append("| " + " | ".join([*cells[:6], *extra, *cells[6:]]) + " |")
    return "\n".join(lines)
