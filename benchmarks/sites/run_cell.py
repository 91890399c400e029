"""One contender on one federation: from its outcome, or its outcomes as categories join, to records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.records import Record
from benchmarks.sites.contender import GrowingContender, Outcome, Training
from benchmarks.sites.engine import Traffic
from benchmarks.sites.measures import (
    accuracy_among_first,
    category_error,
    largest_change,
    multi_category_accuracy,
)
from benchmarks.sites.measures_memory import MemoryWatch
from benchmarks.sites.run_rounds import Rounds
from benchmarks.sites.scenarios import Scenario, ScenarioFlags, first_categories

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.sites.contender import Contender, Progress
    from benchmarks.sites.federation import Federation
    from benchmarks.sites.run_rounds import Carrier
    from benchmarks.sites.scenarios_attendance import Attendance

UNITS = {
    "multi_category_accuracy": "percent",
    "category_error": "percent",
    "bytes_up": "bytes",
    "bytes_down": "bytes",
    "rounds": "rounds",
    "net_bytes": "bytes",
    "site_seconds": "seconds",
    "center_seconds": "seconds",
}
"""What every cell records."""
JOIN_UNITS = {
    "forgotten": "percent",
    "score_change": "1",
    "join_bytes": "bytes",
    "join_seconds": "seconds",
}
"""What a cell records of each category that joined, besides."""
WATCHED_UNITS = {"peak_memory": "bytes", "memory_growth": "bytes"}
"""What is measured of the machine, once a cell; growth where there were rounds enough to tell."""


@dataclass(frozen=True)
class Cell:
    """One contender on one federation.

    Args:
        flags: the federation.
        arch: of all nets.
        method: the contender's name.
        stages: numbers of categories at which is measured: in `joining` several, else all at once.
        labels: labelled pictures of a category that a refinement may use; None: none.
    """

    flags: ScenarioFlags
    arch: str
    method: str
    stages: tuple[int, ...]
    labels: int | None = None

    def record(self, metric: str, value: float, unit: str, categories: int, **measured: Any) -> Record:
        """Return one measure; `measured` are the record's other fields."""
        return Record(
            bench=self.flags.scenario.value,
            metric=metric,
            value=value,
            unit=unit,
            data=self.flags.data,
            arch=self.arch,
            method=self.method,
            samples=self.labels,
            seed=self.flags.seed,
            sites=self.flags.sites,
            alpha=self.flags.alpha,
            categories=categories,
            **measured,
        )

    def expected(self) -> list[Record]:
        """Return records (without values) of what a finished cell has at least."""
        records: list[Record] = []
        for place, stage in enumerate(self.stages):
            units = UNITS | (JOIN_UNITS if place else {})
            records += [self.record(metric, 0.0, unit, stage) for metric, unit in units.items()]
        watched = self.record("peak_memory", 0.0, WATCHED_UNITS["peak_memory"], self.stages[-1])
        return [*records, watched]

    def sentence(self) -> str:
        """Return a few words for a line of progress."""
        alpha = "" if self.flags.alpha is None else f" alpha {self.flags.alpha:g}"
        return f"{self.method}, {self.flags.scenario}{alpha}, seed {self.flags.seed}"


@dataclass(frozen=True)
class _Stage:
    """An outcome with the costs of this stage alone, and its test pictures."""

    federation: Federation
    outcome: Outcome
    traffic: Traffic
    site_seconds: float
    center_seconds: float
    heard: frozenset[int]

    @property
    def sites_unheard(self) -> int:
        """Return how many of the sites that are there by now have never answered."""
        return len(set(range(len(self.federation.sites))) - self.heard)


def stages_of(scenario: Scenario, categories: int, founders: int) -> tuple[int, ...]:
    """Return at which numbers of categories is measured."""
    if scenario is Scenario.JOINING:
        return tuple(range(min(founders, categories), categories + 1))
    return (categories,)


def run_cell(
    cell: Cell,
    federation: Federation,
    contender: Contender,
    training: Training,
    carrier: Carrier,
    attendance: Attendance,
    progress: Progress,
    commit: str,
) -> list[Record]:
    """Run a contender through all stages and measure.

    Raises:
        BenchmarkFailed: if it gives scores that are none.
        TransplantError: what it raised.
    """
    with MemoryWatch() as watch:
        engine_of = _Engines(carrier, attendance, watch)
        stages = list(_run(cell, federation, contender, training, engine_of, progress))
    records: list[Record] = []
    for place, stage in enumerate(stages):
        before = stages[place - 1] if place else None
        records += _records(cell, stage, before, commit, complete=attendance.complete)
    last, values = cell.stages[-1], (watch.peak_bytes, watch.growth_bytes)
    for (metric, unit), value in zip(WATCHED_UNITS.items(), values, strict=True):
        if value is not None:
            records.append(cell.record(metric, float(value), unit, last, commit=commit))
    return records


