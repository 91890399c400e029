"""The planner's bench: its cells, its bars, and nothing measured twice."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from benchmarks.records import Record, read_records
from benchmarks.speed import planner
from benchmarks.speed.planner_child import situation_of
from central.merge.plan import plan
from central.merge.situation import PlanPolicy


def test_every_pair_that_is_not_resident_is_planned():
    assert len(plan(situation_of(6, 3, 2), PlanPolicy(hosts_at_once=1)).tasks) == 3 * 4


def test_a_finished_cell_is_not_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(planner, "SITES", 40)
    monkeypatch.setattr(planner, "RESIDENTS", (4,))
    console = Console(file=StringIO(), width=200)
    missed = planner.run_planner(tmp_path, console, repetitions=1, command="test")
    assert [each for each in missed if "MiB" in each] == []  # how long it takes is the machine's matter
    records = read_records(tmp_path)
    assert [record.metric for record in records] == ["plan_wall_time", "plan_peak_rss"]
    assert all(record.baseline and record.ratio for record in records)
    monkeypatch.setattr(planner, "_alone", None)  # would fail if it were called
    planner.run_planner(tmp_path, console, repetitions=1, command="test")
    assert read_records(tmp_path) == records


def test_a_missed_bar_is_said():
    told = {"bench": "planner", "method": "many sites", "unit": "s"}
    slow = Record(metric="plan_wall_time", value=2.5, baseline=1.0, ratio=2.5, **told)
    large = Record(metric="plan_peak_rss", value=float(300 << 20), baseline=1.0, ratio=1.0, **told)
    fine = Record(metric="plan_wall_time", value=0.3, baseline=0.3, ratio=1.0, **told)
    assert len(planner._missed(slow)) == 2
    assert "the bar is 200 MiB" in planner._missed(large)[0]
    assert planner._missed(fine) == []
