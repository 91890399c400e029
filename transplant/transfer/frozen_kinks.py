"""Run a net with the decisions of an earlier pass: which units of a ReLU are on, which pixel a pool takes.

Between two close points a net of ReLUs and max-pools is smooth except where such a decision flips, and there
the Hessian, as automatic differentiation has it, is zero. A difference of gradients that lets them flip
measures the flips instead. With the decisions of the first point held, the difference is one of smooth
functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_RELU = (functional.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
_MAX_POOL = (functional.max_pool2d, torch.max_pool2d)


class RecordedKinks(TorchFunctionMode):
    """Within this context ReLUs and max-pools write their decisions down, in the order of the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.decisions: list[Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Do what was called, and remember what it decided."""
        del types
        if func in _RELU:
            made = func(*args, **(kwargs or {}))
            self.decisions.append(made.detach() > 0)
            return made
        if func in _MAX_POOL:
            made, places = functional.max_pool2d_with_indices(*args, **_known(kwargs))
            self.decisions.append(places)
            return made
        return func(*args, **(kwargs or {}))


class HeldKinks(TorchFunctionMode):
    """Within this context ReLUs and max-pools decide as they did when `decisions` were recorded."""

    def __init__(self, decisions: Sequence[Tensor]) -> None:
        super().__init__()
        self._left = iter(decisions)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Do what was called, with the recorded decision."""
        del types
        if func in _RELU:
            return args[0] * next(self._left)
        if func in _MAX_POOL:
            places = next(self._left)
            return args[0].flatten(2).gather(2, places.flatten(2)).view(places.shape)
        return func(*args, **(kwargs or {}))


def _known(kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """Drop what `max_pool2d` hands on and `max_pool2d_with_indices` settles itself."""
    return {name: value for name, value in (kwargs or {}).items() if name != "return_indices"}
