"""The net of the baselines: one backbone for all categories, the same that a site's teacher net has.

It is a teacher net's category module with its classification task module on top, whose last layer is widened
from one logit to one a category. Shape suffixes: B pictures, K categories.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from benchmarks.sites.peers.answers import Answers, answers_of
from transplant.artifact.digest import derive_seed
from transplant.errors import UnknownArchitecture
from transplant.nets.architecture_table import default_architecture
from transplant.nets.measures import as_images
from transplant.nets.pixel_budget import images_at_once
from transplant.nets.precision import mixed_precision
from transplant.nets.task_module import ClassificationModule, initialise
from transplant.nets.teacher_net import TeacherNet
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.sites.contender import Training
    from benchmarks.sites.federation import Federation
    from transplant.types import Precision


class MultiCategoryNet(nn.Module):
    """Category module, then a classification task module of K logits, or of K and one for all else.

    Args:
        teacher: whose modules it takes over.
        categories: K.
        answers: how it answers.
    """

    def __init__(self, teacher: TeacherNet, categories: int, answers: Answers) -> None:
        super().__init__()
        self.answers = answers
        wide = categories + (answers is Answers.EACH_ALONE)
        self.category_module = teacher.category_module
        self.task_module = _widened(teacher.task_modules[Task.CLASSIFICATION.value], wide)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """Return logits, or log-odds against all else, (B, K), for float32 images in [0, 1]."""
        logits = self.task_module(self.category_module(images_B3HW))
        return logits if self.answers is Answers.ONE_OF_ALL else logits[:, :-1] - logits[:, -1:]


@dataclass(frozen=True)
class NetShape:
    """What a net is built from: an architecture id, the side of its images in pixels, K, how it answers."""

    arch: str
    image_px: int
    categories: int
    answers: Answers = Answers.ONE_OF_ALL

    @classmethod
    def of(cls, federation: Federation, training: Training) -> NetShape:
        """Return the shape that all nets of a run have."""
        return cls(training.arch, federation.image_px, len(federation.categories), answers_of(federation))

    def build(self) -> MultiCategoryNet:
        """Build a net; its weights are torch's default initialisation until loaded or initialised.

        Raises:
            UnknownArchitecture: if the table has no such architecture for this size.
        """
        teacher = TeacherNet(default_architecture(self.arch, self.image_px), (Task.CLASSIFICATION,))
        net = MultiCategoryNet(teacher, self.categories, self.answers)
        return net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - absent from the stubs

    def initial(self, seed: int) -> MultiCategoryNet:
        """Build the net that a run of `seed` starts from, the same for every method."""
        net = self.build()
        initialise(net, torch.Generator().manual_seed(derive_seed("multi-category-net", str(seed))))
        return net

    def holding(self, weights: Mapping[str, Tensor]) -> MultiCategoryNet:
        """Build a net and load `weights`."""
        net = self.build()
        net.load_state_dict(weights)
        return net


def precision_of(training: Training) -> Precision:
    """Return the precision of forward passes."""
    return "bfloat16" if training.precision == "bfloat16" else "float32"


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    """Return copies of a net's tensors by name, contiguous, as they travel."""
    contiguous = torch.contiguous_format
    return {
        name: tensor.detach().clone(memory_format=contiguous) for name, tensor in net.state_dict().items()
    }


def net_bytes(net: nn.Module) -> int:
    """Return how many bytes the tensors of a net have."""
    return sum(tensor.numel() * tensor.element_size() for tensor in net.state_dict().values())


def answer(net: nn.Module, asked: Tensor, precision: Precision) -> Tensor:
    """Return what a net makes of its input as float32, its forward pass run in `precision`."""
    with mixed_precision(precision):
        answered = net(asked)
    return answered.to(torch.float32)


@torch.no_grad()
def answers_to(net: nn.Module, images_u8_N3HW: Tensor, precision: Precision = "float32") -> Tensor:
    """Return the logits of a net in evaluation mode for stored pictures, a batch at a time."""
    net.eval()
    parts = images_u8_N3HW.split(images_at_once(images_u8_N3HW.shape[-1], 256, 1 << 20))
    return torch.cat([answer(net, as_images(part), precision) for part in parts], dim=-2)


def _widened(task_module: nn.Module, categories: int) -> ClassificationModule:
    """Return the task module with several logits in the place of its one."""
    if isinstance(task_module, ClassificationModule):
        chain = list(task_module.layers)
        if isinstance(last := chain[-1], nn.Conv2d):
            wide = nn.Conv2d(last.in_channels, categories, last.kernel_size)  # pyright: ignore[reportArgumentType] - a pair
            return ClassificationModule(nn.Sequential(*chain[:-1], wide))
    raise UnknownArchitecture(
        "only a classification module that ends in a convolution is widened to several categories"
    )
