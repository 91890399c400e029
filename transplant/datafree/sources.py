"""What function distillation learns on: synthetic x by what a site discloses, with g_T's answers.

| source | needs | x |
|---|---|---|
| procedural | nothing | f(dead leaves and drawings), a share of them nudged |
| noise | nothing | f(multi-scale noise) |
| inverted | nothing | f(noise inverted through g_T o f to random answers) |
| moments | level moments | f(procedural images nudged to random answers and to the disclosed moments) |
| pca | level pca | drawn from the disclosed mean maps and principal directions |
| proxy | public images | f(unlabelled public images), a share of them nudged |

Where the site keeps g_T at home, x are the images that it answered about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from transplant.datafree.feature_sampling import sample_features
from transplant.datafree.inversion import invert, noise_images
from transplant.datafree.nudging import nudge
from transplant.datafree.probe import answered_logits, probe_images
from transplant.datafree.procedural_images import procedural_images
from transplant.errors import DisclosureMissing, InvalidSettings
from transplant.nets.architecture_table import image_px, seam_of
from transplant.nets.learning import AdapterProblem, step_generator
from transplant.nets.measures import as_images
from transplant.types import Disclosure

if TYPE_CHECKING:
    from transplant.nets.disclosures import DisclosedStatistics, ProbeAnswers
    from transplant.nets.learner_config import LearnerConfig

_CHUNK = 128
_HELD_OUT_SEED = 7_919


@dataclass(frozen=True)
class Synthetic:
    """Inputs with g_T's answers: uint8 images (N, 3, H, W), or float32 features x (N, C, H', W')."""

    inputs: Tensor
    answers: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


@torch.no_grad()
def features_of(problem: AdapterProblem, inputs: Tensor) -> Tensor:
    """Return x: images go through f, features are x already."""
    return problem.category_module(as_images(inputs)) if inputs.dtype == torch.uint8 else inputs


@torch.no_grad()
def answers_of(problem: AdapterProblem, inputs: Tensor, head: nn.Module) -> Tensor:
    """Return head(x) in float32, chunk by chunk."""
    return torch.cat([head(features_of(problem, part)) for part in inputs.split(_CHUNK)])


def synthesise(problem: AdapterProblem, config: LearnerConfig) -> tuple[Synthetic, Synthetic]:
    """Return what to learn on and a held-out part of the same kind, both functions of problem and seed.

    Raises:
        DisclosureMissing: if the site did not disclose what the source needs.
        InvalidSettings: if there is no such source.
    """
    if problem.teacher_task_module is None:
        return _split(_answered(problem), config)
    if config.source == "proxy":
        return _proxy(problem, config)
    count = config.synthetic_images
    inputs = _inputs(problem, config, count)
    held_out = _inputs(problem, config.with_seed(config.seed + _HELD_OUT_SEED), config.held_out_images)
    parts = [Synthetic(each, answers_of(problem, each, problem.teacher)) for each in (inputs, held_out)]
    return parts[0], parts[1]


def _inputs(problem: AdapterProblem, config: LearnerConfig, count: int) -> Tensor:
    side = image_px(problem.architecture)
    generator = step_generator(config, -3)
    match config.source:
        case "procedural":
            return _partly_nudged(
                problem, config, procedural_images(count, side, config.seed, config.drawings)
            )
        case "noise":
            return noise_images(count, side, config.seed)
        case "inverted":
            start = noise_images(count, side, config.seed)
            return invert(problem.category_module, problem.teacher, start, problem.task, generator,
                          precision=config.precision)  # fmt: skip
        case "moments":
            statistics = _statistics(problem, Disclosure.MOMENTS)
            start = procedural_images(count, side, config.seed, config.drawings)
            return invert(problem.category_module, problem.teacher, start, problem.task, generator,
                          statistics=statistics, precision=config.precision)  # fmt: skip
        case "pca":
            statistics = _statistics(problem, Disclosure.PCA)
            return sample_features(statistics, seam_of(problem.architecture), count, generator)[0]
        case _:
            raise InvalidSettings(f"source {config.source!r} is not synthesised")


def _partly_nudged(problem: AdapterProblem, config: LearnerConfig, images: Tensor) -> Tensor:
    nudged = int(config.nudged_share * len(images))
    if not nudged:
        return images
    return torch.cat([nudge(problem, config, images[:nudged]), images[nudged:]])


def _statistics(problem: AdapterProblem, level: Disclosure) -> DisclosedStatistics:
    levels = list(Disclosure)
    told = problem.statistics
    if told is None or levels.index(told.level) < levels.index(level):
        have = Disclosure.NONE if told is None else told.level
        raise DisclosureMissing(
            f"source {level} needs the site to disclose {level}, and it disclosed {have}: take the source "
            "procedural, or ask the site"
        )
    return told


def _proxy(problem: AdapterProblem, config: LearnerConfig) -> tuple[Synthetic, Synthetic]:
    images = problem.proxy_images
    if images is None or not len(images):
        raise DisclosureMissing("source proxy needs a folder of public images at the center: give one")
    order = torch.randperm(len(images), generator=step_generator(config, -3))
    order = order[: config.synthetic_images + config.held_out_images]
    held_out = min(config.held_out_images, len(order) // 8)
    inputs = _partly_nudged(problem, config, images[order[held_out:]])
    parts = [
        Synthetic(each, answers_of(problem, each, problem.teacher))
        for each in (inputs, images[order[:held_out]])
    ]
    return parts[0], parts[1]


def _answered(problem: AdapterProblem) -> Synthetic:
    answers: ProbeAnswers | None = problem.answers
    if answers is None:
        raise DisclosureMissing("the site keeps its task module at home and has not answered a probe yet")
    return Synthetic(probe_images(answers.request, answers.chosen_N), answered_logits(answers))


def _split(answered: Synthetic, config: LearnerConfig) -> tuple[Synthetic, Synthetic]:
    """Hold a random part of the answered images back."""
    order = torch.randperm(len(answered), generator=step_generator(config, -3))
    held_out = min(config.held_out_images, len(order) // 8)
    parts = [
        Synthetic(answered.inputs[each], answered.answers[each])
        for each in (order[held_out:], order[:held_out])
    ]
    return parts[0], parts[1]
