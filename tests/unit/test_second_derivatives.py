"""Closed second derivatives beside finite differences and autograd's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from transplant.transfer.second_derivatives import LeanSecondDerivatives

if TYPE_CHECKING:
    from collections.abc import Sequence


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture
def small_net() -> nn.Module:
    layers = (nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.Conv2d(4, 2, 3, stride=2))
    torch.manual_seed(0)
    return nn.Sequential(*layers, nn.BatchNorm2d(2)).double().train()


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"), [(1, 1, 1, 1), (2, 1, 1, 1), (1, 2, 2, 2)]
)
@pytest.mark.parametrize("biased", [True, False])
def test_a_convolution_differentiates_twice_as_finite_differences_do(
    stride: int, padding: int, dilation: int, groups: int, biased: bool
) -> None:
    inputs = [drawn(2, 4, 5, 5), drawn(6, 4 // groups, 3, 3), *([drawn(6)] if biased else [])]

    def convolved(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)

    with LeanSecondDerivatives():
        assert torch.autograd.gradgradcheck(convolved, [each.requires_grad_() for each in inputs])


def test_a_batch_norm_differentiates_twice_as_finite_differences_do() -> None:
    inputs = [drawn(3, 4, 5, 2), drawn(4).abs() + 0.5, drawn(4) + 1]

    def normed(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return functional.batch_norm(x, None, None, gamma, beta, training=True, eps=0.1)

    with LeanSecondDerivatives():
        assert torch.autograd.gradgradcheck(normed, [each.requires_grad_() for each in inputs])


def test_values_running_statistics_and_first_derivatives_are_those_of_autograd(small_net: nn.Module) -> None:
    images = drawn(4, 3, 8, 8)
    began = {name: tensor.clone() for name, tensor in small_net.state_dict().items()}

    def passed(*, lean: bool) -> list[Tensor]:
        small_net.load_state_dict(began)
        with LeanSecondDerivatives() if lean else torch.enable_grad():
            answers = small_net(images)
        gradients = torch.autograd.grad(answers.square().sum(), list(small_net.parameters()))
        return [answers, *gradients, *(each.clone() for each in small_net.buffers())]

    pairs = list(zip(passed(lean=True), passed(lean=False), strict=True))
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


@pytest.mark.parametrize("fixed_point", [False, True])
def test_what_a_gradient_is_multiplied_with_gets_the_same_second_derivative(
    small_net: nn.Module, fixed_point: bool
) -> None:
    images = drawn(4, 3, 8, 8)
    weights = list(small_net.parameters())

    def told(*, lean: bool) -> Tensor:
        factors = torch.ones(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
        with LeanSecondDerivatives(fixed_point=fixed_point) if lean else torch.enable_grad():
            loss = (factors * small_net(images).tanh()).sum()
        slopes = torch.autograd.grad(loss, weights, create_graph=True)
        return torch.autograd.grad(_squares(slopes), factors)[0]

    assert torch.allclose(told(lean=True), told(lean=False), rtol=1e-10, atol=1e-12)


def test_at_a_fixed_point_weights_get_no_second_derivative() -> None:
    x, weight = drawn(2, 3, 4, 4).requires_grad_(), drawn(2, 3, 3, 3).requires_grad_()
    g = torch.ones(2, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    with LeanSecondDerivatives(fixed_point=True):
        y = functional.conv2d(x, weight)
    slopes = torch.autograd.grad(y, (x, weight), g, create_graph=True)
    found = torch.autograd.grad(_squares(slopes), (g, x, weight), allow_unused=True)
    assert found[0] is not None
    assert found[1:] == (None, None)


def test_other_layers_are_left_to_autograd() -> None:
    x, gamma = drawn(2, 3, 4, 4).requires_grad_(), drawn(3).abs()
    with LeanSecondDerivatives():
        same = functional.conv2d(x, drawn(2, 3, 3, 3), padding="same")
        at_rest = functional.batch_norm(x, torch.zeros(3).double(), torch.ones(3).double(), gamma)
        plain = functional.batch_norm(x, None, None, training=True)
        flat = functional.batch_norm(x.flatten(1)[:, :3], None, None, gamma, training=True)
        alone = functional.conv2d(x[0], drawn(2, 3, 3, 3))
        with pytest.raises(ValueError, match="more than 1 value"):
            functional.batch_norm(x[:1, :, :1, :1], None, None, gamma, training=True)
    assert [type(each.grad_fn).__name__ for each in (same, at_rest, plain, flat)] == [
        "ConvolutionBackward0",
        *["NativeBatchNormBackward0"] * 3,
    ]
    assert alone.shape == (2, 2, 2)


def _squares(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([each.square().sum() for each in tensors]).sum()
