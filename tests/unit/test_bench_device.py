"""What a bench computed on is part of a record's key only where it is not the CPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.other_device import OTHER, install
from rich.console import Console

from benchmarks.bench_device import bench_device
from benchmarks.quality import run_cell
from benchmarks.quality.flags import plan_of
from benchmarks.quality.plan import planned as planned_cells
from benchmarks.quality.run import run_quality
from benchmarks.quality.summary import row_label
from benchmarks.speed import merge as merging
from benchmarks.speed.cases import Case, Speed, Subject
from benchmarks.speed.plan import planned
from transplant.errors import InvalidSettings
from transplant.nets import learning
from transplant.types import Task

SMALL = {"data": "scenes", "seeds": "0", "samples": "0", "methods": "function", "categories": "digit-1"}
MERGE = Case(
    Speed.VGG16_MERGE, Subject.MERGE, "vgg_small", 32, Task.CLASSIFICATION, batch=4, layers=1, kernel=1,
    steps=1, masks=16, synthetic_images=16, device="cuda",
)  # fmt: skip


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)


@pytest.mark.usefixtures("gpu")
def test_a_device_makes_another_cell_and_the_cpu_none() -> None:
    plain = planned_cells(plan_of("exp2", **SMALL)).cells[0]
    on_cpu = planned_cells(plan_of("exp2", device="cpu", **SMALL)).cells[0]
    away = planned_cells(plan_of("exp2", device="auto", **SMALL)).cells[0]
    assert (plain.device, on_cpu.device, away.device) == (None, None, "cuda")
    assert plain == on_cpu
    assert plain.digest != away.digest
    records = [cell.record("error", 5.0) for cell in (plain, away)]
    assert records[0].key() != records[1].key()
    assert "device" not in records[0].to_json()
    assert '"device": "cuda"' in records[1].to_json()
    assert row_label(records[1]) == "function (on cuda)"


def test_files_of_earlier_cells_keep_their_names() -> None:
    cell = planned_cells(plan_of("exp2", **SMALL)).cells[0]
    assert cell.digest == replace(cell, device=None).digest
    assert cell.digest == "33b02510e37cab7ee2ed"


@pytest.mark.usefixtures("gpu")
def test_a_merge_is_timed_on_the_device_and_says_so() -> None:
    flags = {"tasks": "classification", "arch": None, "precision": "float32", "threads": 1}
    (case,) = planned("vgg16-merge", device="cuda", **flags)
    (plain,) = planned("vgg16-merge", **flags)
    assert Case.from_json(case.to_json()) == case
    assert case.record("merge_seconds", 1.0, "s").device == "cuda"
    assert plain.record("merge_seconds", 1.0, "s").device is None
    assert "on cuda" in case.sentence()
    with pytest.raises(InvalidSettings, match="closed-form is timed on the CPU"):
        planned("closed-form", device="cuda", **flags)


def test_the_device_reaches_the_learners(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    for name in ("merge", "papers_merge"):
        asked: list[str] = []

        def spied(*given, device="cpu", asked=asked, **options):
            asked.append(device)
            return learning.run_learner(*given, device=device, **options)

        monkeypatch.setattr(merging, "run_learner", spied)
        getattr(merging, name)(MERGE, lambda *_: None)
        assert set(asked) == {"cuda"}


def test_figures_of_a_cell_are_measured_on_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    seen: set[torch.device] = set()

    class Net(torch.nn.Linear):
        def forward(self, images):
            seen.update({images.device, self.weight.device})
            return super().forward(images.flatten(1))

    net = run_cell.placed(Net(3, 1), OTHER)
    logits = run_cell._Remembering(net)(torch.zeros(2, 3, 1, 1))
    assert seen == {OTHER}
    assert type(logits) is torch.Tensor


def test_what_is_not_there_or_not_shared_is_said(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSettings, match="--device takes auto, cpu, cuda; got tpu"):
        bench_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert bench_device("auto") == "cpu"
    with pytest.raises(InvalidSettings, match="sees no GPU"):
        bench_device("cuda")
    plan = replace(plan_of("exp2", **SMALL), device="cuda")
    with pytest.raises(InvalidSettings, match="for one worker; got --workers 2"):
        run_quality(
            plan,
            tmp_path,
            Console(quiet=True),
            data_root=tmp_path,
            proxy=None,
            workers=2,
            threads=1,
            command="",
        )
