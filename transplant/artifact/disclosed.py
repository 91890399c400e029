"""Statistics and answers as artifacts: sealed by a site, never believed unchecked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from transplant.artifact.codec import load_tensors, seal
from transplant.datafree.probe import check_answers
from transplant.datafree.statistics_tensors import statistics_from_tensors, statistics_to_tensors
from transplant.errors import ManifestInvalid
from transplant.nets.disclosure_layouts import (
    answers_architecture,
    request_of,
    statistics_architecture,
    statistics_level,
)
from transplant.nets.disclosures import DisclosedStatistics, ProbeAnswers
from transplant.types import ModuleKind

if TYPE_CHECKING:
    from pathlib import Path

    from transplant.artifact.manifest import Manifest, TrainingRecord
    from transplant.types import Architecture, Seam


def seal_statistics(
    statistics: DisclosedStatistics, category_module: Manifest, training: TrainingRecord | None = None
) -> tuple[Manifest, bytes]:
    """Return manifest and payload of the statistics of a sealed category module's features.

    Raises:
        ArtifactRejected: if they do not fit the module's seam or hold a number that is none.
    """
    architecture = _architecture(statistics, category_module.seam.to_type())
    return seal(
        statistics_to_tensors(statistics),
        site=category_module.site,
        category=category_module.category,
        kind=ModuleKind.STATISTICS,
        task=None,
        architecture=architecture,
        metrics=told_noise(statistics),
        training=training,
        parents=(category_module.module_id,),
    )


def told_noise(statistics: DisclosedStatistics) -> dict[str, float]:
    """Return what a manifest says about the noise in statistics, or in the figures that they imply."""
    if not statistics.epsilon:
        return {}
    budget = {"epsilon": statistics.epsilon, "delta": statistics.delta}
    return budget | ({"clip_norm": statistics.clip_norm} if statistics.clip_norm else {})


def _architecture(statistics: DisclosedStatistics, seam: Seam) -> Architecture:
    """Return how statistics are described: both classes alike, by the ranks that the first one has."""
    one = statistics.classes[0]
    if one.kronecker is not None:
        rank = max(one.kronecker.channel_CK.shape[1], len(one.kronecker.spatial_LGG))
        rows, columns = one.kronecker.spatial_LGG.shape[1:]
        return statistics_architecture(seam, rank, (rows, columns))
    return statistics_architecture(seam, 0 if one.directions_KCHW is None else len(one.directions_KCHW))


def load_statistics(manifest: Manifest, path: Path) -> DisclosedStatistics:
    """Read statistics back.

    Raises:
        ArtifactRejected: if a byte, a shape or a figure is not what it must be.
    """
    architecture = manifest.architecture.to_type()
    tensors = load_tensors(manifest, path)
    statistics = statistics_from_tensors(tensors, statistics_level(architecture), manifest.seam.to_type())
    clip_norm = manifest.metrics.get("clip_norm", 0.0) if statistics.epsilon else 0.0
    if clip_norm < 0:
        raise ManifestInvalid(f"metrics.clip_norm: {clip_norm:g} is no norm")
    return replace(statistics, clip_norm=clip_norm)


def seal_answers(answers: ProbeAnswers, category_module: Manifest) -> tuple[Manifest, bytes]:
    """Return manifest and payload of the answers that the task module on a sealed category module gives.

    Raises:
        ArtifactRejected: if they are not what their request asks.
    """
    check_answers(answers)
    return seal(
        {
            "chosen": answers.chosen_N,
            "codes": answers.codes,
            "range": torch.tensor([answers.low, answers.high], dtype=torch.float32),
        },
        site=category_module.site,
        category=category_module.category,
        kind=ModuleKind.ANSWERS,
        task=answers.request.task,
        architecture=answers_architecture(answers.request),
        parents=(category_module.module_id,),
    )


def load_answers(manifest: Manifest, path: Path) -> ProbeAnswers:
    """Read answers back; whether anybody asked for them, the caller knows.

    Raises:
        ArtifactRejected: if a byte, a shape or a place is not what the repeated request says.
    """
    tensors = load_tensors(manifest, path)
    if manifest.task is None:
        raise ManifestInvalid("task: answers name the task that they are about")
    low, high = tensors["range"].tolist()
    request = request_of(manifest.architecture.to_type(), manifest.task)
    answers = ProbeAnswers(request, tensors["chosen"], tensors["codes"], low, high)
    check_answers(answers)
    return answers
