"""Method `refined`: the site's own images and as many labels as the cell says, and the better one stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
import torch
from fakes.tiny_data import SquareData
from torch import nn

from benchmarks.quality import refined
from benchmarks.quality.cells import Cell
from benchmarks.quality.cost import Meter
from benchmarks.quality.refined import (
    ROUNDS,
    StartShelf,
    is_start,
    refine_at_site,
    refinement_config,
    start_of,
)
from central.refine.federated_run import Rounds
from edge.datasets.site_dataset import Split
from transplant.nets.architecture_table import default_architecture
from transplant.nets.architectures import build_category_module, build_task_module
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learning import AdapterProblem, new_adapter
from transplant.nets.transplant_net import freeze
from transplant.refinement.round_delta import RoundDelta, parameters_of
from transplant.types import Task

if TYPE_CHECKING:
    from transplant.nets.adapter import Adapter
    from transplant.refinement.adapter_refinement import RefinementProblem
    from transplant.refinement.refinement_config import RefinementConfig

SITE = SquareData()
PX = SITE.load(Split.TRAIN).image_px
CELL = Cell("exp2", "x", "vgg_small", "refined", "none", 10, 0, "cat", "dog", Task.CLASSIFICATION, 1, 1)
CONFIG = LearnerConfig(layers=1, kernel=1, steps=40, batch=4)


@pytest.fixture
def problem() -> AdapterProblem:
    torch.manual_seed(0)
    architecture = default_architecture("vgg_small", PX)
    f, f_host = (freeze(build_category_module(architecture)) for _ in range(2))
    g, g_host = (freeze(build_task_module(architecture, Task.CLASSIFICATION)) for _ in range(2))
    return AdapterProblem(
        category_module=f, teacher_task_module=g, host_task_module=g_host, host_category_module=f_host,
        architecture=architecture, host_architecture=architecture, task=Task.CLASSIFICATION,
    )  # fmt: skip


def _refined(problem: AdapterProblem, cell: Cell = CELL) -> tuple[Adapter, Adapter]:
    start, _ = new_adapter(problem, CONFIG, 1.0)
    before = {name: each.clone() for name, each in parameters_of(start).items()}
    after = refine_at_site(start, cell, problem, cast("nn.Module", problem.teacher_task_module), SITE, CONFIG)
    assert all(torch.equal(before[name], each) for name, each in parameters_of(start).items())
    return start, after


def _errors(monkeypatch: pytest.MonkeyPatch, *values: float) -> None:
    """Let the site measure these errors, of the start and of the refined adapter."""
    said = iter(values)

    def measured(_net: object, batches: Any, _task: Task) -> dict[str, float]:
        images = torch.cat([batch for batch, _ in batches])
        assert torch.equal(images, SITE.load(Split.VALIDATION).images), "the gate is on the validation split"
        return {"error": next(said)}

    monkeypatch.setattr(refined, "measure", measured)


@pytest.mark.parametrize(
    ("errors", "stays"), [((20.0, 21.0), True), ((20.0, 20.0), False), ((20.0, 12.0), False)]
)
def test_the_refined_adapter_stays_only_if_the_site_finds_it_no_worse(
    problem: AdapterProblem, monkeypatch: pytest.MonkeyPatch, errors: tuple[float, float], stays: bool
) -> None:
    _errors(monkeypatch, *errors)
    start, after = _refined(problem)
    assert (after is start) == stays


@pytest.mark.parametrize("labels", [0, 10])
def test_rounds_go_over_all_images_of_the_site_and_read_so_many_labels(
    problem: AdapterProblem, monkeypatch: pytest.MonkeyPatch, labels: int
) -> None:
    seen: list[tuple[int, int]] = []
    train = SITE.load(Split.TRAIN)

    def one_round(
        work: RefinementProblem, config: RefinementConfig, adapter: Adapter, *, round_number: int, rounds: int
    ) -> RoundDelta:
        assert torch.equal(work.images, train.images)
        assert (work.labelled is None) == (labels == 0)
        assert work.labelled is None or len(work.labelled.targets) == labels
        assert config.labels == labels
        assert rounds == ROUNDS
        seen.append((round_number, config.steps))
        return RoundDelta({n: torch.full_like(p, 0.5) for n, p in parameters_of(adapter).items()}, {})

    monkeypatch.setattr(refined, "refine", one_round)
    _errors(monkeypatch, 20.0, 10.0)
    cell = Cell(**(CELL.to_dict() | {"samples": labels, "task": Task.CLASSIFICATION}))
    start, after = _refined(problem, cell)
    assert seen == [(number, 8) for number in (1, 2, 3, 4, 5)], "the start's 40 steps, in five rounds"
    own, moved = parameters_of(start), parameters_of(after)
    assert all(torch.allclose(moved[name], own[name] + 2.5) for name in own), "a round goes on from the last"


def test_rounds_are_those_of_the_product() -> None:
    assert Rounds().rounds == ROUNDS == 5
    knobs = refinement_config(LearnerConfig(precision="bfloat16"), 20)
    assert (knobs.steps, knobs.labels, knobs.precision) == (600, 20, "bfloat16")


def test_a_refined_cell_starts_from_the_cell_without_labels() -> None:
    first = start_of(CELL)
    assert (first.method, first.samples) == ("transplant", 0)
    assert is_start(first)
    assert start_of(first) is first
    labelled = Cell(**(CELL.to_dict() | {"method": "transplant", "task": Task.CLASSIFICATION}))
    assert start_of(labelled) is labelled
    assert not is_start(labelled)
    shelf, adapter, cost = StartShelf(), cast("Adapter", object()), Meter()
    assert shelf.find(first) is None
    shelf.put(first, adapter, cost)
    assert shelf.find(first) == (adapter, cost)
    assert shelf.find(labelled) is None
