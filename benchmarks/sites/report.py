"""The report of federated benches: what must be the same for the same seed, and apart from it what it cost.

`sites.md` and its pictures hold what is a function of the plan: two runs give the same bytes. Times, memory,
the machine and the commit stand in `sites-costs.md`.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks.journey.figures import write_whole
from benchmarks.journey.table import byte_text
from benchmarks.quality.folder import runs_of
from benchmarks.records import SITES_BENCHES
from benchmarks.sites.pictures import draw_bytes, draw_growth, draw_join_seconds
from benchmarks.sites.report_figures import groups_of
from benchmarks.sites.run_cell import JOIN_UNITS, UNITS, WATCHED_UNITS
from benchmarks.sites.run_join import BESIDE_UNITS, COMPARED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.records import Record
    from benchmarks.sites.report_figures import Figure, Group, Table

PAGE, COSTS = "sites.md", "sites-costs.md"
_PICTURES, _COST_PICTURES = "sites-pictures", "sites-costs-pictures"
_TIMES = ("site_seconds", "center_seconds", "join_seconds")

_READING = (
    "Every method saw the same pictures at the same sites, with the same backbone and as many local epochs. "
    "Multi-category accuracy: the highest score is the answer, among all categories; mean over seeds, in "
    "brackets the 95 % Wilson interval with the test pictures of all seeds pooled, then the smallest and "
    "largest seed. Category error: each category asked for alone, misses and false alarms weighing the "
    "same, 50 is chance. Bytes are those of all sites together; of `local` nothing travels. `ensemble` and "
    "`centralised` are references: the first needs every teacher whole at every question, the second needs "
    "the pictures."
)
_ABSENCES = (
    "Sites were away, late or slow by one plan for all methods. A method of one shot asks again until late "
    "joiners are there, and a few rounds more; rounds in which it waits count. One with a fixed number of "
    "rounds takes who is there in each. Sites unheard: how many never answered, so that the method could not "
    "see their pictures at all."
)
_JOINING = (
    "One category joins after the other. A method that cannot take one up is trained anew with all sites, "
    "and that is what the join costs it. Forgotten: by how many points the accuracy on pictures of the "
    "earlier categories, asked among these alone, fell. Change: by how much any score of an earlier category "
    "on its pictures differs from what it was, at most; 0 is bit for bit. FedAvg to the same: what FedAvg, "
    "trained anew, sent up to the first round behind which it was as accurate, and how many times the join's "
    "bytes that is; where it never was, all of its rounds count, and it is said."
)


def write_pages(directory: Path, records: Sequence[Record]) -> tuple[Path, Path]:
    """Write both pages and their pictures; return the paths of the pages."""
    for name in (_PICTURES, _COST_PICTURES):
        if (directory / name).is_dir():
            shutil.rmtree(directory / name)  # pictures of records that are no more
        (directory / name).mkdir(parents=True)
    page, costs = directory / PAGE, directory / COSTS
    write_whole(page, _outcomes(directory, records))
    write_whole(costs, _costs(directory, records))
    return page, costs


def _outcomes(directory: Path, records: Sequence[Record]) -> str:
    parts = ["# Federations", _READING]
    for group, table in groups_of(records).items():
        parts += [f"## {group.title()}", _seeds(table), _outcome_table(table)]
        if "sites_unheard" in table.units:
            parts.append(_ABSENCES)
        path = directory / _PICTURES / f"{group.stem}-bytes.png"
        draw_bytes(table, path)
        parts.append(_shown("Bytes that travelled in all against accuracy.", path, directory))
        if len(table.stages) > 1:
            parts += [_JOINING, _growth_table(table)]
            path = directory / _PICTURES / f"{group.stem}-growth.png"
            draw_growth(table, path)
            parts.append(_shown("Accuracy as categories join one by one.", path, directory))
    return "\n\n".join(parts) + "\n"


def _seeds(table: Table) -> str:
    stage = table.stages[-1]
    return (
        f"{stage} categories (chance {100 / stage:.2f} %), means over {len(table.seeds)} "
        f"seed{'s' if len(table.seeds) != 1 else ''} ({', '.join(map(str, table.seeds))})."
    )


def _outcome_table(table: Table) -> str:
    known = [*UNITS, *JOIN_UNITS, *WATCHED_UNITS, *BESIDE_UNITS]
    own = [name for name in table.own_figures(known) if table.units[name] != "seconds"]
    header = ["method", "accuracy, %", "smallest to largest", "category error, %", "bytes up", "bytes down"]
    header += ["rounds", "the net", *(name.replace("_", " ") for name in own)]
    lines = [_line(header), "|:---|" + "---:|" * (len(header) - 1)]
    for method in table.methods:
        accuracy = table.figure(method, "multi_category_accuracy")
        cells = [method, _interval(accuracy), _range(accuracy), _mean(table.figure(method, "category_error"))]
        cells += [_bytes(table.figure(method, name)) for name in ("bytes_up", "bytes_down")]
        cells += [_mean(table.figure(method, "rounds"), "{:.4g}"), _bytes(table.figure(method, "net_bytes"))]
        for name in own:
            figure = table.figure(method, name)
            cells.append(_bytes(figure) if table.units[name] == "bytes" else _mean(figure, "{:.4g}"))
        lines.append(_line(cells))
    return "\n".join(lines)


def _growth_table(table: Table) -> str:
    header = ["method", "categories", "accuracy, %", "forgotten, points", "change", "bytes of the join"]
    header.append("FedAvg to the same")
    lines = [_line(header), "|:---|" + "---:|" * (len(header) - 1)]
    for method in table.methods:
        for stage in table.stages:
            forgotten = table.figure(method, "forgotten", stage)
            cells = [method if stage == table.stages[0] else "", str(stage)]
            cells += [_interval(table.figure(method, "multi_category_accuracy", stage)), _mean(forgotten)]
            change = table.figure(method, "score_change", stage)
            cells.append("-" if change is None else f"{change.most:.3g}")
            cells.append(_bytes(table.figure(method, "join_bytes", stage)))
            cells.append(_beside(table, method, "join_bytes", stage, lambda sent: byte_text(round(sent))))
            lines.append(_line(cells))
    return "\n".join(lines)


def _costs(directory: Path, records: Sequence[Record]) -> str:
    parts = [
        "# What the federations cost",
        "Processor seconds of one thread: of all sites together, and of the center (what it takes to score "
        "the test pictures is no part of it). Teachers that several methods share count for each of them. "
        "Peak memory: all processes of the run, what they share once. Growth: how much more there was behind "
        "the last round than behind the second, where there were more than two.",
    ]
    for group, table in groups_of(records).items():
        parts += [f"## {group.title()}", _cost_table(table)]
        if len(table.stages) > 1:
            parts += _join_costs(directory, group, table)
    runs = [
        f"- `{run['command']}`: {run['cells']} cells, engine {run['engine']}, {run['workers']} workers of "
        f"{run['threads']} threads, {run['seconds']:.0f} s. {run['machine']}."
        for run in runs_of(directory)
        if run.get("bench") in SITES_BENCHES
    ]
    commits = sorted({record.commit for record in records if record.commit})
    parts += ["## How it was measured"]
    parts.append("\n".join([*runs, f"- Commits of the records: {', '.join(commits) or 'not told'}."]))
    return "\n\n".join(parts) + "\n"


def _cost_table(table: Table) -> str:
    apart = {*_TIMES, *BESIDE_UNITS}
    own = [name for name, unit in table.units.items() if unit == "seconds" and name not in apart]
    header = [
        "method",
        "site s",
        "center s",
        "peak memory",
        "growth",
        *(name.replace("_", " ") for name in own),
    ]
    lines = [_line(header), "|:---|" + "---:|" * (len(header) - 1)]
    for method in table.methods:
        cells = [method, *(_mean(table.figure(method, name), "{:.1f}") for name in _TIMES[:2])]
        cells += [_bytes(table.figure(method, name)) for name in WATCHED_UNITS]
        cells += [_mean(table.figure(method, name), "{:.1f}") for name in own]
        lines.append(_line(cells))
    return "\n".join(lines)


def _join_costs(directory: Path, group: Group, table: Table) -> list[str]:
    lines = [_line(["seconds of the join to", *map(str, table.stages[1:])])]
    lines.append("|:---|" + "---:|" * (len(table.stages) - 1))
    for method in table.methods:
        figures = [table.figure(method, "join_seconds", stage) for stage in table.stages[1:]]
        lines.append(_line([method, *(_mean(figure, "{:.1f}") for figure in figures)]))
        compared = [
            _beside(table, method, "join_seconds", stage, "{:.1f}".format) for stage in table.stages[1:]
        ]
        if any(text != "-" for text in compared):
            lines.append(_line([f"FedAvg to the same as {method}", *compared]))
    path = directory / _COST_PICTURES / f"{group.stem}-join.png"
    draw_join_seconds(table, path)
    return ["\n".join(lines), _shown("Processor seconds to add a category.", path, directory)]


def _beside(table: Table, method: str, cost: str, stage: int, form: Callable[[float], str]) -> str:
    """Return what FedAvg took to be as good, how many times ours that is, and whether it ever was."""
    found, reached = (
        table.beside(method, COMPARED[cost], stage),
        table.figure(method, "fedavg_reached", stage),
    )
    if found is None or reached is None:
        return "-"
    text = f"{form(found[0])} (x {found[1]:.1f})"
    never = reached.seeds - round(reached.mean * reached.seeds)
    return f"{text}, never in {never} of {reached.seeds}" if never else text


def _interval(figure: Figure | None) -> str:
    return "-" if figure is None else f"{figure.mean:.2f} [{figure.low:.2f}, {figure.high:.2f}]"


def _range(figure: Figure | None) -> str:
    return "-" if figure is None else f"{figure.least:.2f} to {figure.most:.2f}"


def _mean(figure: Figure | None, form: str = "{:.2f}") -> str:
    return "-" if figure is None else form.format(figure.mean)


def _bytes(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    return ("-" if figure.mean < 0 else "") + byte_text(abs(round(figure.mean)))


def _shown(caption: str, path: Path, directory: Path) -> str:
    return f"![{caption}]({path.relative_to(directory)})\n\n*{caption}*"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
