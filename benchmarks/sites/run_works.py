"""The closed table of what may be run at sites, and how one piece of work is run.

Work travels to Flower's workers as `module:function`. Nothing else than what stands here is ever imported by
such a name.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch

from benchmarks.sites.engine import AT_HOME, SiteReply
from transplant.errors import InvalidSettings
from transplant.nets.allocator import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from benchmarks.sites.engine import Setting, SiteWork
    from benchmarks.sites.federation import LocalData

WORKS = frozenset(
    {
        "benchmarks.sites.transplanting_site:train_teachers",
        "benchmarks.sites.transplanting_refinement_site:refine_adapters",
        "benchmarks.sites.transplanting_validation_site:validate_routes",
        "benchmarks.sites.references_site:send_pictures",
        "benchmarks.sites.peers.local_training:train_locally",
    }
)


@dataclass(frozen=True, eq=False)
class Told:
    """What a site is sent; sites that are sent the same share one mapping of tensors."""

    tensors: Mapping[str, Tensor]
    settings: Mapping[str, Setting]


@dataclass(frozen=True, eq=False)
class Done:
    """A site's reply and the processor seconds that it took."""

    reply: SiteReply
    seconds: float


def name_of(work: SiteWork) -> str:
    """Return `module:function` of a piece of work.

    Raises:
        InvalidSettings: if it is not in the table.
    """
    name = f"{work.__module__}:{getattr(work, '__qualname__', '')}"
    if name not in WORKS:
        raise InvalidSettings(
            f"{name} is no work of a simulated site: enter it in benchmarks.sites.run_works.WORKS"
        )
    return name


def work_of(name: str) -> SiteWork:
    """Return the work of a name.

    Raises:
        InvalidSettings: if the table does not have it.
    """
    if name not in WORKS:
        raise InvalidSettings(f"{name[:200]!r} is no work of a simulated site")
    module, _, function = name.partition(":")
    return cast("SiteWork", getattr(importlib.import_module(module), function))


def do_work(
    work: SiteWork,
    data: LocalData,
    sent: Mapping[str, Tensor],
    settings: Mapping[str, Setting],
    threads: int,
) -> Done:
    """Run a piece of work in this process; the same bytes go in and out wherever that is."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    began_s = time.process_time()
    reply = work(data, sent, settings)
    seconds = time.process_time() - began_s
    return Done(SiteReply(as_sent(reply.tensors), dict(reply.figures)), seconds)


def as_sent(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies as they travel: contiguous, on the CPU, without a graph.

    A tensor's strides would not survive the way to another process, and convolutions round differently
    by them.
    """
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def tensor_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Return how many bytes tensors take on their way; what lies at the site already takes none."""
    return sum(
        tensor.numel() * tensor.element_size()
        for name, tensor in tensors.items()
        if not name.startswith(AT_HOME)
    )
