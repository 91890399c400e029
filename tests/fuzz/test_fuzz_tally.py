"""A run of the fuzzer leaves records, whether it ends by itself or with a finding."""

from __future__ import annotations

import time

import pytest

from benchmarks.records import read_records
from fuzz import watch as watch_module
from fuzz.tally import Tally, seeded, write_records
from fuzz.watch import Finding, Watch


def run(tmp_path, target, inputs, runs):
    watch = Watch(target, [])
    watch.until(runs, lambda tally: write_records(tmp_path, "manifest", tally, 7, f"{runs} runs"))
    for data in inputs:
        watch(data)


def figures(tmp_path):
    records = read_records(tmp_path)
    assert {(record.bench, record.data, record.method, record.seed) for record in records} == {
        ("fuzz", "manifest", "3 runs", 7)
    }
    return {record.metric: record.value for record in records}


def test_the_last_execution_writes_what_came_of_all(tmp_path):
    run(tmp_path, lambda _: time.thread_time(), [b"a", b"b"], 3)
    assert not (tmp_path / "records.jsonl").exists()
    run(tmp_path, lambda _: None, [b"a", b"b", b"c"], 3)
    told = figures(tmp_path)
    assert {name: told[f"fuzz_{name}"] for name in ("executions", "crashes", "hangs", "growths")} == {
        "executions": 3,
        "crashes": 0,
        "hangs": 0,
        "growths": 0,
    }
    assert told["fuzz_slowest_cpu"] < 1
    assert told["fuzz_memory"] >= 0


def crash(_data):
    raise KeyError("a bug")


@pytest.mark.parametrize(
    ("limits", "target", "error", "metric"),
    [
        ({}, crash, KeyError, "fuzz_crashes"),
        ({"CPU_S": -1.0}, lambda _: None, Finding, "fuzz_hangs"),
        ({"MEMORY_BYTES": -1}, lambda _: None, Finding, "fuzz_growths"),
    ],
)
def test_a_finding_is_counted_before_it_ends_the_run(tmp_path, monkeypatch, limits, target, error, metric):
    for name, value in limits.items():
        monkeypatch.setattr(watch_module, name, value)
    with pytest.raises(error):
        run(tmp_path, target, [b"a"], 3)
    told = figures(tmp_path)
    assert (told["fuzz_executions"], told[metric]) == (1, 1)
    assert told["fuzz_crashes"] + told["fuzz_hangs"] + told["fuzz_growths"] == 1


def test_a_run_has_a_seed_that_can_be_given_again():
    flags, seed, runs = seeded(["-runs=100", "-max_len=5"])
    assert (flags, runs) == (["-runs=100", "-max_len=5", f"-seed={seed}"], 100)
    assert seeded(flags)[1] == seed
    assert seeded([])[2] == -1
    assert Tally().executions == 0
