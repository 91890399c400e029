"""Hold a claim against records: met, missed, or not measured, always with the figure. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from benchmarks.quality.summary import summarise

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.claims.claim import Claim, Rival, Wanted
    from benchmarks.records import Record


class Verdict(StrEnum):
    """What records say about a claim."""

    MET = "met"
    MISSED = "missed"
    OPEN = "not measured"


@dataclass(frozen=True)
class Finding:
    """A verdict with its reasons: one line for each group that was looked at, the failing ones first."""

    verdict: Verdict
    lines: tuple[str, ...]


def judge(claim: Claim, records: Iterable[Record]) -> Finding:
    """Return what the records say.

    A group that lacks seeds, or whose rival was not measured, makes the claim "not measured", unless another
    group proves it wrong.
    """
    records = list(records)
    about = [record for record in _matching(records, claim.where) if _value(claim, record) is not None]
    groups = _groups(claim, about)
    if not groups:
        return Finding(Verdict.OPEN, ("no record",))
    judged = [_judge_group(claim, group, records) for group in groups]
    judged += [(Verdict.OPEN, f"{lacking}: no record") for lacking in _lacking(claim, about)]
    for verdict in (Verdict.MISSED, Verdict.OPEN):
        reasons = [line for each, line in judged if each is verdict]
        if reasons:
            return Finding(verdict, (*reasons, *(line for each, line in judged if each is not verdict)))
    return Finding(Verdict.MET, tuple(line for _, line in judged))


def _judge_group(claim: Claim, group: Sequence[Record], records: Sequence[Record]) -> tuple[Verdict, str]:
    figure, told = _figure(claim, group), _name(claim, group)
    seeds = len({record.seed for record in group})
    line = f"{told}{figure:.4g} ({_counted(len(group), seeds)})"
    verdict = Verdict.MET
    if seeds < claim.seeds:
        verdict, line = Verdict.OPEN, f"{line}, needs {claim.seeds} seeds"
    if claim.at_least is not None:
        line += f", bar >= {claim.at_least:g}"
        verdict = verdict if figure >= claim.at_least else Verdict.MISSED
    if claim.at_most is not None:
        line += f", bar <= {claim.at_most:g}"
        verdict = verdict if figure <= claim.at_most else Verdict.MISSED
    for rival in claim.ahead_of:
        each, said = _beside(claim, rival, group, records)
        line += said
        if Verdict.MISSED in (each, verdict):
            verdict = Verdict.MISSED
        elif each is Verdict.OPEN:
            verdict = Verdict.OPEN
    return verdict, line


def _beside(
    claim: Claim, rival: Rival, group: Sequence[Record], records: Sequence[Record]
) -> tuple[Verdict, str]:
    """Compare the group with every method of a rival, where both were measured."""
    shared: dict[str, Wanted] = {"metric": claim.where["metric"]}
    shared |= {name: _shown(getattr(group[0], name)) for name in claim.each}
    found = _matching(records, shared | rival.where)
    theirs = [record for record in found if _value(claim, record) is not None]
    wanted = rival.where.get("method")
    methods = wanted if isinstance(wanted, list) else sorted({str(record.method) for record in theirs})
    verdict, said = Verdict.MET, ""
    if not methods:
        return Verdict.OPEN, "; rival not measured"
    for method in methods:
        of_method = [record for record in theirs if record.method == method]
        # Like with like: the cells, seed by seed, that both have.
        both = {_cell(record) for record in of_method} & {_cell(record) for record in group}
        ours = [record for record in group if _cell(record) in both]
        against = [record for record in of_method if _cell(record) in both]
        seeds = {record.seed for record in against}
        if not against:
            verdict = verdict if verdict is Verdict.MISSED else Verdict.OPEN
            said += f"; {method} not measured"
            continue
        mine, other = _figure(claim, ours), _figure(claim, against)
        lower = claim.better == "lower" or claim.of == "lost"
        won = mine + rival.by < other if lower else mine - rival.by > other
        said += f"; {'ahead of' if won else 'NOT AHEAD OF'} {method} {other:.4g}"
        if rival.apart and won and not _apart(claim, ours, against):
            won, said = False, f"{said} (intervals overlap)"
        if not won:
            verdict = Verdict.MISSED
        elif len(seeds) < claim.seeds and verdict is Verdict.MET:
            verdict, said = Verdict.OPEN, f"{said} (seeds {len(seeds)} of {claim.seeds})"
    return verdict, said


def _apart(claim: Claim, ours: Sequence[Record], theirs: Sequence[Record]) -> bool:
    mine, other = summarise(ours), summarise(theirs)
    return mine.high < other.low if claim.better == "lower" else mine.low > other.high


def _figure(claim: Claim, records: Sequence[Record]) -> float:
    values = [value for record in records if (value := _value(claim, record)) is not None]
    if claim.over == "mean":
        return sum(values) / len(values)
    return max(values) if claim.better == "lower" or claim.of == "lost" else min(values)


def _value(claim: Claim, record: Record) -> float | None:
    """Return what counts of a record; None where it lacks that."""
    if claim.of == "value":
        return record.value
    if claim.of == "ratio":
        return record.value / record.baseline if record.ratio is None and record.baseline else record.ratio
    if record.teacher is None or claim.of == "teacher":
        return record.teacher
    return record.value - record.teacher if claim.better == "lower" else record.teacher - record.value


def _matching(records: Sequence[Record], where: Mapping[str, Wanted]) -> list[Record]:
    return [
        record
        for record in records
        if all(_shown(getattr(record, name)) in _wanted(wanted) for name, wanted in where.items())
    ]


def _wanted(wanted: Wanted) -> Sequence[str | int | float]:
    return wanted if isinstance(wanted, list) else (wanted,)


def _shown(value: str | float | None) -> str | int | float:
    return "" if value is None else value


def _groups(claim: Claim, records: Sequence[Record]) -> list[list[Record]]:
    groups: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(getattr(record, name) for name in claim.each), []).append(record)
    return list(groups.values())


def _lacking(claim: Claim, about: Sequence[Record]) -> list[str]:
    """Return what the claim lists and no record is of."""
    listed = [(name, value) for name in claim.each for value in _wanted(claim.where.get(name, []))]
    return [
        f"{name} {value}"
        for name, value in listed
        if not any(_shown(getattr(record, name)) == value for record in about)
    ]


def _cell(record: Record) -> tuple[object, ...]:
    return record.data, record.category, record.seed, record.task


def _name(claim: Claim, group: Sequence[Record]) -> str:
    chosen = [f"{name} {_shown(getattr(group[0], name))}" for name in claim.each]
    return f"{', '.join(chosen)}: " if chosen else ""


def _counted(records: int, seeds: int) -> str:
    noun = "record" if records == 1 else "records"
    return f"{records} {noun}, {seeds} seed{'' if seeds == 1 else 's'}"
