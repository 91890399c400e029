"""The closed table: what it builds, what it refuses, and the paper's parameter counts."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch

from transplant.errors import UnknownArchitecture
from transplant.nets.architecture_table import (
    DEFAULT,
    adapter_architecture,
    checked_architecture,
    default_architecture,
    seam_of,
)
from transplant.nets.architectures import build, tensor_layout
from transplant.nets.teacher_net import TeacherNet, copy_vgg16, load_pretrained_vgg16
from transplant.nets.torchvision_ops import ensure_torchvision_ops
from transplant.types import Architecture, ModuleKind, Seam, Task


def _parameters(architecture: Architecture, kind: ModuleKind, task: Task | None = None) -> int:
    return sum(math.prod(shape) for shape in tensor_layout(architecture, kind, task).values())


def test_vgg16_has_the_papers_sizes() -> None:
    vgg16 = DEFAULT["vgg16"]
    assert _parameters(vgg16, ModuleKind.CATEGORY) == 38_720
    assert 134e6 < _parameters(vgg16, ModuleKind.TASK, Task.CLASSIFICATION) < 135e6
    assert seam_of(vgg16) == Seam(64, 112, 112)
    for kernel, parameters in ((3, 36_928), (1, 4_160)):
        layout = tensor_layout(adapter_architecture(64, 64, 1, kernel), ModuleKind.ADAPTER, None)
        assert sum(math.prod(shape) for name, shape in layout.items() if name != "beta") == parameters


@pytest.mark.parametrize("px", [32, 64])
def test_vgg_small_answers_at_image_size(px: int) -> None:
    architecture = default_architecture("vgg_small", px)
    assert seam_of(architecture) == Seam(32, px // 2, px // 2)
    net = TeacherNet(architecture, list(Task))
    net.initialise(0)
    answers = net(torch.rand(2, 3, px, px))
    assert answers[Task.CLASSIFICATION].shape == (2, 1)
    assert answers[Task.SEGMENTATION].shape == (2, 1, px, px)


def test_initialisation_is_a_function_of_the_seed() -> None:
    nets = []
    for seed in (1, 1, 2):
        net = TeacherNet(DEFAULT["vgg_small"], list(Task))
        net.initialise(seed)
        nets.append(torch.cat([tensor.flatten() for tensor in net.state_dict().values()]))
    assert torch.equal(nets[0], nets[1])
    assert not torch.equal(nets[0], nets[2])


@pytest.mark.parametrize(
    ("architecture", "kind", "says"),
    [
        (Architecture("os.system"), ModuleKind.CATEGORY, "not in the table"),
        (Architecture("vgg16", (("image_px", (224,)),)), ModuleKind.ADAPTER, "not in the table"),
        (Architecture("vgg16", (("image_px", (100_000,)),)), ModuleKind.TASK, "32 to 512"),
        (Architecture("vgg16", (("image_px", (224, 224)),)), ModuleKind.TASK, "1 to 1 values"),
        (Architecture("vgg16", (("image_px", (225,)),)), ModuleKind.TASK, "multiple of 32"),
        (Architecture("vgg16", ()), ModuleKind.TASK, "each once"),
        (Architecture("vgg16", (("image_px", (224,)), ("image_px", (224,)))), ModuleKind.TASK, "each once"),
        (Architecture("vgg16", (("image_px", (224,)), ("depth", (1,)))), ModuleKind.TASK, "each once"),
        (Architecture("adapter", (("channels_in", (4,)),)), ModuleKind.ADAPTER, "each once"),
    ],
)
def test_what_is_not_in_the_table_is_refused(architecture: Architecture, kind: ModuleKind, says: str) -> None:
    with pytest.raises(UnknownArchitecture, match=says):
        checked_architecture(architecture, kind)


def test_adapter_relations_are_checked() -> None:
    with pytest.raises(UnknownArchitecture, match="odd"):
        adapter_architecture(4, 4, 1, 2)
    with pytest.raises(UnknownArchitecture, match="permutation"):
        adapter_architecture(4, 4, 1, 3, reorder=[0, 1, 2, 2])


@pytest.mark.parametrize("architecture_id", sorted(DEFAULT))
@pytest.mark.parametrize("task", list(Task))
def test_the_layout_is_that_of_the_built_module(architecture_id: str, task: Task) -> None:
    layout = tensor_layout(DEFAULT[architecture_id], ModuleKind.TASK, task)
    with torch.device("meta"):
        built = build(DEFAULT[architecture_id], ModuleKind.TASK, task)
    assert layout == {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}


@pytest.mark.slow
def test_torchvisions_vgg16_moves_over_layer_by_layer() -> None:
    ensure_torchvision_ops()
    from torchvision.models import vgg16

    source = vgg16(weights=None)
    teacher = TeacherNet(DEFAULT["vgg16"], [Task.CLASSIFICATION])
    copy_vgg16(source, teacher)
    teacher.eval()
    source.eval()
    images = torch.rand(1, 3, 224, 224)
    normalised = teacher.category_module.normalize(images)
    with torch.no_grad():
        ours = teacher.category_module(images)
        head = teacher.task_modules["classification"].layers
        for layer in list(head)[:-1]:
            ours = layer(ours)
        theirs = source.classifier[:-1](source.avgpool(source.features(normalised)).flatten(1))
    torch.testing.assert_close(ours.flatten(1), theirs, rtol=1e-3, atol=1e-4)


def test_pretrained_weights_are_refused_for_another_net() -> None:
    with pytest.raises(UnknownArchitecture, match="224"):
        load_pretrained_vgg16(TeacherNet(DEFAULT["vgg_small"], [Task.CLASSIFICATION]))


def test_a_layout_is_worked_out_without_torchs_compiler() -> None:
    """Every process that reads a manifest works one out, and the compiler takes seconds to import."""
    code = (
        "import sys; from transplant.nets.architectures import tensor_layout as layout; "
        "from transplant.nets.architecture_table import DEFAULT; "
        "from transplant.types import ModuleKind, Task; "
        "[layout(DEFAULT[name], ModuleKind.TASK, task) for name in DEFAULT for task in Task]; "
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
