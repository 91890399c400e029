"""What a join costs beside FedAvg trained anew, and what it changes of the categories that were there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from fakes.tiny_federation import ARCH, DirectEngine, federation, squares, with_small_nets
from torch import nn

from benchmarks.claims.claim import read_claims
from benchmarks.claims.judge import Verdict, judge
from benchmarks.records import Record
from benchmarks.sites.contender import Training
from benchmarks.sites.measures import largest_change, multi_category_accuracy
from benchmarks.sites.peers.fedavg import FedAvg
from benchmarks.sites.report import write_pages
from benchmarks.sites.run_cell import JOIN_UNITS
from benchmarks.sites.run_join import BESIDE_UNITS, beside_fedavg
from benchmarks.sites.transplanting_center import CalibratedRoute, Offer, scores_of_part
from transplant.nets.prediction import Calibration
from transplant.nets.transplant_net import RouteNet

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

CELL = Record("joining", "", 0.0, "", data="scenes", arch=ARCH, seed=0, sites=3, categories=3)


def join_of(
    method: str, accuracy: float, sent: float, seconds: float, rounds: int | None = None, seed: int = 0
) -> list[Record]:
    told = replace(CELL, method=method, rounds=rounds, seed=seed)
    values = (
        ("multi_category_accuracy", accuracy, "percent"), ("join_bytes", sent, "bytes"),
        ("join_seconds", seconds, "seconds"),
    )  # fmt: skip
    return [replace(told, metric=metric, value=value, unit=unit) for metric, value, unit in values]


def fedavg(*accuracies: float, seed: int = 0) -> list[Record]:
    rounds = enumerate(accuracies, start=1)
    behind = [
        join_of("fedavg", value, 100.0 * number, 10.0 * number, number, seed) for number, value in rounds
    ]
    return [record for each in behind for record in each]


@pytest.mark.parametrize(
    ("accuracies", "rounds", "reached"),
    [((10, 50, 60), 2, 1), ((10, 20, 49.9), 3, 0), ((70,), 1, 1), ((60, 20), 1, 1)],
)
def test_fedavg_counts_until_it_is_as_accurate_or_with_all_its_rounds(
    accuracies: tuple[float, ...], rounds: int, reached: int
):
    found = beside_fedavg(join_of("transplant", 50, 5, 2) + fedavg(*accuracies), ["transplant"])
    measured = {record.metric: record for record in found}
    for metric, value, cost in (("join_bytes", 5, 100 * rounds), ("join_seconds", 2, 10 * rounds)):
        record = measured[f"{metric}_beside_fedavg"]
        assert (record.value, record.baseline, record.ratio) == (value, cost, value / cost)
        assert (record.method, record.rounds) == ("transplant", None)
    assert measured["fedavg_rounds"].value == rounds
    assert measured["fedavg_reached"].value == reached


def test_what_was_not_measured_of_the_same_join_is_not_compared():
    ours = join_of("transplant", 50, 5, 2)
    assert beside_fedavg([*ours, *fedavg(60, seed=1)], ["transplant"]) == []
    assert beside_fedavg([*ours, *join_of("fedavg", 60, 100, 10)], ["transplant"]) == []
    founding = [replace(record, metric="bytes_up") for record in ours if record.metric == "join_bytes"]
    assert beside_fedavg([*founding, *fedavg(60)], ["transplant"]) == []


def test_the_page_says_how_many_times_and_where_fedavg_never_was_as_good(tmp_path: Path):
    records = join_of("transplant", 50, 5 << 20, 2) + join_of("transplant", 50, 5 << 20, 2, seed=1)
    records += [*fedavg(10, 60), *fedavg(10, 20, seed=1)]
    records += join_of("fedavg", 60, 200, 20) + join_of("fedavg", 20, 200, 20, seed=1)
    records += [replace(record, categories=2) for record in records if record.rounds is None]
    records += [
        replace(record, metric=metric, value=1.0, unit="bytes")
        for record in records
        if record.metric == "join_bytes" and record.rounds is None
        for metric in ("bytes_up", "bytes_down")
    ]
    page, costs = write_pages(tmp_path, records + beside_fedavg(records, ["transplant"]))
    assert "| 200 B (x 0.0), never in 1 of 2 |" in page.read_text()
    assert "| FedAvg to the same as transplant | 20.0 (x 10.0), never in 1 of 2 |" in costs.read_text()
    assert "beside fedavg" not in page.read_text() + costs.read_text()


def test_fedavg_tells_where_it_stood_behind_each_round(monkeypatch: pytest.MonkeyPatch):
    with_small_nets(monkeypatch)
    told, training = federation(count=16), Training(arch=ARCH, local_epochs=3, rounds=3, batch_size=16)
    outcome = FedAvg()(told, training, DirectEngine(told), lambda _: None)
    assert [each.traffic.rounds for each in outcome.standings] == [1, 2, 3]
    assert torch.equal(outcome.standings[-1].scores, outcome.scores)
    assert not torch.equal(outcome.standings[0].scores, outcome.scores)
    assert multi_category_accuracy(outcome.standings[0].scores, told.test.labels) >= 0


def test_a_change_of_old_scores_is_seen_whatever_the_new_column_says():
    labels = torch.tensor([1, 2, 0])
    before = torch.tensor([[0.5, 1.0], [2.0, 3.0]])
    after = torch.tensor([[0.5, 1.0, 9.0], [7.0, 7.0, 7.0], [2.0, 3.0, 9.0]])
    assert largest_change(before, after, labels, 2) == 0
    after[2, 0] += 0.25
    assert largest_change(before, after, labels, 2) == 0.25
    apart = torch.stack([after, after + 1, after + 9])
    assert largest_change(apart[:2][:, [0, 2], :2], apart, labels, 2) == 0


class BatchSize(nn.Module):
    """A net whose answer depends on what else is in the batch, as roundings do."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.full((len(images), 1), float(len(images)))


