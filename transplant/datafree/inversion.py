"""Inversion: images whose features a teacher answers as wanted, and that look to f as its own site's do.

Starting images, noise or procedural, take normalised gradient steps towards random answers of g_T o f, as in
`transplant.datafree.nudging`, smoothed by total variation (Mahendran and Vedaldi, "Understanding Deep Image
Representations by Inverting Them", 2015). Where a site disclosed moments, half of a batch is wanted with the
category and half without, and each half is also drawn to its class's channel mean and covariance of x
(DeepInversion, Yin et al. 2020, does so with BatchNorm's running figures). Both pulls meet at x, so that the
moments cost no pass through a net.

An image that answers as wanted rests, and a batch is done when all but a few of its images are answered as
wanted or come no nearer, and so are its moments.

Shape suffixes: B images, C channels, H and W places of the seam.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from transplant.datafree.nudging import descend, random_answers
from transplant.datafree.procedural_images import BATCH, in_batches
from transplant.errors import InvalidSettings, SeamMismatch
from transplant.nets.finite import check_finite
from transplant.nets.measures import as_images
from transplant.nets.placement import beside, device_of, placed, to_device
from transplant.nets.precision import mixed_precision
from transplant.nets.seeded import seeded
from transplant.types import Task

if TYPE_CHECKING:
    from transplant.nets.disclosures import ClassStatistics, DisclosedStatistics
    from transplant.types import Precision

_CHUNK = 128
_CHUNK_PIXELS = 1 << 19
_CALIBRATION = 256
_ANSWERED = 0.2  # of what was wanted
_MATCHED = 0.05  # of the class's own moments
_STRAGGLERS = 0.1  # of a batch: so few are not waited for
_PATIENCE = 4


def invert(
    category_module: nn.Module,
    task_module: nn.Module,
    images_u8: Tensor,
    task: Task,
    generator: torch.Generator,
    *,
    steps: int = 20,
    reach: float = 6.0,
    statistics: DisclosedStatistics | None = None,
    moment_weight: float = 1.0,
    tv_weight: float = 0.2,
    precision: Precision = "float32",
) -> Tensor:
    """Move images towards random answers of g_T, and towards the site's moments of x where it told them.

    Args:
        category_module: f, frozen.
        task_module: g_T, frozen.
        images_u8: where to start, uint8 (N, 3, H, W).
        task: what g_T answers.
        generator: of the wanted answers.
        steps: most steps of a batch, each of 2/255.
        reach: deviation of the wanted logits, in deviations of g_T's answers on the starting images.
        statistics: what the site disclosed, level `moments` or `pca`.
        moment_weight: pull of the moments while they are far off, in units of the pull of the answers.
        tv_weight: pull towards smooth images, in the same units.
        precision: of the forward passes.

    Returns:
        uint8 images of the same shape; with `statistics` image 1, 3, 5, ... are those with the category.

    Raises:
        InvalidSettings: if a knob is out of range.
        SeamMismatch: if the statistics are of another number of channels.
        TensorNotFinite: if the teacher answers NaN or an infinity.
    """
    if steps < 0 or not reach > 0 or moment_weight < 0 or tv_weight < 0:
        raise InvalidSettings("inversion takes steps >= 0, reach > 0, moment_weight >= 0 and tv_weight >= 0")
    if not len(images_u8):
        return images_u8
    deviation = _calibrate(category_module, task_module, images_u8[:_CALIBRATION], statistics)
    device = device_of(category_module)
    told = placed(statistics, device)
    inverted: list[Tensor] = []
    for part in images_u8.split(_chunk_of(images_u8)):
        wanted = random_answers(task, len(part), part.shape[-1], generator) * reach * deviation
        if statistics is not None:
            wanted = _by_class(wanted, task)
        wanted = to_device(wanted, device)
        pull = _Pull(category_module, task_module, wanted, deviation, told, moment_weight, tv_weight)
        with mixed_precision(precision, device):
            moved = descend(pull.direction, to_device(part, device), steps)
        inverted.append(to_device(moved, part.device))
    return torch.cat(inverted)


def moment_error(features_BCHW: Tensor, target: ClassStatistics) -> Tensor:
    """Return how far the moments of a batch are from a class's, 0 = equal (differentiable).

    The mean counts in units of the class's total deviation, the covariance relative to its Frobenius norm.
    """
    values_CN = features_BCHW.transpose(0, 1).flatten(1)
    mean_C = values_CN.mean(1)
    centred_CN = values_CN - mean_C[:, None]
    covariance_CC = centred_CN @ centred_CN.T / values_CN.shape[1]
    spread = target.covariance_CC.trace().clamp(min=1e-12)
    mean_error = (mean_C - target.mean_C).square().sum() / spread
    size = target.covariance_CC.square().sum().clamp(min=1e-24)
    return (mean_error + (covariance_CC - target.covariance_CC).square().sum() / size + 1e-12).sqrt()


def noise_images(count: int, image_px: int, seed: int) -> Tensor:
    """Return multi-scale noise, uint8 (count, 3, image_px, image_px).

    Each image is normal noise at every scale of a power of two, blended by random weights, with its own
    brightness, contrast and colour. Image i depends on the seed, i // 64 and its place in its batch only.
    """
    return in_batches(count, image_px, lambda index: _noise_batch(image_px, seeded(seed, index)))


@dataclass
class _Pull:
    """The direction of one step for a batch of images, as the gradient of a linear function of them."""

    category_module: nn.Module
    task_module: nn.Module
    wanted: Tensor
    deviation: float
    statistics: DisclosedStatistics | None
    moment_weight: float
    tv_weight: float

    def __post_init__(self) -> None:
        self._answers, self._moments = _Progress(self.wanted.flatten(1)[:, 0]), _Progress(torch.zeros(2))

    def direction(self, images_BCHW: Tensor) -> Tensor | None:
        """Return a sum whose gradient is the way to go, or None where nearly all images have arrived."""
        x = self.category_module(images_BCHW)
        at_x = x.detach().to(torch.float32).requires_grad_(True)
        answers = self.task_module(at_x).to(torch.float32)
        loss = functional.smooth_l1_loss(answers, self.wanted, reduction="sum")
        (pull_BCHW,) = torch.autograd.grad(loss, at_x)
        apart_B = (answers.detach() - self.wanted).abs().flatten(1).mean(1)
        enough_B = _ANSWERED * self.wanted.abs().flatten(1).mean(1) + _ANSWERED * self.deviation
        moving_B = apart_B > enough_B
        on_its_way_B = moving_B & self._answers.goes_on(apart_B)
        pull_BCHW = _per_image(moving_B) * pull_BCHW / _norms(pull_BCHW)
        if self.statistics is not None and self.moment_weight > 0:
            pulls = [
                _moment_pull(at_x.detach()[at::2], one) for at, one in enumerate(self.statistics.classes)
            ]
            goes_on = self._moments.goes_on(torch.tensor([error for error, _ in pulls]))
            for at, (error, toward) in enumerate(pulls):
                if error > _MATCHED:
                    pull_BCHW[at::2] += self.moment_weight * min(1.0, error) * toward
                    moving_B[at::2].fill_(True)
                    on_its_way_B[at::2] |= goes_on[at]
        if int(on_its_way_B.sum()) <= _STRAGGLERS * len(moving_B):
            return None
        (on_images,) = torch.autograd.grad(x, images_BCHW, pull_BCHW.to(x.dtype))
        smooth = _total_variation_gradient(images_BCHW.detach())
        way = _unit(on_images.to(torch.float32)) + self.tv_weight * _unit(smooth)
        return (images_BCHW * (way * _per_image(moving_B))).sum()


class _Progress:
    """Which of some distances still fall: by a hundredth of the least so far within a few steps."""

    def __init__(self, like: Tensor) -> None:
        self._least = torch.full_like(like, torch.inf)
        self._steps_since = torch.zeros_like(like, dtype=torch.int64)

    def goes_on(self, distances: Tensor) -> Tensor:
        fell = distances < 0.99 * self._least
        self._steps_since = (self._steps_since + 1).masked_fill(fell, 0)
        self._least = torch.minimum(self._least, distances)
        return self._steps_since < _PATIENCE


def _moment_pull(features_BCHW: Tensor, target: ClassStatistics) -> tuple[float, Tensor]:
    """Return the error of the moments and its gradient, of norm 1 for an image on average."""
    if not len(features_BCHW):
        return 0.0, features_BCHW
    features = features_BCHW.clone().requires_grad_(True)
    with torch.autocast(features.device.type, enabled=False):  # a covariance in half precision is none
        error = moment_error(features, target)
        (gradient,) = torch.autograd.grad(error, features)
    return float(error.detach()), gradient / _norms(gradient).mean()


def _by_class(wanted: Tensor, task: Task) -> Tensor:
    """Let every second image show the category: a positive answer, or a mask; the others are denied it."""
    shows = _per_image(torch.arange(len(wanted)) % 2 == 1).view(-1, *[1] * (wanted.dim() - 1))
    return torch.where(shows > 0, wanted.abs() if task is Task.CLASSIFICATION else wanted, -wanted.abs())


@torch.no_grad()
def _calibrate(
    category_module: nn.Module, task_module: nn.Module, images_u8: Tensor, told: DisclosedStatistics | None
) -> float:
    """Return the deviation of g_T's answers; check that the teacher and what was told fit and are sound."""
    answers: list[Tensor] = []
    for part in images_u8.split(_chunk_of(images_u8)):
        x = category_module(as_images(beside(part, category_module)))
        if told is not None and told.classes[0].mean_C.numel() != x.shape[1]:
            raise SeamMismatch(
                f"the statistics are of {told.classes[0].mean_C.numel()} channels, the category module gives "
                f"{x.shape[1]}: take the statistics of this category module"
            )
        answers.append(task_module(x).flatten())
    together = torch.cat(answers)
    check_finite(together, "the teacher's answers")
    return float(together.std(correction=0).clamp(min=1.0))


