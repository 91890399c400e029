"""The bench of encodings measures founders' routes and transplanted ones, both beside float32, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from benchmarks.records import read_records
from benchmarks.speed import encodings
from benchmarks.speed.encodings import run_encodings
from edge.datasets.scenes import ScenesData
from edge.datasets.site_dataset import Split
from transplant.artifact.encoding import Encoding
from transplant.errors import BenchmarkFailed
from transplant.nets.learner_config import LearnerConfig

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = {Split.TRAIN: 40, Split.VALIDATION: 20, Split.TEST: 40}
QUICK = LearnerConfig(
    steps=3, layers=1, batch=8, candidates=1, synthetic_images=32, held_out_images=8, nudged_share=0.0
)


def _run(out: Path, learner: LearnerConfig = QUICK) -> None:
    run_encodings(
        out, Console(quiet=True), data="scenes", categories=["digit-1", "digit-3"], seeds=[0], epochs=1,
        data_root=out, learner=learner,
    )  # fmt: skip


def test_transplanted_routes_are_measured_beside_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for category in ("digit-1", "digit-3"):
        ScenesData(category, tmp_path / "sites" / f"scenes-{category}-0", 0, COUNTS).load(Split.TEST)
    learned: list[tuple[bool, ...]] = []
    learn = encodings.run_learner

    def spied(learner, problem, config):
        weights = (problem.category_module, problem.teacher, problem.host_task_module)
        filters = [[weight for weight in net.parameters() if weight.dim() > 1] for net in weights]
        learned.append(tuple(all(bool((w.half().float() == w).all()) for w in each) for each in filters))
        return learn(learner, problem, config)

    monkeypatch.setattr(encodings, "run_learner", spied)
    _run(tmp_path)
    records = read_records(tmp_path)
    routes = [record for record in records if record.metric == "encoding_route_error"]
    assert len(routes) == 2 * len(Encoding)
    assert {(record.category, record.host) for record in routes} == {("digit-3", "digit-1")}
    for task in ("classification", "segmentation"):
        told = {record.method: record for record in routes if record.task == task}
        assert set(told) == {encoding.value for encoding in Encoding}
        plain = told[Encoding.F32.value]
        assert {record.baseline for record in told.values()} == {plain.value}
        assert 0 <= plain.value <= 100
    half = list(Encoding).index(Encoding.F16)
    assert learned[half] == (True, True, True), "the adapter is learned from what a center received"
    assert learned[list(Encoding).index(Encoding.F32)] == (False, False, False)
    count = len(learned)
    _run(tmp_path)
    assert len(learned) == count, "what was measured is not learned again"
    with pytest.raises(BenchmarkFailed, match="choose another --out"):
        _run(tmp_path, LearnerConfig())
