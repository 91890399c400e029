"""Cells that differ in labels only share their synthetic images, and each still tells their whole cost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from benchmarks.quality.cells import Cell
from benchmarks.quality.material import MaterialShelf, SharingLearner
from transplant.nets.learner_config import LearnerConfig
from transplant.types import Task

if TYPE_CHECKING:
    from transplant.nets.learning import AdapterProblem, Learner

CELL = Cell(
    "exp2", "cifar10", "vgg_small", "transplant", "none", 0, 0, "cat", "dog", Task.CLASSIFICATION, 3, 3
)
PROBLEM = cast("AdapterProblem", object())


class _Counting:
    """A learner that only prepares, and spends processor time on it."""

    def __init__(self) -> None:
        self.prepared = 0

    def prepare(self, problem: AdapterProblem, config: LearnerConfig) -> list[int]:
        del problem, config
        self.prepared += 1
        return sorted(range(200_000), reverse=True)


@pytest.fixture
def counting() -> _Counting:
    return _Counting()


@pytest.fixture
def material_of(counting: _Counting) -> Any:
    shelf = MaterialShelf()

    def prepare(cell: Cell, setting: str = "s") -> SharingLearner:
        learner = SharingLearner(cast("Learner", counting), cell, setting, shelf)
        learner.prepare(PROBLEM, LearnerConfig(method=cell.method))
        return learner

    return prepare


def test_labels_do_not_ask_for_new_images_and_the_cost_is_told_again(counting: _Counting, material_of: Any):
    first, second = material_of(CELL), material_of(replace(CELL, samples=10))
    assert counting.prepared == 1
    assert first.saved.cpu_seconds == 0
    assert second.saved.cpu_seconds > 0


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"category": "deer"}, {"disclosure": "pca"}, {"ship": "outputs"}, {"synthetic_images": 9}],
)
def test_anything_else_does(counting: _Counting, material_of: Any, change: dict[str, Any]):
    material_of(CELL)
    assert material_of(replace(CELL, **change)).saved.cpu_seconds == 0
    assert counting.prepared == 2


def test_another_setting_does(counting: _Counting, material_of: Any):
    material_of(CELL)
    material_of(CELL, "other")
    assert counting.prepared == 2


def test_methods_without_synthetic_images_neither_use_the_shelf_nor_clear_it(
    counting: _Counting, material_of: Any
):
    material_of(CELL)
    material_of(replace(CELL, method="back-distill"))
    material_of(replace(CELL, method="back-distill"))
    assert counting.prepared == 3
    material_of(replace(CELL, samples=20))
    assert counting.prepared == 3
