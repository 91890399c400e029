"""The learner's numbers by image size, where nobody chose them: the work of a merge stays bounded.

The defaults of `LearnerConfig` are right for small images: 24,000 of them and 3,000 steps of 32. What a net
does grows with the pixels that go through it, work ~ images x px^2, so at 224 px the same numbers would be
twelve times the work of 64 px, and VGG-16 would learn for days on a CPU. So up to `FULL_PX` the numbers are
the defaults, and above it they fall such that no more pixels are used than at `FULL_PX`:

| | rule above 64 px | 64 | 96 | 128 | 224 |
|---|---|---|---|---|---|
| batch | what memory allows (`images_at_once`) | 32 | 32 | 32 | 10 |
| steps | steps x batch x px^2 as at 64 px, never more than 3,000 | 3000 | 1333 | 750 | 783 |
| synthetic_images | images x px^2 as at 64 px | 24000 | 10666 | 6000 | 1959 |
| held_out_images | the same, at least 128: the score must tell candidates apart | 512 | 227 | 128 | 128 |

Smaller batches buy more steps for the same pixels. Who sets one number keeps it, and the others follow it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transplant.nets.learner_config import LearnerConfig
from transplant.nets.pixel_budget import images_at_once

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transplant.types import Seam

FULL_PX = 64
"""The largest side of images that the defaults of `LearnerConfig` are meant for."""

PROFILED = ("batch", "steps", "synthetic_images", "held_out_images")
"""The settings that follow the image size unless somebody chose them."""

_DEFAULT = LearnerConfig()
_LEAST_HELD_OUT = 128


def with_profile(settings: Mapping[str, Any], image_px: int) -> dict[str, Any]:
    """Return settings of a learner in which every number that follows the image size stands.

    Args:
        settings: fields of `LearnerConfig`; one of `PROFILED` that is missing or None is chosen here.
        image_px: side of the images that the adapter is learned on.
    """
    chosen = {name: value for name, value in settings.items() if name not in PROFILED or value is not None}
    batch = chosen.get("batch") or _batch(image_px)
    return _profile(image_px, batch) | chosen


def image_px_of(seam: Seam) -> int:
    """Return the side of the images behind a seam: every f of the table ends in one pool of 2 x 2."""
    return 2 * max(seam.height, seam.width)


def _profile(image_px: int, batch: int) -> dict[str, int]:
    seen = _within(_DEFAULT.steps * _DEFAULT.batch, image_px)
    steps = _DEFAULT.steps if image_px <= FULL_PX else max(1, min(_DEFAULT.steps, seen // batch))
    held_out = _within(_DEFAULT.held_out_images, image_px)
    return {
        "batch": batch,
        "steps": steps,
        "synthetic_images": max(1, _within(_DEFAULT.synthetic_images, image_px)),
        "held_out_images": max(_LEAST_HELD_OUT, held_out),
    }


def _batch(image_px: int) -> int:
    return _DEFAULT.batch if image_px <= FULL_PX else images_at_once(image_px, _DEFAULT.batch)


def _within(images: int, image_px: int) -> int:
    """Return how many images of this side hold no more pixels than `images` of side `FULL_PX`."""
    return images if image_px <= FULL_PX else images * FULL_PX**2 // image_px**2