def test_a_route_sees_its_pictures_in_the_same_batches_as_categories_join():
    test = squares(9, 0)
    net = RouteNet(nn.Identity(), nn.Identity(), BatchSize())
    route = CalibratedRoute(
        Offer(0, 0, nn.Identity(), nn.Identity(), 10.0, 10), net, Calibration(temperature=1.0, offset=0.0)
    )
    few, all_of_them = (scores_of_part([route], test, categories) for categories in (2, 3))
    assert few.shape == (6, 2)
    assert few[:, 0].tolist() == [9.0] * 6
    assert all_of_them[:, 0].tolist() == [9.0] * 9


@pytest.mark.parametrize(
    ("name", "metric", "ratio", "value", "verdict"),
    [
        ("sites-join-bytes", "join_bytes_beside_fedavg", 0.04, 9.0, Verdict.MET),
        ("sites-join-bytes", "join_bytes_beside_fedavg", 0.06, 9.0, Verdict.MISSED),
        ("sites-join-time", "join_seconds_beside_fedavg", 0.04, 9.0, Verdict.MET),
        ("sites-join-unchanged", "score_change", None, 0.0, Verdict.MET),
        ("sites-join-unchanged", "score_change", None, 1e-7, Verdict.MISSED),
    ],
)
def test_what_is_claimed_of_a_join_is_what_is_recorded_of_it(
    name: str, metric: str, ratio: float | None, value: float, verdict: Verdict
):
    assert metric in {*BESIDE_UNITS, *JOIN_UNITS}
    claim = read_claims()[name]
    told = replace(CELL, metric=metric, value=value, ratio=ratio, method="transplant", data="tiny")
    measured = [replace(told, categories=11, seed=seed) for seed in range(3)]
    assert judge(claim, measured).verdict is verdict
    assert judge(claim, [replace(record, categories=10) for record in measured]).verdict is Verdict.OPEN
