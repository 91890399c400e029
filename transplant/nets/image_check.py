"""What a net takes as images, checked before anything is computed, with messages that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from transplant.errors import ImagesInvalid
from transplant.nets.measures import as_images
from transplant.nets.task_module import ClassificationModule, SegmentationModule

if TYPE_CHECKING:
    from collections.abc import Iterable


def checked_images(images_BCHW: Tensor, task_modules: Iterable[nn.Module]) -> Tensor:
    """Return images as nets take them: float32 in [0, 1], channels last in memory.

    Args:
        images_BCHW: uint8, or float32 in [0, 1]; shape (B, 3, side, side), B >= 1.
        task_modules: every g that will see their features.

    Raises:
        ImagesInvalid: if the type, the shape, the range or the side is another.
    """
    if images_BCHW.dtype not in (torch.uint8, torch.float32):
        raise ImagesInvalid(
            "images are uint8 (0 to 255) or float32 (0 to 1), not "
            + str(images_BCHW.dtype).removeprefix("torch.")
        )
    shape = tuple(images_BCHW.shape)
    if len(shape) != 4 or shape[0] < 1 or shape[1] != 3 or shape[2] != shape[3]:
        raise ImagesInvalid(
            f"images have the shape (number, 3, side, side), at least one of them; got {list(shape)}"
        )
    for task_module in task_modules:
        _check_side(shape[-1], task_module)
    if images_BCHW.dtype is torch.uint8:
        return as_images(images_BCHW)
    least, largest = (float(value) for value in torch.aminmax(images_BCHW))  # NaN, if any, comes through
    if not (least >= 0 and largest <= 1):
        raise ImagesInvalid(
            f"float32 images lie in 0 to 1; these reach from {least:g} to {largest:g}: divide by 255, or "
            "give uint8"
        )
    return images_BCHW.contiguous(memory_format=torch.channels_last)


def _check_side(side: int, task_module: nn.Module) -> None:
    wanted = image_side(task_module)
    if wanted is not None and side != wanted:
        raise ImagesInvalid(
            f"this net takes images of {wanted} x {wanted} pixels, not {side} x {side}: scale them; where a "
            f"net has categories of several sizes, name those of one size"
        )
    multiple = _pools(task_module)
    if isinstance(task_module, SegmentationModule) and side % multiple:
        raise ImagesInvalid(f"the side of images must be a multiple of {multiple}; got {side}: scale them")


def image_side(task_module: nn.Module) -> int | None:
    """Return the side of the images that a classification takes; None where any, or where it is not known.

    Its first fully connected layer is a convolution that covers the map: kernel x the pools below it.
    """
    if not isinstance(task_module, ClassificationModule):
        return None
    layers = list(task_module.layers)
    last_pool = max((i for i, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)), default=-1)
    covering = next((layer for layer in layers[last_pool + 1 :] if isinstance(layer, nn.Conv2d)), None)
    return None if covering is None else covering.weight.shape[-1] * _pools(task_module)


def _pools(task_module: nn.Module) -> int:
    """Return by how much the pools of f and g shrink a side."""
    return 2 ** (1 + sum(isinstance(layer, nn.MaxPool2d) for layer in task_module.modules()))
