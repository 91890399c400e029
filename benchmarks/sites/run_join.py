"""What a join costs beside FedAvg, trained anew until it is as accurate: a function of records alone.

FedAvg cannot take a category up, so it is trained again with all sites. Its cost is counted up to the first
round behind which it is as accurate as the method that it stands beside, or over all of its rounds where it
never is: what it would have taken then, nobody saw.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.records import Record

RIVAL = "fedavg"
COMPARED = {"join_bytes": "join_bytes_beside_fedavg", "join_seconds": "join_seconds_beside_fedavg"}
"""Costs of a join, and under which name they are recorded with FedAvg's as baseline."""
BESIDE_UNITS = {
    COMPARED["join_bytes"]: "bytes",
    COMPARED["join_seconds"]: "seconds",
    "fedavg_rounds": "rounds",
    "fedavg_reached": "1",
}
"""What is recorded of a join beside FedAvg; `fedavg_reached` is 1 where it was as accurate, else 0."""
_ACCURACY = "multi_category_accuracy"


def beside_fedavg(records: Iterable[Record], methods: Iterable[str]) -> list[Record]:
    """Return what each join of these methods cost beside FedAvg, where both were measured.

    Args:
        records: of any number of federations; those with `rounds` say where FedAvg stood behind each round.
        methods: the methods that take categories up.
    """
    wanted = set(methods)
    ours: dict[tuple[object, ...], dict[str, Record]] = {}
    theirs: dict[tuple[object, ...], dict[int, dict[str, Record]]] = {}
    for record in records:
        if record.method in wanted and record.rounds is None:
            ours.setdefault((*_join(record), record.method, record.samples), {})[record.metric] = record
        elif record.method == RIVAL and record.rounds is not None:
            theirs.setdefault(_join(record), {}).setdefault(record.rounds, {})[record.metric] = record
    found: list[Record] = []
    for measured in ours.values():
        if "join_bytes" in measured and (rounds := theirs.get(_join(measured["join_bytes"]))):
            found += _beside(measured, [rounds[number] for number in sorted(rounds)])
    return found


def _beside(measured: dict[str, Record], rounds: list[dict[str, Record]]) -> list[Record]:
    accuracy = measured[_ACCURACY].value
    reached = [number for number, each in enumerate(rounds) if each[_ACCURACY].value >= accuracy]
    counted = reached[0] if reached else len(rounds) - 1
    found: list[Record] = []
    for metric, name in COMPARED.items():
        mine, cost = measured[metric], rounds[counted][metric].value
        ratio = mine.value / cost if cost else None
        found.append(replace(mine, metric=name, baseline=cost, ratio=ratio))
    for name, value in (("fedavg_rounds", counted + 1), ("fedavg_reached", len(reached[:1]))):
        found.append(
            replace(measured["join_bytes"], metric=name, unit=BESIDE_UNITS[name], value=float(value))
        )
    return found


def _join(record: Record) -> tuple[object, ...]:
    return record.bench, record.data, record.arch, record.seed, record.sites, record.alpha, record.categories
