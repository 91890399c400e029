"""The serving bench: the net and its teachers are asked the same, in processes of their own."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from benchmarks.records import Record, read_records
from benchmarks.speed.serve import BENCH, LEAN, MEMORY, SPEEDUP, bar_of, cases_of, run_serve
from benchmarks.speed.serve_budget import run_budget
from benchmarks.speed.serve_child import in_own_process
from benchmarks.speed.serve_nets import ServeCase, images_of, net_of, teachers_of, weight_bytes
from transplant.errors import BenchmarkFailed, InvalidSettings
from transplant.types import Task

SMALL = ServeCase("vgg_small", Task.CLASSIFICATION, 1, 1, 1, categories=3)


def test_net_and_teachers_of_a_case_share_what_they_must():
    net, teachers, images = net_of(SMALL), teachers_of(SMALL), images_of(SMALL)
    told = net.predict(images, task=SMALL.task)
    founder = teachers[0][1](teachers[0][0](images))
    torch.testing.assert_close(told.logits_BG[:, :1], founder, rtol=1e-4, atol=1e-4)
    alone = weight_bytes([part for pair in teachers[:1] for part in pair])
    assert weight_bytes([part for pair in teachers for part in pair]) == 3 * alone
    routes = [net.assemble(line) for line in net.version.routes]
    assert alone < weight_bytes(list(routes)) < 2 * alone


@pytest.mark.slow
def test_a_run_records_ratios_of_one_process_and_does_not_repeat_them(tmp_path):
    said = io.StringIO()
    for _ in range(2):
        run_serve([SMALL], tmp_path, Console(file=said, width=200), repetitions=1, command="x")
    records = read_records(tmp_path)
    assert [record.metric for record in records] == [SPEEDUP, LEAN]
    for record in records:
        assert record.ratio is not None
        assert record.value == pytest.approx(1 / record.ratio)
    assert said.getvalue().count("measuring") == 1


@pytest.mark.slow
def test_memory_is_told_by_a_process_that_holds_the_net_alone():
    told = in_own_process("net", SMALL, 1)
    assert told["resident_bytes"] > told["empty_bytes"] > 0
    net = net_of(SMALL)
    assert told["file_bytes"] == weight_bytes([net.assemble(line) for line in net.version.routes])
    with pytest.raises(BenchmarkFailed, match="resnet"):
        in_own_process("net", replace(SMALL, arch="resnet"), 1)


def test_every_case_has_a_key_and_its_bar():
    cases = cases_of("classification,segmentation", None)
    assert [ServeCase.from_json(case.to_json()) for case in cases] == cases
    record = Record(
        BENCH, SPEEDUP, 3.0, "times", arch="vgg_small", samples=1, task="classification", ratio=0.33
    )
    bar = bar_of(record)
    assert bar is not None
    assert bar.cleared_by(record)
    assert not bar.cleared_by(replace(record, ratio=0.51))
    memory = bar_of(replace(record, metric=MEMORY, arch="vgg16"))
    assert memory is not None
    assert memory.most == pytest.approx(0.1)
    assert bar_of(replace(record, task="segmentation")) is None
    assert bar_of(replace(record, metric=LEAN)) is None
    with pytest.raises(InvalidSettings, match="vgg16"):
        cases_of("classification", "resnet")


def test_a_budget_bench_needs_two_categories(tmp_path):
    with pytest.raises(InvalidSettings, match="two at least"):
        run_budget(
            tmp_path, Console(), data="scenes", categories=["digit-1"], seed=0, epochs=1,
            data_root=tmp_path, repetitions=1, command="",
        )  # fmt: skip
