"""D' is what autograd gives on the module with its ReLUs, pools and biases replaced (golden check)."""

from __future__ import annotations

import copy

import pytest
import torch
from fakes.tiny_nets import SMALL
from torch import Tensor, nn

from transplant.backdistill.pseudo_gradient import (
    DummyMasks,
    DummyRule,
    adapter_pseudo_gradient,
    pseudo_gradient,
)
from transplant.errors import SeamMismatch
from transplant.nets.adapter import Adapter
from transplant.nets.architecture_table import DEFAULT, seam_of
from transplant.nets.architectures import build_task_module
from transplant.types import Architecture, Task


class _Multiply(nn.Module):
    """A ReLU whose derivative is a given mask."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask


class _Recorder(DummyMasks):
    """Keep each mask under the position that asked for it."""

    @property
    def drawn(self) -> dict[str, Tensor]:
        return self._masks


def _replaced(module: nn.Module, masks: dict[str, Tensor]) -> nn.Module:
    twin = copy.deepcopy(module)
    for name, layer in list(twin.named_modules()):
        parent_name, _, child = name.rpartition(".")
        parent = twin.get_submodule(parent_name)
        if isinstance(layer, nn.ReLU):
            setattr(parent, child, _Multiply(masks[name]) if name in masks else nn.Identity())
        elif isinstance(layer, nn.MaxPool2d):
            setattr(parent, child, nn.AvgPool2d(layer.kernel_size))
        elif isinstance(layer, nn.Dropout):
            setattr(parent, child, nn.Identity())
        elif isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return twin


@pytest.mark.parametrize("rule", list(DummyRule))
@pytest.mark.parametrize("task", list(Task))
def test_equals_autograd_on_the_replaced_module(task: Task, rule: DummyRule) -> None:
    torch.manual_seed(0)
    module = build_task_module(SMALL, task)
    seam = seam_of(SMALL)
    side = 1 if task is Task.CLASSIFICATION else 32
    gradient = torch.rand(3, 1, side, side) * 2 - 1
    masks = _Recorder(rule, torch.Generator().manual_seed(1))
    ours = pseudo_gradient(module, gradient, masks)
    assert ours.shape == (3, seam.channels, seam.height, seam.width)

    x = torch.randn(3, seam.channels, seam.height, seam.width, requires_grad=True)
    answers = _replaced(module, masks.drawn)(x)
    (answers * gradient.view_as(answers)).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(ours, x.grad, rtol=1e-4, atol=1e-6)
    if rule is DummyRule.FIRST:
        assert not masks.drawn
    else:
        assert masks.drawn


def test_lowest_rule_masks_the_lowest_relu_only_with_a_fifth_positive() -> None:
    module = build_task_module(SMALL, Task.CLASSIFICATION)
    masks = _Recorder(DummyRule.LOWEST_SECOND, torch.Generator().manual_seed(1))
    pseudo_gradient(module, torch.ones(64, 1, 1, 1), masks)
    ((position, mask),) = masks.drawn.items()
    assert position == "layers.1"
    assert mask.shape == (64, 1, 16, 16), "x' is s1 x s2 x 1, copied over the channels"
    assert float(mask.to(torch.float32).mean()) == pytest.approx(0.2, abs=0.01)


def test_an_enlarged_gradient_gives_an_enlarged_map() -> None:
    module = build_task_module(SMALL, Task.CLASSIFICATION)
    masks = DummyMasks(DummyRule.FIRST, torch.Generator())
    assert pseudo_gradient(module, torch.ones(1, 1, 7, 7), masks).shape == (1, 8, 40, 40)


def test_both_task_modules_of_a_sample_share_their_masks() -> None:
    torch.manual_seed(0)
    host, teacher = (build_task_module(SMALL, Task.SEGMENTATION) for _ in range(2))
    masks = _Recorder(DummyRule.SECOND, torch.Generator().manual_seed(1))
    gradient = torch.ones(2, 1, 32, 32)
    pseudo_gradient(host, gradient, masks)
    drawn = dict(masks.drawn)
    pseudo_gradient(teacher, gradient, masks)
    assert masks.drawn.keys() == drawn.keys()
    assert all(masks.drawn[position] is drawn[position] for position in drawn)


def test_the_second_dummy_refuses_other_geometry_and_names_the_way_out() -> None:
    wider = Architecture(
        "vgg_small", tuple((n, (14, 16) if n == "widths" else v) for n, v in SMALL.hyper_parameters)
    )
    masks = DummyMasks(DummyRule.SECOND, torch.Generator().manual_seed(1))
    gradient = torch.ones(2, 1, 1, 1)
    pseudo_gradient(build_task_module(SMALL, Task.CLASSIFICATION), gradient, masks)
    with pytest.raises(SeamMismatch, match="use the first dummy"):
        pseudo_gradient(build_task_module(wider, Task.CLASSIFICATION), gradient, masks)


@pytest.mark.parametrize("kernel", [1, 3])
def test_adapter_chain_equals_autograd_of_the_linear_adapter(kernel: int) -> None:
    torch.manual_seed(0)
    order = torch.randperm(8).tolist()
    adapter = Adapter(8, 10, layers=3, kernel=kernel, reorder=order)
    adapter.set_beta(1.7)
    for convolution in adapter.convolutions:
        nn.init.normal_(convolution.weight)
    at_output = torch.randn(2, 10, 6, 6)
    x = torch.randn(2, 8, 6, 6, requires_grad=True)
    y = x[:, order] * 1.7
    for convolution in adapter.convolutions:
        y = nn.functional.conv2d(y, convolution.weight, padding=kernel // 2)
    (y * at_output).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(adapter_pseudo_gradient(adapter, at_output), x.grad, rtol=1e-4, atol=1e-3)


def test_vgg16_runs_backwards_through_its_convolutional_head() -> None:
    with torch.device("meta"):
        module = build_task_module(DEFAULT["vgg16"], Task.CLASSIFICATION)
        masks = DummyMasks(DummyRule.FIRST, torch.Generator())
        enlarged = pseudo_gradient(module, torch.ones(1, 1, 7, 7), masks)
    assert enlarged.shape == (1, 64, 208, 208)
