"""Probes: what g_T answers to synthetic images, so that g_T itself can stay at the site.

Procedural images are a function of (generator, seed, place), so a center can ask about them without
sending any, and a site answers without telling anything about its own. Of the pool that is asked about
the site answers those that cover its teacher's whole range: most synthetic images are plainly without
the category, and an adapter that learned from them as they come would learn to say no. A classifier looks
at two images for each answer, and through the pool until a quarter of the answers can be yes and a quarter
no: some have that at once, some hardly in a hundred thousand images. Answers travel as codes of 8 bits on a
line from the lowest to the highest answer, for segmentation on a coarse grid.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from transplant.datafree.procedural_images import BATCH, GENERATOR_ID, procedural_batch
from transplant.errors import MergeNotPossible, PayloadMalformed, TensorNotFinite
from transplant.nets.disclosures import ProbeAnswers, ProbeRequest
from transplant.nets.measures import as_images
from transplant.nets.pixel_budget import images_at_once
from transplant.nets.placement import CPU, beside, to_device
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Iterator

_CODES = 255
_BINS = 64  # equal-width bins of a classification logit
_BINS_A_SIDE = 8  # of the share of positive pixels, and of the largest logit of an image
_LOOKED_AT = 2  # images for each that is answered, before a classifier may look no further
_OF_EACH_ANSWER = 1 / 4  # of what is answered, and that


def probe_images(request: ProbeRequest, chosen: Tensor | None = None) -> Tensor:
    """Return the images of a probe, uint8 (N, 3, H, W): all of the pool, or the chosen places only.

    One batch is in memory beside the result, and batches without a chosen image are not made.

    Raises:
        MergeNotPossible: if this release does not have the request's generator.
    """
    places = torch.arange(request.pool) if chosen is None else chosen.to(torch.int64)
    parts = [torch.empty(0, 3, request.image_px, request.image_px, dtype=torch.uint8)]
    for index, inside in _by_batch(places):
        parts.append(_batch(request, index)[inside])
    return torch.cat(parts)


@torch.no_grad()
def answer_probe(request: ProbeRequest, category_module: nn.Module, task_module: nn.Module) -> ProbeAnswers:
    """Return g_T(f(I)) for `count` images of the pool, chosen so that the answers' histogram is flat.

    They are chosen among the first images of the pool, at least twice `count`, up to where a classifier has
    said yes and no to `count` / 4 each; among all of it where that does not happen, and for segmentation.

    Args:
        request: what the center asks.
        category_module: f, in evaluation mode, on any device.
        task_module: g_T of the request's task, in evaluation mode, on the same.

    Raises:
        MergeNotPossible: if this release does not have the request's generator.
        TensorNotFinite: if the teacher answers an image with NaN or an infinity.
    """
    parts: list[Tensor] = []
    measures: list[Tensor] = []
    seen = yes = 0
    for index, inside in _by_batch(torch.arange(request.pool)):
        images = _batch(request, index)[inside]
        chunks = images.split(images_at_once(request.image_px))
        placed_chunks = (as_images(beside(chunk, category_module)) for chunk in chunks)
        answered = [task_module(category_module(chunk)) for chunk in placed_chunks]
        logits = to_device(torch.cat(answered), CPU).to(torch.float32)
        if not bool(torch.isfinite(logits).all()):
            raise TensorNotFinite("the teacher answers a synthetic image with a number that is not finite")
        parts.append(_told(request, logits))
        measures.append(_measures(request.task, logits))
        if request.task is Task.CLASSIFICATION:
            seen, yes = seen + len(logits), yes + int((logits > 0).sum())
            rarer = min(yes, seen - yes)
            if seen >= _LOOKED_AT * request.count and rarer >= _OF_EACH_ANSWER * request.count:
                break
    told = torch.cat(parts)
    chosen = flattest(_cells(torch.cat(measures)), request.count)
    told = told[chosen]
    low, high = float(told.min()), float(told.max())
    codes = ((told - low) * (_CODES / max(high - low, 1e-12))).round().clamp(0, _CODES).to(torch.uint8)
    return ProbeAnswers(request, chosen.to(torch.int32), codes, low, high)


def answered_logits(answers: ProbeAnswers) -> Tensor:
    """Return the answers as logits, float32: (N, 1), for segmentation (N, 1, grid, grid).

    Each is within half a step of what g_T said; a step is (high - low) / 255.
    """
    logits = answers.low + answers.codes.to(torch.float32) * ((answers.high - answers.low) / _CODES)
    return logits.unsqueeze(1)


def check_answers(answers: ProbeAnswers) -> None:
    """Check answers that came from outside against the request that they repeat.

    Raises:
        PayloadMalformed: if a type, a shape or a place is not what the request says.
        TensorNotFinite: if the range of the codes is not two rising numbers.
    """
    request, chosen, codes = answers.request, answers.chosen_N, answers.codes
    if chosen.dtype != torch.int32 or tuple(chosen.shape) != (request.count,):
        raise PayloadMalformed(
            f"chosen: {request.count} places of 32 bits were asked, not {chosen.dtype} {tuple(chosen.shape)}"
        )
    side = (request.grid, request.grid) if request.task is Task.SEGMENTATION else ()
    if codes.dtype != torch.uint8 or tuple(codes.shape) != (request.count, *side):
        raise PayloadMalformed(
            f"codes: 8 bits of the shape {(request.count, *side)} were asked, "
            f"not {codes.dtype} {tuple(codes.shape)}"
        )
    if int(chosen[0]) < 0 or int(chosen[-1]) >= request.pool or not bool((chosen[1:] > chosen[:-1]).all()):
        raise PayloadMalformed(f"chosen: must rise strictly within the pool of {request.pool}")
    if not (math.isfinite(answers.low) and math.isfinite(answers.high) and answers.low <= answers.high):
        raise TensorNotFinite(f"range: from {answers.low} to {answers.high} is no line to put codes on")


def flattest(cells_N: Tensor, count: int) -> Tensor:
    """Return `count` rising places whose histogram over cells is as flat as the cells allow.

    Cells are filled to one level, the sparse ones with all that they have; within a cell the first
    places are taken, which for independent images is a fair draw.

    Args:
        cells_N: int64, the cell of each place.
        count: how many to take, at most N.
    """
    sizes = torch.bincount(cells_N)
    low, high = 0, int(sizes.max())
    while low < high:  # the highest level that does not take too many
        level = (low + high + 1) // 2
        if int(sizes.clamp(max=level).sum()) <= count:
            low = level
        else:
            high = level - 1
    take = sizes.clamp(max=low)
    more = torch.nonzero(sizes > low).flatten()[: count - int(take.sum())]
    take[more] += 1
    order = torch.argsort(cells_N, stable=True)
    starts = torch.cumsum(sizes, 0) - sizes
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order)) - starts[cells_N[order]]
    return torch.nonzero(rank < take[cells_N]).flatten()


def _by_batch(places: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield (batch, places within it) for rising places in the pool."""
    indices, sizes = torch.unique_consecutive(places // BATCH, return_counts=True)
    yield from zip(indices.tolist(), (places % BATCH).split(sizes.tolist()), strict=True)


def _batch(request: ProbeRequest, index: int) -> Tensor:
    if request.generator != GENERATOR_ID:
        raise MergeNotPossible(
            f"the probe is about images of generator {request.generator!r}, this release makes "
            f"{GENERATOR_ID!r}: install the same release at the center and at the site"
        )
    return procedural_batch(index, request.image_px, request.seed, request.drawings_percent / 100)


def _told(request: ProbeRequest, logits: Tensor) -> Tensor:
    """Return what may travel of the logits: (B,), or the mean of each grid cell (B, grid, grid)."""
    if request.task is Task.CLASSIFICATION:
        return logits.flatten()
    return functional.adaptive_avg_pool2d(logits, request.grid).squeeze(1)


def _measures(task: Task, logits: Tensor) -> Tensor:
    """Return what an image is told apart by, (B, 1 or 2): its logit; or share of positive, largest logit."""
    if task is Task.CLASSIFICATION:
        return logits
    pixels = logits.flatten(1)
    return torch.stack([(pixels > 0).to(torch.float32).mean(1), pixels.amax(1)], dim=1)


def _cells(measures_NM: Tensor) -> Tensor:
    """Return the cell of each image in a grid of equal-width bins between least and largest measure."""
    bins = _BINS if measures_NM.shape[1] == 1 else _BINS_A_SIDE
    least, largest = measures_NM.amin(0), measures_NM.amax(0)
    place = (measures_NM - least) / (largest - least).clamp(min=1e-12) * bins
    binned = place.to(torch.int64).clamp(0, bins - 1)
    cells = binned[:, 0]
    for column in binned.unbind(1)[1:]:
        cells = cells * bins + column
    return cells
