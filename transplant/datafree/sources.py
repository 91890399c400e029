"""What function distillation learns on: synthetic x by what a site discloses, with g_T's answers.

| source | needs | x |
|---|---|---|
| procedural | nothing | f(dead leaves and drawings), a share of them nudged |
| noise | nothing | f(multi-scale noise) |
| inverted | nothing | f(noise inverted through g_T o f to random answers) |
| moments | level moments | f(procedural images nudged to random answers and to the disclosed moments) |
| pca | level pca | drawn from the disclosed mean maps and principal directions |
| proxy | public images | f(unlabelled public images), a share of them nudged |

The last three are blended with procedural images.

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
from transplant.errors import DisclosureMissing
from transplant.nets.architecture_table import image_px, seam_of
from transplant.nets.finite import check_finite
from transplant.nets.learner_config import FEWEST_PUBLIC_IMAGES
from transplant.nets.learning import AdapterProblem, step_generator
from transplant.nets.measures import as_images
from transplant.nets.pixel_budget import images_at_once
from transplant.nets.placement import beside
from transplant.types import Disclosure, Task

if TYPE_CHECKING:
    from transplant.nets.disclosures import DisclosedStatistics, ProbeAnswers
    from transplant.nets.learner_config import LearnerConfig

_IMAGES_BYTES = 1 << 30  # of images with their answers: 24,000 at 64 px, some 3,000 at 224
_FEATURES_BYTES = 2 << 30  # of features without images: a thousand at 112 x 112 are 3 GB
_HELD_OUT_SEED = 7_919


@dataclass(frozen=True)
class Synthetic:
    """Synthetic images and, behind them, features without images; g_T's answers for all of them."""

    images: Tensor  # uint8 (N, 3, H, W)
    features: Tensor  # float32 (K, C, H', W'), K = 0 for most sources
    answers: Tensor  # (N + K, 1), or (N + K, 1, H, W) for segmentation

    def __len__(self) -> int:
        return len(self.answers)

    @torch.no_grad()
    def batch(self, problem: AdapterProblem, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return x (B, C, H', W') and the answers of the chosen places."""
        images, features = chosen[chosen < len(self.images)], chosen[chosen >= len(self.images)]
        f = problem.category_module
        parts = [f(as_images(beside(self.images[images], f)))] if len(images) else []
        if len(features):
            parts.append(beside(self.features[features - len(self.images)], f))
        return torch.cat(parts), self.answers[torch.cat([images, features])]

    @torch.no_grad()
    def answers_of(self, problem: AdapterProblem, head: nn.Module) -> Tensor:
        """Return head(x) in float32 for all of x, chunk by chunk."""
        chunks = torch.arange(len(self)).split(images_at_once(self.images.shape[-1]))
        answers = torch.empty(0)
        for chosen in chunks:  # written in place: maps of answers at image size are the largest thing here
            part = head(self.batch(problem, chosen)[0])
            if not len(answers):
                answers = part.new_empty((len(self), *part.shape[1:]))
            answers[chosen] = part
        return answers


def synthesise(problem: AdapterProblem, config: LearnerConfig) -> tuple[Synthetic, Synthetic]:
    """Return what to learn on and a held-out part of the same kind, both functions of problem and seed.

    Raises:
        DisclosureMissing: if the site did not disclose what the source needs.
        TensorNotFinite: if the teacher answers NaN or an infinity.
    """
    if problem.teacher_task_module is None:
        return _answered(problem, config)
    count = min(config.synthetic_images, _IMAGES_BYTES // _bytes_each(problem))
    return _synthetic(problem, config, count, held_out=False), held_out_part(problem, config)


def held_out_part(problem: AdapterProblem, config: LearnerConfig) -> Synthetic:
    """Return the second of what `synthesise` returns, without making the first where that can be helped.

    Raises:
        DisclosureMissing: if the site did not disclose what the source needs.
        TensorNotFinite: if the teacher answers NaN or an infinity.
    """
    if problem.teacher_task_module is None:
        return _answered(problem, config)[1]
    held_out = config.with_seed(config.seed + _HELD_OUT_SEED)
    return _synthetic(problem, held_out, config.held_out_images, held_out=True)


def _synthetic(problem: AdapterProblem, config: LearnerConfig, count: int, *, held_out: bool) -> Synthetic:
    """Make `count` x of the config's source; sources of disclosed things are blended with procedural images.

    Statistics know little of edges and textures, public images little of this category: each covers
    what the other misses. Features that would not fit into memory give way to procedural images.
    """
    seam = seam_of(problem.architecture)
    features = torch.empty(0, seam.channels, seam.height, seam.width)
    blended = round(config.blend * count) if config.source in ("moments", "pca", "proxy") else 0
    told = count - blended
    if config.source == "pca":
        told = min(told, _FEATURES_BYTES // (4 * seam.channels * seam.height * seam.width))
        blended = count - told
    images = _procedural(problem, config, blended) if blended else None
    if config.source == "pca":
        statistics = _statistics(problem, Disclosure.PCA)
        features = sample_features(statistics, seam, told, step_generator(config, -3))[0]
    else:
        own = _images(problem, config, told, held_out=held_out)
        images = own if images is None else torch.cat([images, own])
    if images is None:
        images = torch.empty(0, 3, 2 * seam.height, 2 * seam.width, dtype=torch.uint8)
    unanswered = Synthetic(images, features, torch.empty(len(images) + len(features)))
    answers = unanswered.answers_of(problem, problem.teacher)
    return Synthetic(images, features, check_finite(answers, "the teacher's answers to synthetic images"))


def _bytes_each(problem: AdapterProblem) -> int:
    """Return what one image takes with its answers: a logit a pixel for segmentation."""
    pixels = image_px(problem.architecture) ** 2
    return 3 * pixels + (4 * pixels if problem.task is Task.SEGMENTATION else 4)


def _images(problem: AdapterProblem, config: LearnerConfig, count: int, *, held_out: bool) -> Tensor:
    side = image_px(problem.architecture)
    generator = step_generator(config, -3)
    match config.source:
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
        case "proxy":
            return _public(problem, config, count, held_out=held_out)
        case _:
            return _procedural(problem, config, count)


def _procedural(problem: AdapterProblem, config: LearnerConfig, count: int) -> Tensor:
    images = procedural_images(count, image_px(problem.architecture), config.seed, config.drawings)
    return _partly_nudged(problem, config, images)


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


def _public(problem: AdapterProblem, config: LearnerConfig, count: int, *, held_out: bool) -> Tensor:
    """Return up to `count` public images: every eighth is kept for the held-out part."""
    images = problem.proxy_images
    if images is None or len(images) < FEWEST_PUBLIC_IMAGES:
        raise DisclosureMissing(
            f"source proxy needs a folder of at least {FEWEST_PUBLIC_IMAGES} public images at the center: "
            "give one (serve --proxy)"
        )
    places = torch.arange(len(images))
    places = places[(places % 8 == 0) if held_out else (places % 8 != 0)]
    order = torch.randperm(len(places), generator=step_generator(config, -3))[:count]
    return _partly_nudged(problem, config, images[places[order]])


def _answered(problem: AdapterProblem, config: LearnerConfig) -> tuple[Synthetic, Synthetic]:
    """Return what the site answered about, a random part of it held out.

    At least one answer is held out; the only one is both learned from and held out.
    """
    answers: ProbeAnswers | None = problem.answers
    if answers is None:
        raise DisclosureMissing("the site keeps its task module at home and has not answered a probe yet")
    seam = seam_of(problem.architecture)
    features = torch.empty(0, seam.channels, seam.height, seam.width)
    logits = check_finite(answered_logits(answers), "the answers that the site gave")
    images = probe_images(answers.request, answers.chosen_N)
    order = torch.randperm(len(images), generator=step_generator(config, -3))
    held_out = min(config.held_out_images, max(1, len(order) // 8))
    learned = order[held_out:] if len(order) > held_out else order
    parts = [Synthetic(images[each], features, logits[each]) for each in (learned, order[:held_out])]
    return parts[0], parts[1]