def _chunk_of(images_BCHW: Tensor) -> int:
    return max(8, min(_CHUNK, _CHUNK_PIXELS // (images_BCHW.shape[-2] * images_BCHW.shape[-1])))


def _total_variation_gradient(images_BCHW: Tensor) -> Tensor:
    """Return the gradient of the sum of sqrt(difference^2 + (1/255)^2) over neighbours in both directions."""
    gradient = torch.zeros_like(images_BCHW)
    for dim in (2, 3):
        step = images_BCHW.diff(dim=dim)
        slope = step * (step.square() + (1 / 255) ** 2).rsqrt()
        length = images_BCHW.shape[dim]
        gradient.narrow(dim, 1, length - 1).add_(slope)
        gradient.narrow(dim, 0, length - 1).sub_(slope)
    return gradient


def _norms(gradient_BCHW: Tensor) -> Tensor:
    return gradient_BCHW.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, 1, 1)


def _unit(gradient_BCHW: Tensor) -> Tensor:
    """Return each image's gradient with a mean absolute value of 1; none stays none."""
    return gradient_BCHW / gradient_BCHW.abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-12)


def _per_image(values_B: Tensor) -> Tensor:
    return values_B.to(torch.float32).view(-1, 1, 1, 1)


def _noise_batch(side: int, generator: torch.Generator) -> Tensor:
    count = BATCH
    image = torch.zeros(count, 3, side, side)
    scale = side
    while scale >= 1:
        cells = max(1, side // scale)
        layer = torch.randn((count, 3, cells, cells), generator=generator)
        layer = functional.interpolate(layer, size=(side, side), mode="bilinear", align_corners=False)
        image += layer * torch.rand((count, 1, 1, 1), generator=generator).square()
        scale //= 2
    grey = image.mean(1, keepdim=True)
    image = torch.lerp(grey, image, torch.rand((count, 1, 1, 1), generator=generator))
    image = image / image.std((1, 2, 3), keepdim=True).clamp(min=1e-6)
    contrast = 0.05 + 0.25 * torch.rand((count, 1, 1, 1), generator=generator)
    brightness = 0.3 + 0.4 * torch.rand((count, 1, 1, 1), generator=generator)
    return ((brightness + contrast * image).clamp(0, 1) * 255).round().to(torch.uint8)
