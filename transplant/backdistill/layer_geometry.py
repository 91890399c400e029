"""What two task modules of different geometry have in common: G and the dummies.

G. Entry (i, j) of an S x S map G stands for the output unit whose receptive field begins at (s i, s j) of
the seam, s the product of g's pools, and covers exactly the seam's own size there: fully connected layers
take what is left of the seam behind the pools. So D' has the side W + s (S - 1), W the seam's, and nets of
different depth give maps of different sizes, in which one entry of G speaks of different places. Cropping or
resizing D' would pair derivatives of different places; S = 1 would leave one place of the 49. What makes the
two the same again is to put the same entries equally far apart in both: s is a power of two, so the net with
the finer step takes G with zeros in between. Then each entry excites the same window of the seam in g_S and
in g_T, and both D' have the size that the coarser step gives. For segmentation G has the image's size, and
D' always the seam's.

Dummies. The second dummy's mask is of one ReLU of g_S *and* of g_T, so it needs equal layers (section 4.2 of
arXiv 1901.06978): where they differ every ReLU takes the first one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from transplant.backdistill.pseudo_gradient import DummyRule
from transplant.nets.task_module import ClassificationModule

if TYPE_CHECKING:
    from torch import Tensor


def step_at_seam(task_module: nn.Module) -> int:
    """Return how far apart on the seam two neighbouring entries of G lie; 1 for segmentation."""
    if not isinstance(task_module, ClassificationModule):
        return 1
    step = 1
    for layer in task_module.layers:
        if isinstance(layer, nn.MaxPool2d):
            step *= int(layer.kernel_size)  # pyright: ignore[reportArgumentType] - our pools are square
    return step


def spaced_for(task_module: nn.Module, other: nn.Module, gradient_B1SS: Tensor) -> Tensor:
    """Return G for one of two task modules: with zeros in between where the other's step is coarser.

    Args:
        task_module: whom G is for.
        other: the task module that the same G is for.
        gradient_B1SS: (B, 1, S, S).

    Returns:
        The same object where both steps are equal, else (B, 1, r (S - 1) + 1, r (S - 1) + 1), r the ratio.
    """
    ratio = max(1, step_at_seam(other) // step_at_seam(task_module))
    if ratio == 1:
        return gradient_B1SS
    batch, _, rows, columns = gradient_B1SS.shape
    spaced = gradient_B1SS.new_zeros(batch, 1, ratio * (rows - 1) + 1, ratio * (columns - 1) + 1)
    spaced[:, :, ::ratio, ::ratio] = gradient_B1SS
    return spaced


def shared_dummy(wanted: DummyRule, host: nn.Module, teacher: nn.Module) -> DummyRule:
    """Return the dummy that g_S and g_T can share: the first one where the wanted one needs equal layers.

    The mask of the lowest ReLU is copied over the channels, so it does not mind how many there are.
    """
    if wanted is DummyRule.FIRST or _layers(host) != _layers(teacher):
        return DummyRule.FIRST
    if wanted is DummyRule.SECOND and _widths(host) != _widths(teacher):
        return DummyRule.FIRST
    return wanted


def _layers(task_module: nn.Module) -> list[tuple[object, ...]]:
    """Return every layer's place, kind and window, the same for nets of equal geometry."""
    windows = ("kernel_size", "stride", "padding")
    return [
        (name, type(layer), *(getattr(layer, each, None) for each in windows))
        for name, layer in task_module.named_modules()
        if not list(layer.children())
    ]


def _widths(task_module: nn.Module) -> list[int]:
    return [layer.out_channels for layer in task_module.modules() if isinstance(layer, nn.Conv2d)]
