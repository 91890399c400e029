"""Growth of memory is a figure where there were rounds to tell it by, and `scale` has them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes.tiny_federation import ARCH, federation, with_small_nets

from benchmarks.sites import run
from benchmarks.sites.cli import sites
from benchmarks.sites.contender import Training
from benchmarks.sites.in_process import InProcess
from benchmarks.sites.measures_memory import MemoryWatch
from benchmarks.sites.peers.fedavg import FedAvg
from benchmarks.sites.run_cell import Cell, run_cell
from benchmarks.sites.scenarios import Scenario, ScenarioFlags
from benchmarks.sites.scenarios_attendance import Attendance

if TYPE_CHECKING:
    from pathlib import Path

TRAINING = Training(arch=ARCH, local_epochs=1, batch_size=16)


def test_two_moments_tell_no_growth():
    watch = MemoryWatch()
    watch.noted = [100, 150]
    assert watch.growth_bytes is None
    watch.noted = [100, 150, 160, 155]
    assert watch.growth_bytes == 5


@pytest.mark.parametrize(("rounds", "growths"), [(2, 0), (3, 1)])
def test_growth_is_recorded_where_it_was_measured(monkeypatch: pytest.MonkeyPatch, rounds: int, growths: int):
    with_small_nets(monkeypatch)
    told = federation(count=16)
    cell = Cell(ScenarioFlags(Scenario.SCALE, "scenes", sites=3, seed=0), ARCH, "fedavg", (3,))
    records = run_cell(
        cell, told, FedAvg(), replace(TRAINING, rounds=rounds), InProcess(told.sites), Attendance(),
        lambda _: None, "",
    )  # fmt: skip
    found = [record.metric for record in records]
    assert found.count("memory_growth") == growths
    assert found.count("peak_memory") == 1
    assert {record.key() for record in cell.expected()} <= {record.key() for record in records}


@pytest.mark.parametrize(("scenario", "rounds"), [("scale", 5), ("one-category", 1)])
def test_scale_has_rounds_enough_to_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scenario: str, rounds: int
):
    plans: list[run.SitesPlan] = []
    monkeypatch.setattr(run, "run_sites", lambda plan, *_: plans.append(plan))
    sites(scenario, "scenes", tmp_path)
    sites(scenario, "scenes", tmp_path, rounds=7)
    assert [plan.training.rounds for plan in plans] == [rounds, 7]
