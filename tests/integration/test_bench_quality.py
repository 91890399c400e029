"""A quality bench from flags to records on drawn scenes: tiny teachers, a few steps, nothing run twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from benchmarks.quality import run_cell as cell_runner
from benchmarks.quality.cells import Bench
from benchmarks.quality.few_images import FewImagesData
from benchmarks.quality.flags import plan_of
from benchmarks.quality.leave_one_out import LeaveOneOutData
from benchmarks.quality.refined import ROUNDS
from benchmarks.quality.report_page import write_page
from benchmarks.quality.run import run_quality
from benchmarks.quality.site_data import SiteKey
from benchmarks.quality.teachers import TeacherKey, load_teacher, recipe_of
from benchmarks.records import Record, read_records
from edge.datasets.scenes import ScenesData
from edge.datasets.site_dataset import Split
from transplant.errors import BenchmarkFailed, CheckpointInvalid, InvalidSettings
from transplant.nets.architecture_table import default_architecture, seam_of
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.quality.plan import Plan

COUNTS = {Split.TRAIN: 160, Split.VALIDATION: 40, Split.TEST: 80}


def _draw(out: Path, *categories: str) -> Path:
    """Draw a tenth of the scenes before the bench does: what lies there is the data."""
    for category in categories:
        ScenesData(category, out / "data" / f"scenes-{category}-0", 0, COUNTS).load(Split.TEST)
    return out


def _run(plan: Plan, out: Path, workers: int = 1) -> tuple[int, int]:
    ran = run_quality(
        plan,
        out,
        Console(quiet=True),
        data_root=Path(),
        proxy=None,
        workers=workers,
        threads=1,
        command="test",
    )
    return ran.teachers, ran.cells


def _plan(bench: Bench, categories: str, methods: str, seeds: str = "0", **flags: str) -> Plan:
    return plan_of(
        bench, data="scenes", seeds=seeds, samples="0,10", methods=methods, categories=categories, epochs=1,
        steps=2, precision="float32", **flags,
    )  # fmt: skip


@pytest.mark.slow
def test_experiments_1_and_2_run_once_and_report(tmp_path: Path):
    _draw(tmp_path, "digit-0", "digit-1")
    inserted = _plan(Bench.EXP1, "digit-0", "direct-learn,back-distill,closed-form", layers="1,3")
    transplanted = _plan(Bench.EXP2, "digit-1", "direct-learn,back-distill")
    segmented = _plan(Bench.EXP3, "digit-1", "back-distill", layers="1", kernel="1")

    assert _run(inserted, tmp_path) == (1, 8)
    assert _run(transplanted, tmp_path) == (1, 3), "the host's teacher was there already"
    assert _run(segmented, tmp_path) == (0, 2), "teachers answer both tasks"
    records = read_records(tmp_path)
    before = (tmp_path / "records.jsonl").read_bytes()

    assert _run(inserted, tmp_path) == (0, 0)
    assert _run(transplanted, tmp_path) == (0, 0)
    assert _run(segmented, tmp_path) == (0, 0)
    assert (tmp_path / "records.jsonl").read_bytes() == before

    assert len(records) == 11 * 5 + 2 * 7
    _check([record for record in records if record.task == "classification"])
    measured = {record.metric for record in records if record.task == "segmentation"}
    assert measured == {
        "pixel_accuracy", "iou", "mean_iou", "agreement", "gap_closed", "bytes_up", "forgetting",
    }  # fmt: skip
    assert {record.value for record in records if record.metric == "forgetting"} == {0.0}
    exact = [record for record in records if record.method == "closed-form" and record.metric == "error"]
    assert [record.value for record in exact] == [record.teacher for record in exact]
    assert {record.layers for record in exact} == {1, 3}
    text = write_page(tmp_path, records).read_text()
    assert "## Experiment 1" in text
    assert "## Experiment 2" in text
    assert "## Experiment 3" in text
    assert "figure5" in text


def _check(records: list[Record]) -> None:
    for record in records:
        assert record.seconds is not None
        assert record.seconds > 0
        assert record.cpu_seconds is not None
        assert record.peak_rss_bytes is not None
        assert record.peak_rss_bytes > 50 << 20
        assert record.image_count == COUNTS[Split.TEST]
        if record.metric == "error":
            assert record.floor == 50.0
            assert record.teacher is not None
            assert 0 <= record.value <= 100
    sizes = {
        (record.method, record.samples): record.value for record in records if record.metric == "bytes_up"
    }
    assert sizes["back-distill", 10] - sizes["back-distill", 0] == 10 * (3 * 32 * 32 + 1)
    assert sizes["direct-learn", 10] < sizes["back-distill", 10], "direct-learn needs no g_T"


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_a_damaged_teacher_is_named(tmp_path: Path):
    plan = _plan(Bench.EXP1, "digit-0", "closed-form", layers="1")
    _draw(tmp_path, "digit-0")
    assert _run(plan, tmp_path) == (1, 1)
    lines = (tmp_path / "records.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "records.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:20])

    assert _run(plan, tmp_path) == (0, 1)
    again = (tmp_path / "records.jsonl").read_bytes().splitlines(keepends=True)
    assert again[:2] == lines[:2]
    assert {record.metric for record in read_records(tmp_path)} == {
        "error", "agreement", "gap_closed", "bytes_up", "forgetting",
    }  # fmt: skip

    (weights,) = (tmp_path / "teachers").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    load_teacher.cache_clear()
    with pytest.raises(BenchmarkFailed, match=r"(?s)1 cells or teachers failed.*delete its files"):
        _run(_plan(Bench.EXP1, "digit-0", "closed-form", layers="3"), tmp_path)
    load_teacher.cache_clear()
    site = SiteKey("scenes", "digit-0", 0, tmp_path / "data", Path())
    with pytest.raises(CheckpointInvalid):
        load_teacher(
            TeacherKey(site, "vgg_small", recipe_of("scenes", 0, 1, "float32")), tmp_path / "teachers"
        )


def test_teachers_of_few_images_borrow_from_the_hosts(tmp_path: Path):
    _draw(tmp_path, "digit-0", "digit-1")
    plan = plan_of(
        "exp2", data="scenes", seeds="0", samples="0", methods="back-distill", categories="digit-1",
        teacher_images="12", teacher_transfer="none,layer,fm", epochs=1, steps=2, precision="float32",
    )  # fmt: skip
    assert _run(plan, tmp_path) == (4, 3), "the host's and three of digit-1"
    assert _run(plan, tmp_path) == (0, 0)
    records = [record for record in read_records(tmp_path) if record.metric == "error"]
    assert {(record.teacher_images, record.teacher_transfer) for record in records} == {
        (12, None), (12, "layer"), (12, "fm"),
    }  # fmt: skip
    host = _weights(tmp_path, lambda inputs: "images" not in inputs)
    layered = _weights(tmp_path, lambda inputs: inputs.get("transfer") == "layer")
    alone = _weights(tmp_path, lambda inputs: "images" in inputs and "transfer" not in inputs)
    lowest = next(name for name in host if name.startswith("category_module") and name.endswith("weight"))
    assert torch.equal(host[lowest], layered[lowest]), "the lowest layer was retained"
    assert not torch.equal(host[lowest], alone[lowest])
    page = write_page(tmp_path, read_records(tmp_path)).read_text()
    assert "## Teachers of few images" in page
    assert "| 12 | layer |" in page


def _weights(out: Path, wanted: Callable[[dict[str, object]], bool]) -> dict[str, torch.Tensor]:
    """Return the weights of the one teacher whose inputs are wanted."""
    (found,) = [
        path for path in (out / "teachers").glob("*.json") if wanted(json.loads(path.read_bytes())["inputs"])
    ]
    return load_file(found.with_suffix(".safetensors"))


def test_few_images_are_split_and_the_test_stays_whole(tmp_path: Path):
    _draw(tmp_path, "digit-1")
    whole = SiteKey("scenes", "digit-1", 0, tmp_path / "data", Path())
    few = FewImagesData(whole, 10, 3)
    train, validation = few.load(Split.TRAIN), few.load(Split.VALIDATION)
    assert (len(train), len(validation)) == (16, 4)
    assert int(train.labels.sum()) == 8
    assert int(validation.labels.sum()) == 2
    shown = {image.numpy().tobytes() for image in train.images}
    assert not shown & {image.numpy().tobytes() for image in validation.images}
    assert few.load(Split.TEST).fingerprint == whole.load(Split.TEST).fingerprint
    with pytest.raises(InvalidSettings, match="--teacher-images 1000"):
        FewImagesData(whole, 1000, 3).load(Split.TRAIN)


def test_refined_cells_start_from_one_data_free_adapter_and_labels_stay_at_the_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    learn, learned = cell_runner.run_learner, []

    def counted(learner, problem, config, **options):
        learned.append((config.method, problem.labelled is not None))
        return learn(learner, problem, replace(config, held_out_images=8), **options)

    monkeypatch.setattr(cell_runner, "run_learner", counted)
    _draw(tmp_path, "digit-0", "digit-1")
    plan = _plan(Bench.EXP2, "digit-1", "refined,transplant", synthetic="8", layers="1", kernel="1")
    assert _run(plan, tmp_path) == (2, 4)
    assert learned == [("transplant", False), ("transplant", True)], "the start once, whoever asks first"
    records = read_records(tmp_path)
    sizes = {(each.method, each.samples): each.value for each in records if each.metric == "bytes_up"}
    channels = seam_of(default_architecture("vgg_small", 32)).channels
    five_deltas = ROUNDS * 4 * (channels * channels + channels)
    assert sizes["refined", 0] == sizes["refined", 10] == sizes["transplant", 0] + five_deltas
    spent = {(each.method, each.samples): each.cpu_seconds or 0 for each in records}
    assert min(spent["refined", 0], spent["refined", 10]) > spent["transplant", 0], "the start is paid for"
    assert len(records) == 4 * 5
    assert "| refined " in write_page(tmp_path, records).read_text()


def test_a_changed_module_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    learn = cell_runner.run_learner

    def careless(learner, problem, config, **options):
        learned = learn(learner, problem, config, **options)
        with torch.no_grad():
            next(problem.host_task_module.parameters()).add_(1e-7)
        return learned

    monkeypatch.setattr(cell_runner, "run_learner", careless)
    _draw(tmp_path, "digit-0")
    load_teacher.cache_clear()
    with pytest.raises(BenchmarkFailed, match=r"ForgettingDetected.*g_S.* changed"):
        _run(_plan(Bench.EXP1, "digit-0", "closed-form", layers="1"), tmp_path)
    load_teacher.cache_clear()
    assert read_records(tmp_path) == []


@pytest.mark.slow
@pytest.mark.alone
def test_cells_run_side_by_side_on_ray(tmp_path: Path):
    plan = plan_of(
        "exp1", data="scenes", seeds="0", samples="0,10", methods="direct-learn,closed-form",
        categories="digit-0", layers="1", epochs=1, steps=2, precision="float32",
    )  # fmt: skip
    _draw(tmp_path, "digit-0")
    assert _run(plan, tmp_path, workers=2) == (1, 2)
    assert _run(plan, tmp_path, workers=2) == (0, 0)
    assert len(read_records(tmp_path)) == 10


@pytest.mark.parametrize(("workers", "threads", "told"), [(0, 1, "--workers"), (1, 0, "--threads")])
def test_no_workers_is_an_error(tmp_path: Path, workers: int, threads: int, told: str):
    plan = _plan(Bench.EXP1, "digit-0", "closed-form")
    with pytest.raises(InvalidSettings, match=told):
        run_quality(
            plan, tmp_path, Console(quiet=True), data_root=Path(), proxy=None, workers=workers,
            threads=threads, command="test",
        )  # fmt: skip


@pytest.mark.data
@pytest.mark.slow
def test_a_leave_one_out_host_never_sees_its_category(data_root: Path):
    host = SiteKey("cifar10", "all-but-cat", 0, data_root, data_root).load(Split.TEST)
    own = SiteKey("cifar10", "cat", 0, data_root, data_root).load(Split.TEST)
    cats = {image.numpy().tobytes() for image, label in zip(own.images, own.labels, strict=True) if label}
    assert len(cats) == 1000
    assert not any(image.numpy().tobytes() in cats for image in host.images)
    assert int(host.labels.sum()) == 7 * (2000 // 7)
    assert int((host.labels == 0).sum()) == 2000
    with pytest.raises(InvalidSettings, match="no host leaves out"):
        LeaveOneOutData("cifar10", "frog", data_root, 0)


@pytest.mark.data
@pytest.mark.slow
def test_a_leave_one_out_host_of_crops_segments_mammals_only(data_root: Path):
    host = LeaveOneOutData("voc_mammals", "cow", data_root, 0).load(Split.TEST)
    images, masks = host.examples(Task.SEGMENTATION)
    assert len(images) == 130 + 150 + 101 + 118, "cat, dog, horse, sheep"
    assert int(host.labels.sum()) - len(images) == 4 * 101, "as many of each vehicle as of the rarest mammal"
    assert abs(float(host.labels.to(torch.float32).mean()) - 0.5) < 0.01
    assert masks.shape[1:] == (64, 64)
