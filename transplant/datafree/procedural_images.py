"""Procedural images with natural statistics: dead leaves (Lee, Mumford, Huang 2001) with strokes and texture.

An image is a pile of overlapping shapes (ellipses, boxes, triangles, pen strokes) with power-law
sizes, low-chroma colours and 1/f textures, over a textured ground; or a *drawing*, a few pen strokes on a
calm ground. Then comes a little blur, a change of contrast and noise. Random numbers are drawn for a whole
batch at once, pixels computed for the shapes that show alone; an image is a function of (generator
version, seed, index, size, share of drawings), so that two parties can make the very same images.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from transplant.nets.seeded import seeded

if TYPE_CHECKING:
    from collections.abc import Callable

GENERATOR_ID = "leaves-1"
"""Changes whenever the same seed would give other images."""

BATCH = 64
"""How many images are made at once."""

_LEAVES = 24
_SMALLEST = 0.04  # radius over image side
_LARGEST = 0.45
_STROKE = 3  # the kind of shape that all shapes of a drawing are
_STROKE_POINTS = 5
_STROKE_STEPS = 3


def procedural_images(count: int, image_px: int, seed: int, drawings: float = 0.5) -> Tensor:
    """Return `count` images, uint8 (count, 3, image_px, image_px).

    A share of `drawings` of them are a few pen strokes on a calm ground, the others piles of leaves.

    Image i depends on the seed, i // 64 and its place in its batch of 64 only: asking for more images
    leaves the earlier ones as they are.
    """
    return in_batches(count, image_px, lambda index: procedural_batch(index, image_px, seed, drawings))


def procedural_batch(index: int, image_px: int, seed: int, drawings: float = 0.5) -> Tensor:
    """Return images 64 * index to 64 * index + 63 of `procedural_images`, without making the others."""
    return _batch(image_px, drawings, seeded(seed, index))


def in_batches(count: int, image_px: int, make: Callable[[int], Tensor]) -> Tensor:
    """Return the first `count` of the images that `make` gives by the number of their batch of `BATCH`."""
    batches = [make(index) for index in range(-(-count // BATCH))]
    return torch.cat(batches)[:count] if batches else torch.empty(0, 3, image_px, image_px, dtype=torch.uint8)


def _batch(side: int, drawings: float, generator: torch.Generator) -> Tensor:
    count = BATCH
    drawn = torch.rand(count, generator=generator) < drawings
    calm = torch.where(drawn, 0.15, 1.0).view(count, 1, 1, 1)  # how much texture there is
    textures = _textures(4 * count, side, generator)
    image = _colour(count, generator).view(count, 3, 1, 1) + _ramp(count, side, generator)
    image = image + calm * _uniform((count, 1, 1, 1), 0.0, 0.3, generator) * textures[:count]
    ground = image.mean((1, 2, 3)).view(count, 1)
    grid = (torch.arange(side) + 0.5) / side
    y, x = grid.view(1, side, 1), grid.view(1, 1, side)
    leaves = torch.randint(3, _LEAVES + 1, (count,), generator=generator)
    leaves = torch.where(drawn, 1 + leaves // 4, leaves)
    for index in range(_LEAVES):
        shown = torch.nonzero(index < leaves).flatten()
        mask = _leaf(drawn, shown, x, y, generator)
        texture = torch.randint(0, len(textures), (count,), generator=generator)
        contrast = _uniform((count, 1, 1, 1), 0.0, 0.35, generator).square() * 2
        colour = _colour(count, generator)
        colour = torch.where(drawn.view(count, 1), _ink(colour, ground), colour)
        relief = (calm * contrast)[shown] * textures[texture[shown]]
        paint = colour[shown].view(-1, 3, 1, 1) + relief
        image[shown] = torch.lerp(image[shown], paint, mask.unsqueeze(1))
    image = _blur(image, generator)
    gain = torch.exp(_uniform((count, 1, 1, 1), -0.4, 0.3, generator))
    image = (image - 0.5) * gain + 0.5 + _uniform((count, 1, 1, 1), -0.1, 0.1, generator)
    noise = torch.randn(image.shape, generator=generator)
    image = image + noise * _uniform((count, 1, 1, 1), 0.0, 0.25, generator).square()
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator) * (high - low) + low


def _colour(count: int, generator: torch.Generator) -> Tensor:
    """Return low-chroma colours (count, 3): a grey plus a smaller colour, now and then a vivid one."""
    grey = torch.rand((count, 1), generator=generator)
    vividness = 0.6 * torch.rand((count, 1), generator=generator).pow(3)
    chroma = torch.randn((count, 3), generator=generator) * vividness
    return (grey + chroma).clamp(0, 1)


def _ink(colour: Tensor, ground: Tensor) -> Tensor:
    """Return the colours moved away from the ground's brightness, as ink is chosen to be seen."""
    away = torch.where(ground < 0.5, 1.0, 0.0)
    return torch.lerp(colour, away.expand_as(colour), 0.35)


