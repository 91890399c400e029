"""The speed of image making: a share of the merge whose parts it is measured beside."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from benchmarks.claims.claim import read_claims
from benchmarks.claims.judge import Verdict, judge
from benchmarks.records import read_records
from benchmarks.speed import images
from benchmarks.speed.images import SIZES, MergeCost, run_images
from transplant.nets.learner_config import LearnerConfig

if TYPE_CHECKING:
    from pathlib import Path


def test_the_share_is_that_of_the_whole_merge() -> None:
    cost = MergeCost(image_s=0.001, after_image_s=0.004, step_s=0.1, images=1000, steps=50)
    assert cost.merge_s == pytest.approx(1 + 4 + 5)
    assert cost.share == pytest.approx(0.1)


def test_a_run_measures_each_size_once_beside_a_default_merge(tmp_path: Path) -> None:
    said = io.StringIO()
    for _ in range(2):
        run_images(tmp_path, Console(file=said), repetitions=1, command="x", sizes=[("vgg_small", 32)])
    assert said.getvalue().count("measuring") == 1
    (record,) = read_records(tmp_path)
    assert 0 < record.value < 1
    assert record.ratio is not None
    assert record.baseline is not None
    assert record.cpu_seconds is not None
    assert 0 < record.ratio < 1
    assert record.ratio == pytest.approx(record.value / record.baseline)
    default = LearnerConfig()
    count = default.synthetic_images + default.held_out_images
    assert record.cpu_seconds == pytest.approx(record.baseline * count, rel=1e-3)


def test_the_claim_needs_every_size_and_is_missed_by_one() -> None:
    claim = read_claims()["images"]
    records = [images._record(arch, px, 0.001, ratio=0.05) for arch, px in SIZES]
    assert judge(claim, records).verdict is Verdict.MET
    assert judge(claim, records[:-1]).verdict is Verdict.OPEN
    records[1] = images._record("vgg_small", 64, 0.1, ratio=0.4)
    assert judge(claim, records).verdict is Verdict.MISSED
