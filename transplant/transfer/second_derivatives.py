"""Second derivatives of convolutions and batch norms with a third less work than autograd's own.

Autograd differentiates the gradient of a convolution into its weights by a convolution whose kernel is as
large as the feature map, and that of a batch norm term by term. Within `LeanSecondDerivatives` both are
computed from closed forms, in the kernels of ordinary forward and backward passes. Values and first
derivatives are those of autograd, to the bit.

The gradients (gx, gW) of a convolution y = W * x are bilinear in g, W and x; for a step (vx, vW) in them

    dg = W * vx + vW * x,    dx = gx with vW in place of W,    dW = gW with vx in place of x.

With xhat = (x - mu) s, s = (var + eps)^-1/2 of each channel and P(v) = v - <v> - xhat <v xhat>, <.> the mean
over N samples and positions, those of a batch norm are gx = gamma s P(g), ggamma = N <g xhat>, gbeta = N <g>.
For a step (v, a, b) in them, with K = <v g> - <v><g> - <v xhat><g xhat>,

    dg = gamma s P(v) + a xhat + b,    dgamma = N s K,
    dx = s P(a g - gamma s (v <g xhat> + g <v xhat>)) - gamma s^2 K xhat.

Neither can be differentiated a third time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable

_BACKWARD_OF_CONVOLUTION = torch.ops.aten.convolution_backward.default
_BACKWARD_OF_BATCH_NORM = torch.ops.aten.native_batch_norm_backward.default
_ALL = (True, True, True)
_IMAGES = 4  # axes of a batch of them
Sides = int | Sequence[int]


class LeanSecondDerivatives(TorchFunctionMode):
    """Within this context 2-d convolutions and batch norms in training are differentiated by closed forms.

    Others, and what is not a batch of images, are left to autograd.

    Args:
        fixed_point: second derivatives into weights and inputs will not be asked, only those into what a
            gradient is multiplied with: half the work.
    """

    def __init__(self, *, fixed_point: bool = False) -> None:
        super().__init__()
        self._fixed_point = fixed_point

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Do what was called, in a way that differentiates well."""
        del types
        if func is torch.conv2d:
            return _conv2d(self._fixed_point, *args, **(kwargs or {}))
        if func is functional.batch_norm:
            return _batch_norm(self._fixed_point, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _conv2d(
    fixed_point: bool,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sides = 1,
    padding: Sides | str = 0,
    dilation: Sides = 1,
    groups: int = 1,
) -> Tensor:
    if isinstance(padding, str) or x.dim() != _IMAGES:
        return torch.conv2d(x, weight, bias, stride, padding, dilation, groups)
    geometry = _pair(stride), _pair(padding), _pair(dilation), groups
    return _Convolution.apply(fixed_point, x, weight, bias, *geometry)


def _batch_norm(
    fixed_point: bool,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if training and weight is not None and x.dim() == _IMAGES and x[:, 0].numel() > 1:
        return _BatchNorm.apply(fixed_point, x, weight, bias, running_mean, running_var, momentum, eps)
    return functional.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)


def _pair(sides: Sides) -> list[int]:
    return [sides, sides] if isinstance(sides, int) else list(sides)


class _Convolution(Function):
    """x, W, bias, stride, padding, dilation, groups -> y."""

    @staticmethod
    def forward(
        ctx: Any, fixed_point: bool, x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.fixed_point, ctx.geometry = fixed_point, geometry
        return torch.conv2d(x, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, *into: Tensor) -> Any:
        point = _point(ctx)
        told = _ConvolutionBackward.apply(into[0], *point, ctx.geometry, tuple(ctx.needs_input_grad[1:4]))
        return None, *told, None, None, None, None


class _ConvolutionBackward(Function):
    """g, x, W -> the gradients into x, W and the bias; None for those that nobody needs."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor, geometry: Any, needed: tuple[bool, ...]
    ) -> Any:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, x, weight)
        ctx.geometry = geometry
        return _backward_of_convolution(g, x, weight, geometry, needed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *into: Tensor | None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        g, x, weight = ctx.saved_tensors
        vx, v_weight, v_bias = into
        if v_weight is None:
            v_weight = torch.zeros_like(weight)
        dg = None
        if ctx.needs_input_grad[0]:
            dg = torch.conv2d(x, v_weight, v_bias, *ctx.geometry)
            if vx is not None:
                dg += torch.conv2d(vx, weight, None, *ctx.geometry)
        needed = (ctx.needs_input_grad[1], ctx.needs_input_grad[2] and vx is not None, False)
        at = x if vx is None else vx
        dx, d_weight, _ = _backward_of_convolution(g, at, v_weight, ctx.geometry, needed)
        return dg, dx, d_weight, None, None


def _backward_of_convolution(
    g: Tensor, x: Tensor, weight: Tensor, geometry: Any, needed: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    stride, padding, dilation, groups = geometry
    told = _BACKWARD_OF_CONVOLUTION(
        g, x, weight, [len(weight)], stride, padding, dilation, False, [0, 0], groups, needed
    )
    return tuple(told)


class _BatchNorm(Function):
    """x, gamma, beta, running statistics, momentum, eps -> y, in training."""

    @staticmethod
    def forward(
        ctx: Any,
        fixed_point: bool,
        x: Tensor,
        gamma: Tensor,
        beta: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        momentum: float,
        eps: float,
    ) -> Tensor:
        y, mean, s = torch.native_batch_norm(x, gamma, beta, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(x, gamma, mean, s)
        ctx.fixed_point, ctx.eps = fixed_point, eps
        return y

    @staticmethod
    def backward(ctx: Any, *into: Tensor) -> Any:
        told = _BatchNormBackward.apply(into[0], *_point(ctx), ctx.eps)
        return None, *told, None, None, None, None


class _BatchNormBackward(Function):
    """g, x, gamma, mu, s, eps -> the gradients into x, gamma and beta."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, gamma: Tensor, mean: Tensor, s: Tensor, eps: float) -> Any:
        ctx.set_materialize_grads(False)
        told = _BACKWARD_OF_BATCH_NORM(g, x, gamma, None, None, mean, s, True, eps, _ALL)
        ctx.save_for_backward(g, x, gamma, mean, s, *told[1:])
        ctx.eps = eps
        return told

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *into: Tensor | None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        g, x, gamma, mean, s, sum_gx, sum_g = ctx.saved_tensors
        count = x.numel() // len(gamma)
        v = torch.zeros_like(x) if into[0] is None else into[0]
        a, b = (torch.zeros_like(gamma) if each is None else each for each in into[1:])
        dg, sum_vx, sum_v = _BACKWARD_OF_BATCH_NORM(v, x, gamma, None, None, mean, s, True, ctx.eps, _ALL)
        dg.addcmul_(x, _wide(s * a)).add_(_wide(b - mean * s * a))
        if not any(ctx.needs_input_grad[1:3]):
            return dg, None, None, None, None, None
        mean_g, mean_gx, mean_v, mean_vx = (each / count for each in (sum_g, sum_gx, sum_v, sum_vx))
        k = _mean_product(v, g, count) - mean_v * mean_g - mean_vx * mean_gx
        of_v, of_g = -gamma * s * mean_gx, a - gamma * s * mean_vx
        mean_q = of_v * mean_v + of_g * mean_g
        mean_qx = of_v * mean_vx + of_g * mean_gx
        of_xhat = -s * mean_qx - gamma * k * s.square()
        dx = torch.addcmul(_wide(-s * mean_q - mean * s * of_xhat), x, _wide(s * of_xhat))
        dx.addcmul_(v, _wide(s * of_v)).addcmul_(g, _wide(s * of_g))
        return dg, dx, count * s * k, None, None, None


def _point(ctx: Any) -> Sequence[Tensor]:
    """Return what a forward pass saved, as constants if it is a fixed point."""
    return [each.detach() for each in ctx.saved_tensors] if ctx.fixed_point else ctx.saved_tensors


def _mean_product(v: Tensor, g: Tensor, count: int) -> Tensor:
    """Return the mean of v g over samples and positions, one number a channel."""
    return (v * g).flatten(2).sum((0, 2)) / count


def _wide(of_channel: Tensor) -> Tensor:
    """Return one number a channel in a shape that broadcasts over samples and positions."""
    return of_channel.view(1, -1, 1, 1)
