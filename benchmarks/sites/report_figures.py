"""Records of a federated bench as groups, and several seeds of one thing as one figure with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.journey.pictures import wilson_interval
from benchmarks.records import SITES_BENCHES
from benchmarks.sites.run_methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.records import Record

_POOLED = ("multi_category_accuracy",)


@dataclass(frozen=True)
class Group:
    """What is the same for all records of one table."""

    bench: str
    data: str
    arch: str
    sites: int
    alpha: float | None

    @property
    def stem(self) -> str:
        """Return a name for files."""
        alpha = "" if self.alpha is None else f"-{self.alpha:g}"
        return f"{self.bench}-{self.data}-{self.arch}-{self.sites}{alpha}"

    def title(self) -> str:
        """Return a heading."""
        alpha = "" if self.alpha is None else f", alpha {self.alpha:g}"
        return f"{self.bench} on {self.data}{alpha}: {self.sites} sites, {self.arch}"


@dataclass(frozen=True)
class Figure:
    """A mean over seeds with its interval.

    Args:
        mean: of the values.
        low: lower end of the 95 % Wilson interval of an accuracy, the test pictures of all seeds pooled;
            of anything else the smallest value.
        high: the upper end, or the largest value.
        least: the smallest value.
        most: the largest value.
        seeds: how many values.
    """

    mean: float
    low: float
    high: float
    least: float
    most: float
    seeds: int


class Table:
    """The records of one group, looked up by method, number of categories and metric."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._found: dict[tuple[str, int, str], list[Record]] = {}
        self.seeds: list[int] = []
        self.stages: list[int] = []
        units: dict[str, str] = {}
        for record in records:
            if record.rounds is not None:
                continue  # behind one round of several: of use to `run_join` alone
            key = (_named(record), record.categories or 0, record.metric)
            self._found.setdefault(key, []).append(record)
            self.seeds = sorted({*self.seeds, record.seed or 0})
            self.stages = sorted({*self.stages, record.categories or 0})
            units[record.metric] = record.unit
        self.units = units

    @property
    def methods(self) -> list[str]:
        """Return the methods that were run, in the order of the report; those with labels say how many."""
        there = sorted({method for method, _, _ in self._found})
        return sorted(there, key=lambda method: METHODS.index(method_of(method)))

    def figure(self, method: str, metric: str, stage: int | None = None) -> Figure | None:
        """Return a metric over the seeds, at the last stage or at another; None where nobody measured it."""
        found = self._found.get((method, self.stages[-1] if stage is None else stage, metric))
        return figure_of(found) if found else None

    def beside(self, method: str, metric: str, stage: int) -> tuple[float, float] | None:
        """Return the baseline of a metric and how often the value goes into it, over the seeds."""
        found = self._found.get((method, stage, metric), [])
        baseline, value = sum(each.baseline or 0 for each in found), sum(each.value for each in found)
        return (baseline / len(found), baseline / value) if value else None

    def own_figures(self, known: Iterable[str]) -> list[str]:
        """Return the metrics that are not among `known`: contenders' own."""
        return sorted({metric for _, _, metric in self._found} - set(known))


def method_of(label: str) -> str:
    """Return the contender's name in the label of a row."""
    return label.partition(" ")[0]


def groups_of(records: Iterable[Record]) -> dict[Group, Table]:
    """Sort the records of federated benches into tables, in the order of the scenarios."""
    sorted_in: dict[Group, list[Record]] = {}
    for record in records:
        if record.bench in SITES_BENCHES:
            group = Group(record.bench, record.data or "", record.arch or "", record.sites or 0, record.alpha)
            sorted_in.setdefault(group, []).append(record)
    order = sorted(sorted_in, key=lambda group: (SITES_BENCHES.index(group.bench), group.data, group.stem))
    return {group: Table(sorted_in[group]) for group in order}


def figure_of(records: Sequence[Record]) -> Figure:
    """Return the mean of the records' values with its interval."""
    values = [record.value for record in records]
    mean = sum(values) / len(values)
    pictures = sum(record.image_count or 0 for record in records)
    low, high = min(values), max(values)
    if records[0].metric in _POOLED and pictures:
        low, high = wilson_interval(mean, pictures)
    return Figure(mean, low, high, min(values), max(values), len(values))


def _named(record: Record) -> str:
    return f"{record.method} ({record.samples} labels)" if record.samples else str(record.method)
