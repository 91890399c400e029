"""Do declared figures fit the weights that they are about? What a site says of x = f(I), against a trial.

A site's images are not the trial's synthetic ones, so only what no images could explain is refused: a
scale that is `FACTOR` times off, a mean under zero of what comes out of a ReLU, figures that contradict
each other. Where a site says that it added noise for privacy, its figures may be off by what such noise
explains besides, and no more (`central.admission.noise`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.admission.noise import FACTOR, class_noise, manifest_noise
from transplant.errors import DisclosureImplausible
from transplant.types import Disclosure

if TYPE_CHECKING:
    from torch import Tensor

    from transplant.artifact.manifest import Manifest
    from transplant.nets.disclosures import DisclosedStatistics, ProbeAnswers

_TOLD_TWICE = 1.05  # of figures that must agree but for rounding
_BELOW_ZERO = 1e-3  # of the scale


def check_scale(manifest: Manifest, features_BCHW: Tensor, figures: dict[str, float]) -> None:
    """Check what a category module's manifest says about the scale of its features.

    Raises:
        DisclosureImplausible: with every reason.
    """
    told = manifest.statistics
    if told.level is Disclosure.NONE:
        return
    seam, against = manifest.seam, list[str]()
    places = seam.height * seam.width
    measured = float(features_BCHW.flatten(1).norm(dim=1).mean())
    noise = manifest_noise(manifest, measured / places**0.5, against)
    squares = places * sum(
        mean**2 + variance for mean, variance in zip(told.channel_mean, told.channel_variance, strict=True)
    )
    figures |= {"declared.mean_norm": told.mean_norm, "declared.root_mean_square": max(squares, 0.0) ** 0.5}
    _compare("statistics.mean_norm", told.mean_norm, measured, places**0.5 * noise, figures, against)
    if min(told.channel_variance) < 0:
        against.append(f"statistics.channel_variance: {min(told.channel_variance):.3g} is no variance")
    elif told.mean_norm > _TOLD_TWICE * squares**0.5:
        against.append(
            f"statistics.mean_norm: {told.mean_norm:.4g} is more than the channels' means and variances add "
            f"up to, {squares**0.5:.4g}"
        )
    _refuse(against)


def check_statistics(
    statistics: DisclosedStatistics, features_BCHW: Tensor, figures: dict[str, float]
) -> None:
    """Check statistics of the features of a category module against a trial of it.

    Raises:
        DisclosureImplausible: with every reason.
    """
    measured_C = features_BCHW.double().square().mean((0, 2, 3))
    measured = float(measured_C.sum()) ** 0.5
    against: list[str] = []
    for label, one in enumerate(statistics.classes):
        mean_C, variance_C = one.mean_C.double(), one.covariance_CC.double().diagonal()
        told = float((mean_C.square() + variance_C).sum().clamp(min=0)) ** 0.5
        figures[f"declared.{label}.root_mean_square"] = told
        figures[f"declared.{label}.samples"] = float(one.sample_count)
        noise = class_noise(statistics, one, measured, against)
        _compare(f"class {label}: the scale", told, measured, noise, figures, against)
        if float(mean_C.min()) < -_BELOW_ZERO * told:
            against.append(f"class {label}: a channel's mean is {float(mean_C.min()):.3g}, behind a ReLU")
    _refuse(against)


def check_answers_vary(answers: ProbeAnswers, figures: dict[str, float]) -> None:
    """Check that answers tell anything at all.

    Raises:
        DisclosureImplausible: if all of them are the same.
    """
    codes = answers.codes.float()
    figures |= {
        "answers.count": float(len(codes)),
        "answers.mean_code": float(codes.mean()),
        "answers.code_deviation": float(codes.std(correction=0)),
        "answers.low": answers.low,
        "answers.high": answers.high,
    }
    if float(codes.amin()) == float(codes.amax()):
        _refuse(["codes: the answer is the same for every image: nothing can be learned from it"])


def _compare(
    what: str, told: float, measured: float, noise: float, figures: dict[str, float], against: list[str]
) -> None:
    ratio = told / measured if measured > 0 else float("inf")
    figures["declared.largest_ratio"] = max(figures.get("declared.largest_ratio", 0.0), ratio)
    if noise:
        figures["declared.noise"] = max(figures.get("declared.noise", 0.0), noise)
    if not measured / FACTOR - noise <= told <= FACTOR * measured + noise:
        explained = f", and {noise:.4g} that its noise explains" if noise else ""
        against.append(
            f"{what} is said to be {told:.4g}, and synthetic images through these weights give "
            f"{measured:.4g}; a factor of {FACTOR:g} is taken{explained}"
        )


def _refuse(against: list[str]) -> None:
    if against:
        raise DisclosureImplausible("; ".join(against))
