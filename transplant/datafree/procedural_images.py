"""Procedural images with natural statistics: dead leaves (Lee, Mumford, Huang 2001) with strokes and texture.

An image is a pile of overlapping shapes (ellipses, boxes, triangles, brush strokes) with power-law
sizes, low-chroma colours and 1/f textures, over a textured ground, then a little blur, a change of
contrast and noise. Everything is computed for a whole batch at once, and an image is a function of
(generator version, seed, index, size) alone, so that two parties can make the very same images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

GENERATOR_ID = "leaves-1"
"""Changes whenever the same seed would give other images."""

_BATCH = 64
_LEAVES = 24
_SMALLEST = 0.04  # radius over image side
_LARGEST = 0.45
_STROKE_POINTS = 7


def procedural_images(count: int, image_px: int, seed: int) -> Tensor:
    """Return `count` images, uint8 (count, 3, image_px, image_px).

    Image i depends on the seed, i // 64 and its place in its batch of 64 only: asking for more images
    leaves the earlier ones as they are.
    """
    batches: list[Tensor] = []
    for index in range(-(-count // _BATCH)):
        generator = torch.Generator().manual_seed((seed * 1_000_003 + index) % (2**63))
        batches.append(_batch(image_px, generator))
    return torch.cat(batches)[:count] if batches else torch.empty(0, 3, image_px, image_px, dtype=torch.uint8)


def _batch(side: int, generator: torch.Generator) -> Tensor:
    count = _BATCH
    textures = _textures(4 * count, side, generator)
    image = _colour(count, generator).view(count, 3, 1, 1) + _ramp(count, side, generator)
    image = image + _uniform((count, 1, 1, 1), 0.0, 0.3, generator) * textures[:count]
    grid = (torch.arange(side) + 0.5) / side
    y, x = grid.view(1, side, 1), grid.view(1, 1, side)
    leaves = torch.randint(3, _LEAVES + 1, (count,), generator=generator)
    for index in range(_LEAVES):
        mask = _leaf(count, side, x, y, generator)
        mask = mask * (index < leaves).to(mask.dtype).view(count, 1, 1)
        texture = textures[torch.randint(0, len(textures), (count,), generator=generator)]
        contrast = _uniform((count, 1, 1, 1), 0.0, 0.35, generator).square() * 2
        paint = _colour(count, generator).view(count, 3, 1, 1) + contrast * texture
        image = torch.lerp(image, paint, mask.unsqueeze(1))
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
    vividness = 0.4 * torch.rand((count, 1), generator=generator).pow(3)
    chroma = torch.randn((count, 3), generator=generator) * vividness
    return (grey + chroma).clamp(0, 1)


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


def _leaf(count: int, side: int, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """Return one soft-edged shape an image, (count, side, side) in [0, 1], of a kind drawn per image."""
    centre = _uniform((2, count, 1, 1), -0.1, 1.1, generator)
    # power law p(r) ~ r^-3 between the two radii: scale invariance of natural images
    share = torch.rand((count, 1, 1), generator=generator)
    radius = (_SMALLEST**-2 + share * (_LARGEST**-2 - _SMALLEST**-2)).rsqrt()
    aspect = torch.exp(_uniform((count, 1, 1), -0.9, 0.9, generator))
    angle = _uniform((count, 1, 1), 0.0, math.pi, generator)
    cos, sin = angle.cos(), angle.sin()
    dx, dy = x - centre[0], y - centre[1]
    u, v = (cos * dx + sin * dy) / aspect, (cos * dy - sin * dx) * aspect
    ellipse = (u.square() + v.square()).sqrt() - radius
    box = torch.maximum(u.abs(), v.abs()) - radius
    triangle = torch.maximum(v * 0.5 + u.abs() * 0.866, -v) - radius * 0.6
    distances = torch.stack([ellipse, box, triangle, _stroke(count, x, y, centre, radius, generator)])
    kind = torch.randint(0, 4, (count,), generator=generator)
    distance = distances[kind, torch.arange(count)]
    softness = _uniform((count, 1, 1), 0.3, 1.2, generator) / side
    return (0.5 - distance / (2 * softness)).clamp(0, 1)


def _stroke(
    count: int, x: Tensor, y: Tensor, centre: Tensor, radius: Tensor, generator: torch.Generator
) -> Tensor:
    """Return the distance to the edge of a brush stroke: a smooth random walk of constant width."""
    turn = (
        torch.randn((_STROKE_POINTS, count), generator=generator) * 0.7
        + torch.randn((1, count), generator=generator) * 0.5
    )
    heading = turn.cumsum(0) + _uniform((1, count), 0.0, 2 * math.pi, generator)
    pace = (radius.view(1, count).clamp(min=0.08) * 0.6).expand(_STROKE_POINTS, count)
    px = (heading.cos() * pace).cumsum(0)
    py = (heading.sin() * pace).cumsum(0)
    px = px - px.mean(0) + centre[0].view(1, count)
    py = py - py.mean(0) + centre[1].view(1, count)
    nearest = torch.full((count, x.shape[-1], x.shape[-1]), 1e9)
    for index in range(_STROKE_POINTS - 1):
        ax, ay = px[index].view(count, 1, 1), py[index].view(count, 1, 1)
        bx, by = px[index + 1].view(count, 1, 1) - ax, py[index + 1].view(count, 1, 1) - ay
        along = (((x - ax) * bx + (y - ay) * by) / (bx.square() + by.square()).clamp(min=1e-9)).clamp(0, 1)
        nearest = torch.minimum(nearest, (x - ax - along * bx).square() + (y - ay - along * by).square())
    width = _uniform((count, 1, 1), 0.015, 0.07, generator)
    return nearest.sqrt() - width


def _blur(image: Tensor, generator: torch.Generator) -> Tensor:
    """Mix each image with a 3 x 3 binomial blur of itself by a random share."""
    kernel = torch.tensor([1.0, 2.0, 1.0])
    kernel = (torch.outer(kernel, kernel) / 16).view(1, 1, 3, 3).expand(3, 1, 3, 3)
    blurred = functional.conv2d(functional.pad(image, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    return torch.lerp(image, blurred, torch.rand((image.shape[0], 1, 1, 1), generator=generator))
