"""What a site ships for a cell."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from torch import Tensor, nn

from transplant.nets.disclosures import ProbeAnswers, ProbeRequest

if TYPE_CHECKING:
    from benchmarks.quality.cells import Cell
    from transplant.nets.disclosures import DisclosedStatistics
    from transplant.nets.learning import AdapterProblem


def shipped_bytes(problem: AdapterProblem, *, needs_teacher: bool) -> int:
    """Return how many bytes a site sends so that the center can learn this adapter.

    f always; g_T where the learner runs it; disclosed statistics; answers to a probe; and, for the methods
    that learn from labels, the labelled images with their targets, uncompressed: only a center that was
    given them could run these methods at all.
    """
    total = _module_bytes(problem.category_module)
    if problem.teacher_task_module is not None and needs_teacher:
        total += _module_bytes(problem.teacher_task_module)
    if problem.statistics is not None:
        total += _statistics_bytes(problem.statistics)
    if problem.answers is not None:
        total += problem.answers.chosen_N.nbytes + problem.answers.codes.nbytes + 8
    if problem.labelled is not None:
        total += problem.labelled.images.nbytes + problem.labelled.targets.nbytes
    return total


def probed(
    cell: Cell, image_px: int, drawings: float, category_module: nn.Module, task_module: nn.Module
) -> ProbeAnswers:
    """Let the site answer the probe that a merge server asks by default."""
    from central.usecases.center import ProbePolicy  # brings the whole server along: only where it is asked
    from transplant.datafree.probe import answer_probe
    from transplant.datafree.procedural_images import GENERATOR_ID

    policy = ProbePolicy()
    pool, count = policy.asked(cell.task, image_px)
    request = ProbeRequest(
        generator=GENERATOR_ID,
        seed=cell.seed,
        pool=pool,
        count=count,
        image_px=image_px,
        drawings_percent=round(100 * drawings),
        grid=policy.grid,
        task=cell.task,
    )
    return answer_probe(request, category_module, task_module)


def _module_bytes(net: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in net.state_dict().values())


def _statistics_bytes(statistics: DisclosedStatistics) -> int:
    values = [getattr(each, entry.name) for each in statistics.classes for entry in fields(each)]
    return sum(value.nbytes for value in values if isinstance(value, Tensor))
