"""Method `refined`: a cell's data-free adapter, refined at its site as `transplant-central refine` does it.

It starts from what `transplant` learns in the same cell without a label: labels never leave the site, and the
refinement alone reads as many as the cell has. Then come a few rounds on all training images of the site, and
the gate of the product: the site measures both adapters on its validation split, and the refined one stays
only if it is no worse. A site computes on its CPU, whatever the start was learned on.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.quality.samples import labelled_samples
from edge.datasets.site_dataset import Split
from edge.teach.augment import Augmentation
from transplant.artifact.digest import derive_seed
from transplant.nets.measures import DECIDING_MEASURE, measure
from transplant.nets.pixel_budget import images_at_once
from transplant.nets.transplant_net import RouteNet
from transplant.refinement.adapter_refinement import RefinementProblem, refine
from transplant.refinement.refinement_config import RefinementConfig
from transplant.refinement.round_delta import add_to
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Hashable

    from torch import nn

    from benchmarks.quality.cells import Cell
    from benchmarks.quality.cost import Meter
    from edge.datasets.site_dataset import SiteData, SiteDataset
    from transplant.nets.adapter import Adapter
    from transplant.nets.learner_config import LearnerConfig
    from transplant.nets.learning import AdapterProblem

REFINED, START = "refined", "transplant"
ROUNDS = 5
"""As many as `transplant-central refine` holds by default."""


class StartShelf:
    """Holds the adapter that one cell starts from, and what it had cost, for its neighbours."""

    def __init__(self) -> None:
        self._held: tuple[Hashable, Adapter, Meter] | None = None

    def put(self, of: Hashable, adapter: Adapter, cost: Meter) -> None:
        """Lay an adapter down; the one of before is forgotten."""
        self._held = (of, adapter, cost)

    def find(self, of: Hashable) -> tuple[Adapter, Meter] | None:
        """Return the adapter of a cell with its cost, if it lies here."""
        if self._held is None or self._held[0] != of:
            return None
        return self._held[1:]


def start_of(cell: Cell) -> Cell:
    """Return the cell whose adapter is to be learned first: of every other method the cell itself."""
    return replace(cell, method=START, samples=0) if cell.method == REFINED else cell


def is_start(cell: Cell) -> bool:
    """Tell whether refined cells start from this one."""
    return (cell.method, cell.samples) == (START, 0)


def refine_at_site(
    start: Adapter,
    cell: Cell,
    problem: AdapterProblem,
    teacher_task_module: nn.Module,
    site: SiteData,
    config: LearnerConfig,
) -> Adapter:
    """Return the adapter that stays after all rounds and the site's gate; `start` is left as it is.

    Args:
        start: the data-free adapter.
        cell: says the task and how many labels the site spends.
        problem: what `start` was learned on.
        teacher_task_module: g_T, which is at the site in any case.
        site: its data; the test split is not looked at.
        config: what `start` was learned with.
    """
    train = site.load(Split.TRAIN)
    work = RefinementProblem(
        category_module=problem.category_module,
        task_module=problem.host_task_module,
        teacher_category_module=problem.category_module,
        teacher_task_module=teacher_task_module,
        task=cell.task,
        images=train.images,
        labelled=labelled_samples(train, cell.task, cell.samples, cell.seed),
        augment=Augmentation.for_data(train).apply,
    )
    knobs = refinement_config(config, cell.samples)
    moving = copy.deepcopy(start)
    for number in range(1, ROUNDS + 1):
        add_to(moving, refine(work, knobs, moving, round_number=number, rounds=ROUNDS).tensors)
    return better(work, start, moving, site.load(Split.VALIDATION))


def refinement_config(config: LearnerConfig, labels: int) -> RefinementConfig:
    """Return a round's knobs: all rounds together take as many steps as the start did.

    A step of refinement runs f and g_T, too, and takes 1.3 times as long; but nothing has to be drawn and
    nudged before, so that a cell costs about one and a half times what its start did.
    """
    return RefinementConfig(
        steps=max(1, config.steps // ROUNDS),
        batch=config.batch,
        labels=labels,
        precision=config.precision,
        seed=derive_seed("refined", str(config.seed)),
    )


def better(work: RefinementProblem, start: Adapter, refined: Adapter, validation: SiteDataset) -> Adapter:
    """Return the refined adapter if the site finds it no worse than the start, else the start."""
    batch = images_at_once(validation.image_px, 256, 1 << 20)
    found = [
        measure(
            RouteNet(work.category_module, adapter, work.task_module),
            validation.batches(work.task, batch),
            work.task,
        )[DECIDING_MEASURE[work.task]]
        for adapter in (start, refined)
    ]
    lost = found[1] - found[0] if work.task is Task.CLASSIFICATION else found[0] - found[1]
    return refined if lost <= 0 else start