def _ramp(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Return a slow change of brightness over each image: light from one side."""
    slope = torch.randn((count, 2, 1, 1), generator=generator) * 0.15
    line = torch.linspace(-1, 1, side)
    return (slope[:, :1] * line.view(1, 1, side, 1)) + (slope[:, 1:] * line.view(1, 1, 1, side))


def _textures(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Return unit-variance noise (count, 1, side, side) with amplitude spectra 1/f^a, a in 0.3 to 1.5."""
    frequency = torch.fft.fftfreq(side).view(-1, 1).square() + torch.fft.rfftfreq(side).view(1, -1).square()
    exponent = _uniform((count, 1, 1), 0.3, 1.5, generator)
    amplitude = frequency.clamp(min=1 / side**2).sqrt().log().mul(-exponent).exp()
    amplitude[:, 0, 0] = 0
    white = torch.fft.rfft2(torch.randn((count, side, side), generator=generator))
    noise = torch.fft.irfft2(white * amplitude, s=(side, side))
    return (noise / noise.std((1, 2), keepdim=True).clamp(min=1e-6)).unsqueeze(1)


def _leaf(drawn: Tensor, shown: Tensor, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """Return one soft-edged shape an image, (shown, side, side) in [0, 1], of a kind drawn per image.

    On a drawing (where `drawn` is set) every shape is a pen stroke of middling size. Random numbers are drawn
    for every image, pixels computed for the images at the places `shown` alone.
    """
    count = len(drawn)
    drawing = drawn.view(count, 1, 1)
    centre = _uniform((2, count, 1, 1), -0.1, 1.1, generator)
    centre = torch.where(drawing, 0.5 + (centre - 0.5) * 0.65, centre)
    # power law p(r) ~ r^-3 between the two radii: scale invariance of natural images
    share = torch.rand((count, 1, 1), generator=generator)
    radius = (_SMALLEST**-2 + share * (_LARGEST**-2 - _SMALLEST**-2)).rsqrt()
    radius = torch.where(drawing, _uniform((count, 1, 1), 0.1, 0.3, generator), radius)
    aspect = torch.exp(_uniform((count, 1, 1), -0.9, 0.9, generator))
    angle = _uniform((count, 1, 1), 0.0, math.pi, generator)
    cos, sin = angle.cos(), angle.sin()
    path = _stroke_path(centre, radius, generator)
    width = _uniform((count, 1, 1), 0.015, 0.06, generator)
    kind = torch.where(drawn, _STROKE, torch.randint(0, 4, (count,), generator=generator))
    side = x.shape[-1]
    softness = _uniform((count, 1, 1), 0.3, 1.2, generator) / side
    distance = torch.empty(len(shown), side, side)
    for shape in kind[shown].unique().tolist():
        among = kind[shown] == shape
        at = shown[among]
        if shape == _STROKE:
            distance[among] = _to_stroke(path[:, :, at], x, y) - width[at]
            continue
        dx, dy = x - centre[0, at], y - centre[1, at]
        u, v = (cos[at] * dx + sin[at] * dy) / aspect[at], (cos[at] * dy - sin[at] * dx) * aspect[at]
        distance[among] = _to_outline(shape, u, v, radius[at])
    return (0.5 - distance / (2 * softness[shown])).clamp(0, 1)


def _to_outline(shape: int, u: Tensor, v: Tensor, radius: Tensor) -> Tensor:
    """Return the distance of places (u, v) to the edge of an ellipse (0), a box (1) or a triangle (2)."""
    if shape == 0:
        return (u.square() + v.square()).sqrt() - radius
    if shape == 1:
        return torch.maximum(u.abs(), v.abs()) - radius
    return torch.maximum(v * 0.5 + u.abs() * 0.866, -v) - radius * 0.6


def _stroke_path(centre: Tensor, radius: Tensor, generator: torch.Generator) -> Tensor:
    """Return a pen stroke's path, (2, corners, count): a spline through random points of a box.

    Few points in a box, joined smoothly, give what written characters are made of: bars, hooks, loops.
    """
    count = len(radius)
    points = _uniform((2, _STROKE_POINTS, count), -1.0, 1.0, generator)
    points[0] *= 0.75  # characters are taller than wide
    return _spline(points) * radius.view(1, 1, count) + centre.view(2, 1, count)


def _to_stroke(path_2PC: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the distance of every place to a path."""
    count, corners = path_2PC.shape[2], path_2PC.unbind(1)
    nearest = torch.full((count, x.shape[-1], x.shape[-1]), 1e9)
    for start, end in pairwise(corners):
        (ax, ay), (bx, by) = start.view(2, count, 1, 1), (end - start).view(2, count, 1, 1)
        along = (((x - ax) * bx + (y - ay) * by) / (bx.square() + by.square()).clamp(min=1e-9)).clamp(0, 1)
        nearest = torch.minimum(nearest, (x - ax - along * bx).square() + (y - ay - along * by).square())
    return nearest.sqrt()


def _spline(points_2PC: Tensor) -> Tensor:
    """Return a Catmull-Rom spline through the points, `_STROKE_STEPS` line pieces between two of them."""
    padded = torch.cat([points_2PC[:, :1], points_2PC, points_2PC[:, -1:]], dim=1)
    before, start, end, after = (padded[:, i : i + points_2PC.shape[1] - 1].unsqueeze(2) for i in range(4))
    t = (torch.arange(_STROKE_STEPS) / _STROKE_STEPS).view(1, 1, -1, 1)
    curve = start + 0.5 * t * (
        (end - before)
        + t * (2 * before - 5 * start + 4 * end - after)
        + t.square() * (3 * (start - end) + after - before)
    )
    return torch.cat([curve.flatten(1, 2), points_2PC[:, -1:]], dim=1)


def _blur(image: Tensor, generator: torch.Generator) -> Tensor:
    """Mix each image with a 3 x 3 binomial blur of itself by a random share."""
    kernel = torch.tensor([1.0, 2.0, 1.0])
    kernel = (torch.outer(kernel, kernel) / 16).view(1, 1, 3, 3).expand(3, 1, 3, 3)
    blurred = functional.conv2d(functional.pad(image, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    return torch.lerp(image, blurred, torch.rand((image.shape[0], 1, 1, 1), generator=generator))
