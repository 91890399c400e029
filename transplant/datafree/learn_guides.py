"""Learn the guides of a net's routes without data: on synthetic images, and from figures that sites reported.

Temperature. A site fits it on its own labelled images and reports the number (`transplant.nets.temperature`).
One of an earlier release reports only how often its route errs: a calibrated classifier's mean confidence is
its accuracy, so the temperature is the one at which the route's mean max(p, 1 - p) over the synthetic images
is 1 - error. Where no figure is known it stays 1.

Plausibility. Ridge regression of the route's calibrated log-odds on the summary of its features
(`transplant.nets.route_guide`), over the same images. For a segmentation the log-odds are those of the mean
probability of a pixel.

Shape suffixes: N images, G categories, D entries of a summary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from transplant.errors import InvalidSettings
from transplant.nets.measures import as_images
from transplant.nets.pixel_budget import images_at_once
from transplant.nets.prediction import Calibration
from transplant.nets.route_guide import RouteGuide, summary_of
from transplant.nets.temperature import warm_enough

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transplant.nets.transplant_net import TransplantNet
    from transplant.types import RouteReport, Task

LEAST_IMAGES = 64
_SUREST = 6.0
"""Log-odds beyond it are all "surely": they must not bend the plane."""
_RIDGE = 0.03
"""Times the mean variance of an entry: entries of one channel are nearly collinear, and must not cancel."""


def learn_guides(
    net: TransplantNet, task: Task, images_u8_NCHW: Tensor, reports: Mapping[str, RouteReport] | None = None
) -> dict[tuple[str, Task], RouteGuide]:
    """Return a guide for every route of a task.

    Args:
        net: the net.
        task: whose routes.
        images_u8_NCHW: images of any kind, unlabelled: procedural ones, or public ones that the caller has.
        reports: category -> what its site measured.

    Raises:
        InvalidSettings: for fewer images than `LEAST_IMAGES`, or an error outside 0..100.
        ImagesInvalid: if the images are not what the net takes.
        NotFound: if the net has no route for the task.
    """
    if len(images_u8_NCHW) < LEAST_IMAGES:
        raise InvalidSettings(
            f"guides are learned from {LEAST_IMAGES} images or more; got {len(images_u8_NCHW)}"
        )
    parts = images_u8_NCHW.split(images_at_once(images_u8_NCHW.shape[-1], 256, 1 << 20))
    predictions = [net.predict(part, task=task) for part in parts]
    guides: dict[tuple[str, Task], RouteGuide] = {}
    for place, category in enumerate(predictions[0].categories):
        logits = [prediction.logits_BG[:, place] for prediction in predictions]
        calibration = told_calibration((reports or {}).get(category), torch.cat(logits))
        odds_N = torch.cat([_image_odds(each, calibration) for each in logits])
        summary_ND = _summaries(net.route(category, task).category_module, parts)
        guides[category, task] = RouteGuide(calibration, _ridge(summary_ND, odds_N))
    return guides


def told_calibration(report: RouteReport | None, logits: Tensor) -> Calibration:
    """Return the calibration of a route by what its site reported.

    Args:
        report: of the route; None: nobody told.
        logits: of the route on synthetic images, of any shape.

    Raises:
        InvalidSettings: if the reported error is no percentage.
    """
    if report is None:
        return Calibration()
    if report.temperature is not None:
        return Calibration(report.temperature)
    return matched_calibration(logits, report.error)


def matched_calibration(logits: Tensor, error: float) -> Calibration:
    """Return the calibration under which the mean confidence of `logits` is 1 - error.

    Args:
        logits: of any shape.
        error: in percent; 50 and more make the route as unsure as can be said.

    Raises:
        InvalidSettings: if it is no percentage.
    """
    if not 0 <= error <= 100:
        raise InvalidSettings(f"an error is a percentage; got {error}")
    sureness = logits.abs().to(torch.float64)
    right = 1 - error / 100
    return Calibration(warm_enough(lambda each: float(torch.sigmoid(sureness / each).mean()) > right))


def _image_odds(logits: Tensor, calibration: Calibration) -> Tensor:
    """Return calibrated log-odds of one number an image, (B,)."""
    odds = (logits - calibration.offset) / calibration.temperature
    if odds.dim() > 1:
        odds = torch.sigmoid(odds).flatten(1).mean(dim=1).logit(eps=1e-6)
    return odds.clamp(-_SUREST, _SUREST)


@torch.no_grad()
def _summaries(category_module: nn.Module, parts: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([summary_of(category_module(as_images(part))) for part in parts])


def _ridge(summary_ND: Tensor, odds_N: Tensor) -> Tensor:
    """Return the weights w, float32 (D,), of odds ~ summary w; the constant, D's last, is not punished."""
    x, y = summary_ND[:, :-1].to(torch.float64), odds_N.to(torch.float64)
    middle, height = x.mean(dim=0), y.mean()
    centred = x - middle
    gram = centred.T @ centred / len(x)
    gram += _RIDGE * gram.diagonal().mean().clamp(min=1e-12) * torch.eye(len(gram), dtype=gram.dtype)
    weights = torch.linalg.solve(gram, centred.T @ (y - height) / len(x))
    return torch.cat([weights, (height - middle @ weights).view(1)]).to(torch.float32)
