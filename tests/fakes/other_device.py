"""A device that is not there: tensors that compute on the CPU and refuse to meet a tensor that stayed on it.

It finds on a machine without a GPU what a GPU would find: a tensor that was forgotten on the CPU, and one
that was moved past `transplant.nets.placement`. Its arithmetic is the CPU's, so results can be compared.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only

from transplant.nets import placement

OTHER = torch.device("xpu", 0)
"""What a tensor that lives there says of itself; no such device is needed or touched."""

_BY_PLACE = {"aten::index", "aten::index_put", "aten::index_put_"}
"""Operators that take places (indices) from the CPU, as a GPU does."""
_ACROSS = {"aten::copy_"}


class WrongDeviceError(Exception):
    """Two devices met in one operation, or a tensor changed its device outside the one place for it."""


class Elsewhere(torch.Tensor):
    """A tensor on the other device; `inner` holds its numbers."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor, *, requires_grad: bool = False) -> Elsewhere:
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(),
            dtype=inner.dtype, layout=inner.layout, device="meta", requires_grad=requires_grad,
        )  # fmt: skip
        made.inner = inner
        return made

    @property
    def device(self) -> torch.device:
        return OTHER

    def to(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Stay where it is told to stay, as optimisers do."""
        told = [each for each in args if each != OTHER]
        kwargs = {name: each for name, each in kwargs.items() if each != OTHER}
        return super().to(*told, **kwargs) if told or kwargs else self

    def __deepcopy__(self, memo: dict[int, Any]) -> Elsewhere:
        twin = Elsewhere(self.inner.clone(), requires_grad=self.requires_grad)
        if isinstance(self, nn.Parameter):
            twin._is_param = True
        memo[id(self)] = twin
        return twin

    def __repr__(self) -> str:
        return f"Elsewhere({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        del types
        kwargs = kwargs or {}
        name = func._schema.name
        if kwargs.get("device") not in (None, torch.device("meta")):
            raise WrongDeviceError(f"{name} moves a tensor outside placement")
        given = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, torch.Tensor)]
        stayed = [
            each for each in given if type(each) is torch.Tensor and each.dim() > 0 and not each.is_meta
        ]
        by_place = name in _BY_PLACE and isinstance(args[0], Elsewhere)
        if stayed and not by_place and name not in _ACROSS:
            raise WrongDeviceError(f"{name} of {[tuple(each.shape) for each in stayed]}, which stayed")
        kwargs = {key: value for key, value in kwargs.items() if key != "device"}
        inside = tree_map_only(torch.Tensor, _numbers, (args, kwargs))
        out = tree_map_only(torch.Tensor, cls, func(*inside[0], **inside[1]))
        return return_and_correct_aliasing(func, args, kwargs, out)


def _numbers(tensor: torch.Tensor) -> torch.Tensor:
    """Return what an operator computes on; autograd's own zeros come without numbers, as of a meta device."""
    if isinstance(tensor, Elsewhere):
        return tensor.inner
    if tensor.is_meta and not tensor.is_floating_point():
        raise WrongDeviceError("places or masks were made on the device from Python numbers: make a tensor")
    return torch.zeros(tensor.shape, dtype=tensor.dtype) if tensor.is_meta else tensor


def to_other(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Stand in for `placement.to_device`."""
    if tensor.device == device:
        return tensor
    return Elsewhere(tensor.detach()) if device == OTHER else tensor.inner.detach()


def net_to_other(net: nn.Module, device: torch.device) -> nn.Module:
    """Stand in for `placement.net_to_device`."""
    for module in net.modules():
        for name, held in module._parameters.items():
            if held is not None:
                module._parameters[name] = nn.Parameter(to_other(held, device), held.requires_grad)
        for name, held in module._buffers.items():
            if held is not None:
                module._buffers[name] = to_other(held, device)
    return net


def install(monkeypatch) -> None:
    """Let "cuda" mean the other device, wherever placement's two functions are known."""
    import sys

    known = placement.resolved_device
    replaced = {
        placement.to_device: to_other,
        placement.net_to_device: net_to_other,
        known: lambda wanted: OTHER if wanted == "cuda" else known(wanted),
    }
    for module in [
        each for name, each in sys.modules.items() if name.startswith(("transplant.", "edge.", "benchmarks."))
    ]:
        for name, value in list(vars(module).items()):
            if (
                callable(value)
                and getattr(value, "__module__", "") == placement.__name__
                and value in replaced
            ):
                monkeypatch.setattr(module, name, replaced[value])
