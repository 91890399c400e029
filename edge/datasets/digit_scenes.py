"""Draw scenes of several real handwritten digits (scikit-learn's `load_digits`) on a small canvas.

The digits are people's handwriting (UCI optical recognition set, 8x8, 17 levels). Only their placement,
size, colour and the background are drawn here. Pools: each digit image belongs to exactly one split, so
no stroke that is measured was ever trained on. Canvas arrays are float (H,W,3) in [0,1].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.datasets.site_dataset import Split

CANVAS_PX = 32
_GLYPH_PX = (12, 16)
_DIGITS_IN_SCENE = (2, 4)
_INK_FROM = 0.35  # opacity from which a pixel counts as the digit's own
_OVERLAP_AT_MOST = 0.05  # share of a digit's ink that may cover what is there already
_POOL_SHARES = {Split.TRAIN: (0.0, 0.6), Split.VALIDATION: (0.6, 0.75), Split.TEST: (0.75, 1.0)}
_POOL_SEED = 20180423  # one fixed shuffle for every site: a pool never depends on a site's own seed

FloatArray = NDArray[np.float32]
ByteArray = NDArray[np.uint8]


@dataclass(frozen=True)
class Scenes:
    """Scenes as arrays: uint8 (N,H,W,3), (N,) of 0/1, (N,H,W) of 0/1."""

    images: ByteArray
    labels: ByteArray
    masks: ByteArray


@cache
def _handwriting() -> tuple[FloatArray, NDArray[np.int64]]:
    from sklearn.datasets import load_digits  # a second of imports that only the first drawing needs

    pixels, targets = load_digits(return_X_y=True)
    images = np.asarray(pixels, np.float32).reshape(-1, 8, 8) / np.float32(16)
    return images, np.asarray(targets, np.int64)


@cache
def digit_pool(split: Split) -> tuple[NDArray[np.int64], ...]:
    """Return, for each digit 0..9, the `load_digits` indices that belong to this split."""
    _, targets = _handwriting()
    shuffle = np.random.default_rng(_POOL_SEED)
    first, last = _POOL_SHARES[split]
    pools: list[NDArray[np.int64]] = []
    for digit in range(10):
        members = shuffle.permutation(np.flatnonzero(targets == digit))
        pools.append(members[round(first * len(members)) : round(last * len(members))])
    return tuple(pools)


def draw_scenes(digit: int, split: Split, count: int, generator: np.random.Generator) -> Scenes:
    """Draw `count` scenes, every second one with exactly one `digit` in it, in shuffled order."""
    labels = generator.permutation(np.arange(count) % 2).astype(np.uint8)
    images = np.empty((count, CANVAS_PX, CANVAS_PX, 3), np.uint8)
    masks = np.empty((count, CANVAS_PX, CANVAS_PX), np.uint8)
    for row, present in enumerate(labels):
        images[row], masks[row] = _draw_scene(digit, bool(present), split, generator)
    return Scenes(images, labels, masks)


def _draw_scene(
    digit: int, present: bool, split: Split, generator: np.random.Generator
) -> tuple[ByteArray, ByteArray]:
    canvas = _background(generator)
    own_ink = np.zeros((CANVAS_PX, CANVAS_PX), np.bool_)
    any_ink = np.zeros_like(own_ink)
    others = [other for other in range(10) if other != digit]
    wanted = int(generator.integers(_DIGITS_IN_SCENE[0], _DIGITS_IN_SCENE[1] + 1))
    # The own digit is placed first, while there is room for certain; which ink lies on top is the same
    # question for all of them because they barely overlap.
    shown = ([digit] if present else []) + [int(other) for other in generator.choice(others, wanted)]
    for which in shown[:wanted]:
        opacity = _placed_glyph(which, split, any_ink, generator)
        if opacity is None:
            continue
        canvas += opacity[..., None] * (_ink_colour(canvas, opacity, generator) - canvas)
        ink = opacity > _INK_FROM
        own_ink = (own_ink & ~ink) | (ink if which == digit else np.False_)
        any_ink |= ink
    noisy = canvas + generator.normal(0.0, 0.03, canvas.shape)
    return (noisy.clip(0, 1) * 255).round().astype(np.uint8), own_ink.astype(np.uint8)


def _background(generator: np.random.Generator) -> FloatArray:
    """A colour gradient from corner to corner with soft blotches."""
    corners = generator.uniform(0.0, 0.4, 3) + generator.uniform(-0.08, 0.08, (2, 2, 3))
    blotches = generator.normal(0.0, 0.04, (5, 5, 3))
    return _enlarged(corners.clip(0, 1), CANVAS_PX) + _enlarged(blotches, CANVAS_PX)


def _enlarged(field: NDArray[np.float64], side_px: int) -> FloatArray:
    planes = [
        Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32)).resize(
            (side_px, side_px), Image.Resampling.BICUBIC
        )
        for plane in np.moveaxis(field, -1, 0)
    ]
    return np.stack([np.asarray(plane, np.float32) for plane in planes], axis=-1)


def _placed_glyph(
    digit: int, split: Split, taken: NDArray[np.bool_], generator: np.random.Generator
) -> FloatArray | None:
    """Return the opacity (H,W) of one handwritten digit somewhere on the canvas, or None without room."""
    images, _ = _handwriting()
    pool = digit_pool(split)[digit]
    glyph = images[pool[generator.integers(len(pool))]]
    side = int(generator.integers(_GLYPH_PX[0], _GLYPH_PX[1] + 1))
    small = Image.fromarray(np.ascontiguousarray(glyph)).resize((side, side), Image.Resampling.BICUBIC)
    turned = small.rotate(float(generator.uniform(-10, 10)), Image.Resampling.BILINEAR)
    patch = np.asarray(turned, np.float32).clip(0, 1)
    for _ in range(20):
        top, left = (int(at) for at in generator.integers(0, CANVAS_PX - side + 1, 2))
        opacity = np.zeros(taken.shape, np.float32)
        opacity[top : top + side, left : left + side] = patch
        ink = opacity > _INK_FROM
        if (ink & taken).sum() <= _OVERLAP_AT_MOST * ink.sum():
            return opacity
    return None


def _ink_colour(canvas: FloatArray, opacity: FloatArray, generator: np.random.Generator) -> FloatArray:
    """A random colour that stands out from what lies under the digit."""
    under = canvas[opacity > _INK_FROM].mean(axis=0)
    for _ in range(20):
        colour = generator.uniform(0.25, 1.0, 3).astype(np.float32)
        if float(colour.max()) > 0.65 and float(np.abs(colour - under).mean()) > 0.25:
            return colour
    return np.ones(3, np.float32)
