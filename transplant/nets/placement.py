"""Where learning runs: the only place that puts nets and tensors on a device.

A device is where something ran, not what was asked for: it is no setting of a learner and no part of a
merge's key; the worker chooses it when it begins. Everything random is drawn by generators on the CPU, so
that images, masks and batches are the same on every device; what was drawn or stored meets a net through
`beside`. Equal bits are promised for the CPU alone: a GPU sums in another order.
"""

from __future__ import annotations

import copy
from dataclasses import fields, is_dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor, nn

from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from transplant.types import Device

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)

CPU = torch.device("cpu")


def resolved_device(wanted: Device) -> torch.device:
    """Return the device that this process shall learn on; "auto" takes a GPU where there is one.

    Raises:
        InvalidSettings: if a GPU is demanded and this process sees none.
    """
    if wanted == "cpu":
        return CPU
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if wanted == "cuda":
        raise InvalidSettings(
            "device is cuda, and this worker sees no GPU: take auto or cpu, or give it a GPU and a torch "
            "that is built for CUDA"
        )
    return CPU


def device_of(net: nn.Module) -> torch.device:
    """Return where a net lives; a net without tensors lives on the CPU."""
    first = next(chain(net.parameters(), net.buffers()), None)
    return CPU if first is None else first.device


def beside(tensor: Tensor, net: nn.Module) -> Tensor:
    """Return a tensor on the device of the net that it is handed to; the same object if it is there."""
    return to_device(tensor, device_of(net))


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; the same object if it is there."""
    return tensor if tensor.device == device else tensor.to(device)


def net_to_device(net: M, device: torch.device) -> M:
    """Move a net to a device and return it."""
    return net.to(device)


def placed(value: T, device: torch.device) -> T:
    """Return a value with every tensor and net in it on a device; what is there already is not copied.

    Dataclasses, dictionaries and tuples are looked into. Nets are copied before they move: whoever
    gave them still finds them where they were.
    """
    return cast("T", _placed(value, device, {}))


def nets_placed(value: T, device: torch.device) -> T:
    """Return a dataclass with its nets on a device and its other fields as they are."""
    copies: dict[int, nn.Module] = {}
    changes = {
        name: _placed(each, device, copies) for name, each in _fields(value) if isinstance(each, nn.Module)
    }
    return _changed(value, changes)


def _placed(value: object, device: torch.device, copies: dict[int, nn.Module]) -> object:
    if isinstance(value, Tensor):
        return to_device(value, device)
    if isinstance(value, nn.Module):
        return _net_placed(value, device, copies)
    if isinstance(value, dict):
        mapping = cast("dict[object, object]", value)
        return {name: _placed(each, device, copies) for name, each in mapping.items()}
    if type(value) is tuple:
        old = cast("tuple[object, ...]", value)
        new = tuple(_placed(each, device, copies) for each in old)
        return old if all(one is other for one, other in zip(old, new, strict=True)) else new
    if is_dataclass(value) and not isinstance(value, type):
        return _changed(value, {name: _placed(each, device, copies) for name, each in _fields(value)})
    return value


def _net_placed(net: nn.Module, device: torch.device, copies: dict[int, nn.Module]) -> nn.Module:
    """Return a net on a device; one net in two fields stays one net."""
    if all(tensor.device == device for tensor in chain(net.parameters(), net.buffers())):
        return net
    if id(net) not in copies:
        copies[id(net)] = net_to_device(copy.deepcopy(net), device)
    return copies[id(net)]


def _fields(value: object) -> list[tuple[str, Any]]:
    return [(entry.name, getattr(value, entry.name)) for entry in fields(cast("Any", value))]


def _changed(value: T, changes: dict[str, Any]) -> T:
    """Return a dataclass with other values; the same object where they are the same objects."""
    new = {name: each for name, each in changes.items() if each is not getattr(value, name)}
    return cast("T", replace(cast("Any", value), **new)) if new else value
