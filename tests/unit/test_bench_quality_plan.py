"""Planning a quality bench: pure, complete, and every skip said once; bad flags are typed errors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fakes.tiny_data import SquareData

from benchmarks.quality.cells import METRICS, Cell
from benchmarks.quality.engine import teacher_jobs, unfinished
from benchmarks.quality.flags import plan_of
from benchmarks.quality.folder import claim_folder
from benchmarks.quality.methods import METHODS
from benchmarks.quality.plan import planned
from benchmarks.quality.run_cell import Setting, config_of
from benchmarks.quality.samples import labelled_samples
from benchmarks.quality.work import Job
from benchmarks.records import RecordBook
from edge.datasets.site_dataset import Split
from transplant.errors import BenchmarkFailed, DatasetInvalid, InvalidName, InvalidSettings
from transplant.nets.learner_config import METHODS as LEARNED
from transplant.nets.learner_config import LearnerConfig
from transplant.types import Task

SMALL = {"data": "cifar10", "seeds": "0,1", "samples": "0,10", "categories": "cat,horse"}


def _setting(out: Path, steps: int | None = None, proxy: Path | None = None) -> Setting:
    return Setting(out, out, proxy, 1, steps, "float32", 0, "none")


def test_a_grid_is_every_meaningful_combination_once():
    grid = planned(plan_of("exp2", methods="direct-learn,back-distill,closed-form", **SMALL))
    wanted = {
        (seed, category, samples, method)
        for seed in (0, 1)
        for category in ("cat", "horse")
        for samples, method in (
            (0, "back-distill"),
            (0, "closed-form"),
            (10, "direct-learn"),
            (10, "back-distill"),
        )
    }
    assert {(cell.seed, cell.category, cell.samples, cell.method) for cell in grid.cells} == wanted
    assert len(grid.cells) == len(wanted)
    assert {cell.host for cell in grid.cells} == {"dog"}
    assert grid.skipped == (
        "direct-learn needs labelled samples: no cell at 0 samples",
        "closed-form looks at no label: only its cell at 0 samples is run",
    )


def test_teachers_of_few_images_are_cells_of_their_own():
    flags = {"data": "cifar10", "seeds": "0", "samples": "0", "categories": "cat", "methods": "back-distill"}
    cells = planned(plan_of("exp2", teacher_images="20,50", teacher_transfer="none,l2t", **flags)).cells
    assert {(cell.teacher_images, cell.teacher_transfer) for cell in cells} == {
        (20, None), (20, "l2t"), (50, None), (50, "l2t"),
    }  # fmt: skip
    setting = Setting(Path("out"), Path("out"), None, None, None, "float32", 0, "none")
    keys = [setting.teacher_key(cell, "cat") for cell in cells]
    assert len({key.digest for key in keys}) == len(cells)
    hosts = {setting.teacher_key(cell, "dog").digest for cell in cells}
    assert hosts == {key.lender.digest for key in keys if key.lender is not None}
    plain = planned(plan_of("exp2", **flags)).cells[0]
    assert setting.teacher_key(plain, "dog").digest in hosts, "hosts have all of their images"
    with pytest.raises(InvalidSettings, match="--teacher-transfer takes layer"):
        plan_of("exp2", teacher_transfer="magic", **flags)
    with pytest.raises(InvalidSettings, match="exp2 and exp3"):
        plan_of("exp1", teacher_images="20", **flags)


def test_planning_the_same_flags_gives_the_same_cells_in_the_same_order():
    first, second = (planned(plan_of("ablation", data="voc_mammals")) for _ in range(2))
    assert first == second


def test_a_method_that_synthesises_nothing_runs_once_whatever_is_disclosed():
    plan = plan_of("exp2", methods="back-distill,function", disclosure="moments,pca,proxy", **SMALL)
    grid = planned(plan)
    levels = {
        method: {cell.disclosure for cell in grid.cells if cell.method == method} for method in plan.methods
    }
    assert levels == {"back-distill": {"none"}, "function": {"moments", "pca", "proxy"}}
    assert len([reason for reason in grid.skipped if reason.startswith("back-distill")]) == 1


def test_outputs_are_shipped_at_disclosure_none_only():
    grid = planned(plan_of("exp2", methods="function", disclosure="none,pca", ship="outputs", **SMALL))
    assert {(cell.disclosure, cell.ship) for cell in grid.cells} == {("none", "outputs")}


@pytest.mark.parametrize(
    ("bench", "data", "tasks", "hosts"),
    [
        ("exp1", "cifar10", {Task.CLASSIFICATION}, {"cat", "deer", "dog", "horse", "bird"}),
        ("exp2", "voc_mammals", {Task.CLASSIFICATION}, {"dog"}),
        ("exp3", "voc_mammals", {Task.SEGMENTATION}, {"dog"}),
        ("table4", "cifar10", {Task.CLASSIFICATION}, {"all-but-cat", "all-but-deer", "all-but-horse"}),
    ],
)
def test_an_experiment_knows_its_tasks_and_hosts(bench: str, data: str, tasks: set[Task], hosts: set[str]):
    cells = planned(plan_of(bench, data=data)).cells
    assert {cell.task for cell in cells} == tasks
    assert {cell.host for cell in cells} == hosts
    assert {cell.seed for cell in cells} == {0, 1, 2}


def test_experiment_1_inserts_one_and_three_layers():
    assert {cell.layers for cell in planned(plan_of("exp1", data="cifar10")).cells} == {1, 3}


def test_an_ablation_varies_one_factor_at_a_time():
    cells = planned(plan_of("ablation", data="cifar10", seeds="0", categories="cat")).cells
    base = cells[0]
    names = ("layers", "kernel", "disclosure", "synthetic_images", "host")
    apart = [sum(getattr(cell, name) != getattr(base, name) for name in names) for cell in cells]
    assert sorted(apart) == [0] + [1] * (3 + 2 + 3 + 4 + 2)


def test_a_category_is_not_transplanted_into_itself():
    grid = planned(plan_of("exp2", data="cifar10", categories="cat,dog", methods="function", samples="0"))
    assert {cell.category for cell in grid.cells} == {"cat"}
    assert grid.skipped == ("dog is the host itself: nothing to transplant",)


def test_every_method_of_the_merge_server_has_its_traits():
    assert set(LEARNED) <= set(METHODS)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"data": "imagenet"}, "cifar10"),
        ({"methods": "magic"}, "--methods"),
        ({"methods": "function,,distill"}, "--methods"),
        ({"disclosure": "everything"}, "--disclosure"),
        ({"samples": "ten"}, "--samples"),
        ({"samples": "-1"}, "--samples"),
        ({"seeds": "0,0"}, "twice"),
        ({"layers": "0"}, "--layers"),
        ({"kernel": "2"}, "odd"),
        ({"arch": "resnet"}, "--arch"),
        ({"ship": "nothing"}, "--ship"),
        ({"sources": "pca"}, "--sources"),
        ({"tasks": "segmentation"}, "--tasks"),
        ({"tasks": "naming"}, "--tasks"),
        ({"epochs": 0}, "--epochs"),
        ({"steps": 0}, "--steps"),
        ({"precision": "int8"}, "--precision"),
        ({"methods": "direct-learn", "samples": "0"}, "no cell"),
    ],
)
def test_bad_flags_are_named(flags: dict[str, object], told: str):
    with pytest.raises(InvalidSettings, match=told):
        plan_of("exp2", **({"data": "cifar10"} | flags))  # pyright: ignore[reportArgumentType]


def test_flags_that_an_experiment_does_not_take_are_named():
    with pytest.raises(InvalidSettings, match="no quality bench"):
        plan_of("exp9", data="cifar10")
    with pytest.raises(InvalidSettings, match="exp3 has no categories"):
        plan_of("exp3", data="cifar10")
    with pytest.raises(InvalidSettings, match="hosts itself"):
        plan_of("exp1", data="cifar10", hosts="dog")
    with pytest.raises(InvalidSettings, match="--categories"):
        plan_of("table4", data="cifar10", categories="frog")
    with pytest.raises(InvalidName):
        plan_of("exp2", data="cifar10", categories="Not a name")


def test_the_papers_methods_run_at_the_papers_settings(tmp_path: Path):
    def config(bench: str, data: str, method: str) -> LearnerConfig:
        cells = planned(plan_of(bench, data=data, methods=method, samples="0", precision="float32")).cells
        return config_of(cells[0], _setting(tmp_path))

    inserted = config("exp1", "cifar10", "back-distill")
    assert (inserted.dummy, inserted.enlarged_side, inserted.steps) == ("second", 1, 300)
    assert config("exp2", "cifar10", "back-distill").dummy == "lowest-second"
    assert config("exp3", "voc_mammals", "back-distill").dummy == "first"
    assert config("exp2", "cifar10", "function").steps == LearnerConfig().steps


def test_a_cell_knows_when_it_is_finished(tmp_path: Path):
    cells = planned(plan_of("exp3", data="scenes", seeds="0", samples="0", methods="back-distill")).cells
    book = RecordBook(tmp_path)
    records = cells[0].expected()
    assert [record.metric for record in records] == [
        *METRICS[Task.SEGMENTATION], "agreement", "gap_closed", "bytes_up",
    ]  # fmt: skip
    for record in records[:-1]:
        book.add(record)
    assert unfinished(cells, book) == list(cells)
    book.add(records[-1])
    assert unfinished(cells, book) == list(cells[1:])


def test_cells_with_other_hosts_are_other_cells(tmp_path: Path):
    book = RecordBook(tmp_path)
    cells = planned(
        plan_of("exp2", data="cifar10", hosts="dog,truck", methods="function", samples="0", seeds="0")
    ).cells
    for record in cells[0].expected():
        book.add(record)
    assert unfinished(cells, book) == list(cells[1:])


def test_a_teacher_is_needed_once_however_many_cells_it_serves(tmp_path: Path):
    cells = planned(plan_of("exp2", methods="back-distill", **SMALL)).cells
    wanted = {(job.cell.seed, job.category) for job in teacher_jobs(cells, _setting(tmp_path))}
    jobs = teacher_jobs(cells, _setting(tmp_path))
    assert wanted == {(seed, name) for seed in (0, 1) for name in ("dog", "cat", "horse")}
    assert len(jobs) == len(wanted)


def test_a_job_survives_its_way_to_a_worker(tmp_path: Path):
    cell = planned(plan_of("ablation", data="cifar10")).cells[-1]
    job = Job(cell, _setting(tmp_path, steps=3), "dog")
    assert Job.from_json(job.to_json()) == job
    assert Cell.from_dict(cell.to_dict()) == cell


def test_a_folder_belongs_to_its_settings(tmp_path: Path):
    plan = plan_of("exp2", steps=5, **SMALL)
    claim_folder(plan, _setting(tmp_path))
    claim_folder(plan, _setting(tmp_path))
    claim_folder(plan_of("exp1", steps=9, **SMALL), _setting(tmp_path))
    with pytest.raises(BenchmarkFailed, match="choose another --out"):
        claim_folder(plan_of("exp2", steps=6, **SMALL), _setting(tmp_path))


def test_a_folder_has_one_source_of_public_images_and_cells_without_any(tmp_path: Path):
    plan = plan_of("exp2", **SMALL)
    for proxy in (None, Path("photographs"), None, Path("photographs")):
        claim_folder(plan, _setting(tmp_path, proxy=proxy))
    with pytest.raises(BenchmarkFailed, match="choose another --out"):
        claim_folder(plan, _setting(tmp_path, proxy=Path("paintings")))


def test_labelled_samples_are_balanced_the_same_for_all_and_nested():
    train = SquareData(count=64).load(Split.TRAIN)
    few, again, more = (labelled_samples(train, Task.CLASSIFICATION, count, 3) for count in (10, 10, 20))
    other = labelled_samples(train, Task.CLASSIFICATION, 10, 4)
    assert few is not None
    assert again is not None
    assert more is not None
    assert other is not None
    assert int(few.targets.sum()) == 5
    assert torch.equal(few.images, again.images)
    assert not torch.equal(few.images, other.images)
    pool = {image.numpy().tobytes() for image in more.images}
    assert all(image.numpy().tobytes() in pool for image in few.images)


def test_segmentation_takes_positives_and_too_few_are_named():
    train = SquareData(count=64).load(Split.TRAIN)
    few = labelled_samples(train, Task.SEGMENTATION, 10, 0)
    assert few is not None
    assert bool((few.targets == 1).flatten(1).any(1).all())
    assert labelled_samples(train, Task.SEGMENTATION, 0, 0) is None
    with pytest.raises(DatasetInvalid, match="fewer --samples"):
        labelled_samples(train, Task.CLASSIFICATION, 100, 0)