class _Engines:
    """Makes an engine for each run of a contender on one carrier."""

    def __init__(self, carrier: Carrier, attendance: Attendance, watch: MemoryWatch) -> None:
        self._carrier = carrier
        self._attendance = attendance
        self._watch = watch

    def fresh(self) -> Rounds:
        """Return an engine that has sent nothing yet."""
        return Rounds(self._carrier, self._attendance, self._watch.note)


def _run(
    cell: Cell,
    federation: Federation,
    contender: Contender,
    training: Training,
    engines: _Engines,
    progress: Progress,
) -> Iterator[_Stage]:
    if len(cell.stages) > 1 and isinstance(contender, GrowingContender):
        yield from _grown(cell.stages, federation, contender, training, engines.fresh(), progress)
        return
    for stage in cell.stages:
        part = first_categories(federation, stage)
        engine = engines.fresh()
        outcome = contender(part, training, engine, progress)
        traffic = engine.traffic if outcome.traffic is None else outcome.traffic
        yield _Stage(part, outcome, traffic, engine.site_seconds, outcome.center_seconds, engine.heard)


def _grown(
    stages: Sequence[int],
    federation: Federation,
    contender: GrowingContender,
    training: Training,
    engine: Rounds,
    progress: Progress,
) -> Iterator[_Stage]:
    sent, worked_s, center_s = Traffic(), 0.0, 0.0
    outcomes = contender.grow(federation, stages, training, engine, progress)
    for stage, outcome in zip(stages, outcomes, strict=True):
        now = engine.traffic
        traffic = Traffic(
            now.bytes_up - sent.bytes_up, now.bytes_down - sent.bytes_down, now.rounds - sent.rounds
        )
        yield _Stage(
            first_categories(federation, stage),
            outcome,
            traffic if outcome.traffic is None else outcome.traffic,
            engine.site_seconds - worked_s,
            outcome.center_seconds - center_s,
            engine.heard,
        )
        sent, worked_s, center_s = now, engine.site_seconds, outcome.center_seconds


def _records(
    cell: Cell, stage: _Stage, before: _Stage | None, commit: str, *, complete: bool
) -> list[Record]:
    scores, labels = stage.outcome.scores, stage.federation.test.labels
    categories = len(stage.federation.categories)
    values: dict[str, float] = {
        "multi_category_accuracy": multi_category_accuracy(scores, labels),
        "category_error": category_error(scores, labels),
        "bytes_up": float(stage.traffic.bytes_up),
        "bytes_down": float(stage.traffic.bytes_down),
        "rounds": float(stage.traffic.rounds),
        "net_bytes": float(stage.outcome.net_bytes),
        "site_seconds": round(stage.site_seconds, 3),
        "center_seconds": round(stage.center_seconds, 3),
    }
    units = dict(UNITS)
    if before is not None:
        earlier = len(before.federation.categories)
        then = accuracy_among_first(before.outcome.scores, before.federation.test.labels, earlier)
        values["forgotten"] = then - accuracy_among_first(scores, labels, earlier)
        values["score_change"] = largest_change(before.outcome.scores, scores, labels, earlier)
        values["join_bytes"] = values["bytes_up"] + values["bytes_down"]
        values["join_seconds"] = values["site_seconds"] + values["center_seconds"]
        units |= JOIN_UNITS
    if not complete:
        values["sites_unheard"], units["sites_unheard"] = float(stage.sites_unheard), "sites"
    for name, value in stage.outcome.figures.items():
        values[name], units[name] = value, _unit(name)
    return [
        cell.record(
            name,
            value,
            units[name],
            categories,
            floor=100 / categories if name == "multi_category_accuracy" else None,
            image_count=len(labels) if units[name] == "percent" else None,
            commit=commit,
        )
        for name, value in values.items()
    ] + ([] if before is None else _standings(cell, stage, commit))


def _standings(cell: Cell, stage: _Stage, commit: str) -> list[Record]:
    """Return how accurate the method was behind each round of a join, and what it had cost by then."""
    labels, categories = stage.federation.test.labels, len(stage.federation.categories)
    records: list[Record] = []
    for number, standing in enumerate(stage.outcome.standings, start=1):
        accuracy = multi_category_accuracy(standing.scores, labels)
        travelled = float(standing.traffic.bytes_up + standing.traffic.bytes_down)
        values = (
            ("multi_category_accuracy", accuracy, "percent"),
            ("join_bytes", travelled, "bytes"),
            ("join_seconds", round(standing.seconds, 3), "seconds"),
        )
        records += [
            cell.record(metric, value, unit, categories, rounds=number, commit=commit)
            for metric, value, unit in values
        ]
    return records


def _unit(figure: str) -> str:
    """Return the unit of a contender's own figure, as its name says it."""
    for ending, unit in (("seconds", "seconds"), ("bytes", "bytes")):
        if figure.endswith(ending):
            return unit
    return "percent" if figure.endswith(("error", "accuracy", "agreement")) else "1"
