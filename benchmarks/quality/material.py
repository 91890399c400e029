"""Synthetic images are a function of everything in a cell but its labels: neighbouring cells share them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.quality.cost import Meter
from benchmarks.quality.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Hashable

    from benchmarks.quality.cells import Cell
    from transplant.nets.learner_config import LearnerConfig
    from transplant.nets.learning import AdapterProblem, LearnedAdapter, Learner, LearnerState


@dataclass(frozen=True)
class Prepared:
    """What a learner prepared for `of`, and what that had cost."""

    of: Hashable
    material: Any
    cost: Meter


class MaterialShelf:
    """Holds the material of one cell, for the next one that needs the same."""

    def __init__(self) -> None:
        self._prepared: Prepared | None = None

    def prepared(
        self, of: Hashable, learner: Learner, problem: AdapterProblem, config: LearnerConfig
    ) -> tuple[Prepared, bool]:
        """Return the material for `of`, and whether it was there already."""
        if self._prepared is not None and self._prepared.of == of:
            return self._prepared, True
        self._prepared = None  # its memory is wanted for the next one
        with Meter() as meter:
            material = learner.prepare(problem, config)
        self._prepared = Prepared(of, material, meter)
        return self._prepared, False


class SharingLearner:
    """Implements `Learner` around another one, whose material it takes from a shelf where it lies there.

    Args:
        learner: the method.
        cell: which cell it learns.
        setting: what else the material depends on.
        shelf: where material lies between cells.
    """

    def __init__(self, learner: Learner, cell: Cell, setting: Hashable, shelf: MaterialShelf) -> None:
        self._learner = learner
        self._of = (replace(cell, samples=0), setting)
        self._shelf = shelf
        self.saved = Meter()

    def total_steps(self, config: LearnerConfig) -> int:
        """Return how many times `step` is to be called."""
        return self._learner.total_steps(config)

    def prepare(self, problem: AdapterProblem, config: LearnerConfig) -> Any:
        """Return the material; `saved` then says what it would have cost to make it."""
        if not METHODS[config.method].synthesises:
            return self._learner.prepare(problem, config)
        prepared, found = self._shelf.prepared(self._of, self._learner, problem, config)
        if found:
            self.saved = prepared.cost
        return prepared.material

    def init(self, problem: AdapterProblem, config: LearnerConfig, material: Any) -> LearnerState:
        """Return the state before the first step."""
        return self._learner.init(problem, config, material)

    def step(
        self, problem: AdapterProblem, config: LearnerConfig, material: Any, state: LearnerState
    ) -> tuple[LearnerState, dict[str, float]]:
        """Return the next state and this step's figures."""
        return self._learner.step(problem, config, material, state)

    def finish(
        self, problem: AdapterProblem, config: LearnerConfig, material: Any, state: LearnerState
    ) -> LearnedAdapter:
        """Return the adapter and its figures."""
        return self._learner.finish(problem, config, material, state)
