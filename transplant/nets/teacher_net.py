"""The teacher net of one site: a category module with one task module a task on top of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from transplant.errors import UnknownArchitecture
from transplant.nets.architecture_table import checked_architecture, image_px
from transplant.nets.architectures import build_category_module, build_task_module
from transplant.nets.task_module import initialise
from transplant.types import Architecture, ModuleKind, Task

if TYPE_CHECKING:
    from collections.abc import Sequence


class TeacherNet(nn.Module):
    """y_T = g_T(f(I)) for every task at once.

    Args:
        architecture: an entry of the closed table.
        tasks: the tasks the site trains.
    """

    def __init__(self, architecture: Architecture, tasks: Sequence[Task]) -> None:
        super().__init__()
        checked_architecture(architecture, ModuleKind.CATEGORY)
        self.architecture = architecture
        self.category_module = build_category_module(architecture)
        self.task_modules = nn.ModuleDict(
            {task.value: build_task_module(architecture, task) for task in tasks}
        )

    def forward(self, images_BCHW: Tensor) -> dict[Task, Tensor]:
        """Return logits for every task; f runs once."""
        features = self.category_module(images_BCHW)
        return {Task(name): head(features) for name, head in self.task_modules.items()}

    def route(self, task: Task) -> nn.Module:
        """Return images -> logits for one task."""
        return nn.Sequential(self.category_module, self.task_modules[task.value])

    def initialise(self, seed: int) -> None:
        """He-initialise all weights from one seed."""
        initialise(self, torch.Generator().manual_seed(seed))


def load_pretrained_vgg16(teacher: TeacherNet) -> None:
    """Fill a `vgg16` teacher from torchvision's ImageNet weights (downloaded or cached by torchvision).

    Convolutions and fc6/fc7 are taken over; the last layer (1,000 classes there, one logit here), the
    skips' scores and the upsamplings keep their initialisation, as FCN does.

    Raises:
        UnknownArchitecture: if the teacher is not a `vgg16` for 224 px images.
    """
    if teacher.architecture.id != "vgg16" or image_px(teacher.architecture) != 224:
        raise UnknownArchitecture("pretrained weights exist for vgg16 at 224 px only")
    from transplant.nets.torchvision_ops import ensure_torchvision_ops

    ensure_torchvision_ops()
    from torchvision.models import VGG16_Weights, vgg16  # pyright: ignore[reportMissingTypeStubs]

    copy_vgg16(vgg16(weights=VGG16_Weights.IMAGENET1K_V1), teacher)


@torch.no_grad()
def copy_vgg16(source: nn.Module, teacher: TeacherNet) -> None:
    """Copy torchvision's VGG-16 into the teacher, its fully connected layers as convolutions."""
    features = _convolutions(source.get_submodule("features"))
    linear = [layer for layer in source.get_submodule("classifier") if isinstance(layer, nn.Linear)]  # pyright: ignore[reportGeneralTypeIssues]
    for own, other in zip(_convolutions(teacher.category_module), features[:2], strict=True):
        _copy(own, other)
    for head in teacher.task_modules.values():
        chain = [layer for layer in _convolutions(head) if layer.weight.shape[-1] == 3]
        for own, other in zip(chain, features[2:], strict=True):
            _copy(own, other)
        wide = [layer for layer in _convolutions(head) if layer.out_channels == 4096]
        for own, other in zip(wide, linear[:2], strict=True):
            own.weight.copy_(other.weight.view_as(own.weight))
            if own.bias is not None:
                own.bias.copy_(other.bias)


def _convolutions(net: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]


def _copy(own: nn.Conv2d, other: nn.Conv2d) -> None:
    own.weight.copy_(other.weight)
    if own.bias is not None and other.bias is not None:
        own.bias.copy_(other.bias)
