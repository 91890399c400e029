"""Modules that this process has loaded and may use again, as long as the store gives the same bytes for them.

A candidate's f was loaded for its teacher's other task a moment ago, and g_S for every candidate before it.
Only the bytes are asked again then: their sha256 is taken anew at every use, so a module that rots in the
store is found as if it were loaded. Large modules are not kept, nor is much of anything: beside what it costs
to load one of those the rest is nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from transplant.artifact.digest import sha256_file

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

_MOST_MODULES = 64
_MOST_BYTES = 4 << 20  # of one module's payload


class LoadedModules:
    """Used by one thread, the merge loop. Nobody may change what is handed out: it is frozen, and shared."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, nn.Module] = OrderedDict()

    def again(self, module_id: str, path: Path, payload_sha256: str) -> nn.Module | None:
        """Return a module that was loaded before if its file holds the same bytes, else None.

        Args:
            module_id: which.
            path: the file of its payload.
            payload_sha256: what its manifest promises of that.
        """
        net = self._kept.get(module_id)
        if net is None or sha256_file(path) != payload_sha256:
            return None
        self._kept.move_to_end(module_id)
        return net

    def keep(self, module_id: str, net: nn.Module, payload_bytes: int) -> None:
        """Keep a module that was verified and built, unless it is large."""
        if payload_bytes > _MOST_BYTES:
            return
        self._kept[module_id] = net
        while len(self._kept) > _MOST_MODULES:
            self._kept.popitem(last=False)
