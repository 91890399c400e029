"""A net of many categories on one g_S, and the separate teachers that it stands beside: random, seeded.

Every teacher has weights of its own in memory, as separate nets have; the wide layers of a VGG-16's g are
copies of one draw, because time and memory do not depend on what a net has learned.
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from transplant.nets.architecture_table import adapter_architecture, default_architecture, seam_of
from transplant.nets.architectures import build_adapter
from transplant.nets.task_module import initialise
from transplant.nets.teacher_net import TeacherNet
from transplant.nets.transplant_net import TransplantNet, freeze
from transplant.types import NetVersion, Route, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGE_PX = {"vgg_small": 32, "vgg16": 224}


@dataclass(frozen=True)
class ServeCase:
    """How a net is asked.

    Args:
        arch: of all nets.
        task: of all routes.
        images: asked about at once.
        layers: of each adapter.
        kernel: side of its convolutions.
        categories: routes of the net, and teachers.
    """

    arch: str
    task: Task
    images: int
    layers: int
    kernel: int
    categories: int = 20

    def sentence(self) -> str:
        """Return the case for a person."""
        return (
            f"{self.arch} {self.task}, {self.categories} categories, batch {self.images}, "
            f"adapters of {self.layers} {self.kernel}x{self.kernel}"
        )

    def to_json(self) -> str:
        """Return one line of text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> ServeCase:
        """Rebuild from `to_json`."""
        values: dict[str, Any] = json.loads(line)
        return cls(**{**values, "task": Task(values["task"])})


def images_of(case: ServeCase) -> Tensor:
    """Return the images that are asked about, float32, channels last in memory."""
    side = IMAGE_PX[case.arch]
    images = torch.rand(case.images, 3, side, side, generator=torch.Generator().manual_seed(0))
    return images.contiguous(memory_format=torch.channels_last)


def teachers_of(case: ServeCase) -> list[tuple[nn.Module, nn.Module]]:
    """Return f and g_T of one teacher a category."""
    first = _teacher(case)
    teachers = [first]
    for seed in range(1, case.categories):
        teacher = copy.deepcopy(first)
        initialise(teacher.category_module, torch.Generator().manual_seed(seed))
        teachers.append(freeze(teacher))
    return [(each.category_module, each.task_modules[case.task.value]) for each in teachers]


def net_of(case: ServeCase) -> TransplantNet:
    """Return the net: the first teacher founds it, every other category comes with its f and an h."""
    founder = _teacher(case)
    channels = seam_of(founder.architecture).channels
    modules: dict[str, nn.Module] = {"g": founder.task_modules[case.task.value]}
    routes: list[Route] = []
    for index in range(case.categories):
        f, h = f"f{index}", f"h{index}" if index else None
        modules[f] = copy.deepcopy(founder.category_module)
        generator = torch.Generator().manual_seed(index)
        if h is not None:
            initialise(modules[f], generator)
            adapter = build_adapter(adapter_architecture(channels, channels, case.layers, case.kernel))
            adapter.start_near_transparent(0.8, 0.3, generator)
            modules[h] = adapter
        routes.append(Route(f"category-{index}", case.task, f, h, "g", f"merge-{index}"))
    return TransplantNet(NetVersion(1, None, tuple(routes)), modules)


def weight_bytes(nets: list[nn.Module]) -> int:
    """Return the bytes of all weights, each module once: what their files hold."""
    tensors = {tensor.data_ptr(): tensor for net in nets for tensor in net.state_dict().values()}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _teacher(case: ServeCase) -> TeacherNet:
    teacher = TeacherNet(default_architecture(case.arch, IMAGE_PX[case.arch]), [case.task])
    teacher.initialise(0)
    return freeze(teacher)
