"""What Ray is asked for on behalf of an order: never more than some machine of the cluster has.

A demand that no machine can meet would wait for ever. So an order for a GPU where there is none goes to a
processor (and the worker says that it sees no GPU, if one was demanded), and an estimate of memory that is
larger than the largest machine asks for all of that machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from central.merge.orders import WorkOrder

_CPUS = 1.0
"""Of every merge: more computing threads would sum in another order, and other bits would come out."""


@dataclass(frozen=True)
class Machine:
    """What one living node of a cluster has in all."""

    gpus: float
    memory_bytes: int


def machines_of(nodes: Sequence[Mapping[str, Any]]) -> tuple[Machine, ...]:
    """Return the living machines among what `ray.nodes()` gives."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    return tuple(Machine(float(has.get("GPU", 0.0)), int(has.get("memory", 0))) for has in alive)


def options_of(order: WorkOrder, machines: Sequence[Machine]) -> dict[str, Any]:
    """Return the options of the Ray task that executes an order: processors, share of a GPU, memory."""
    with_gpu = [machine for machine in machines if order.gpu_share > 0 and machine.gpus > 0]
    candidates = with_gpu or machines
    options: dict[str, Any] = {"num_cpus": _CPUS, "name": f"merge-{order.merge_key[:12]}"}
    if with_gpu:
        options["num_gpus"] = min(order.gpu_share, max(machine.gpus for machine in with_gpu))
    memory = min(order.memory_bytes, max((machine.memory_bytes for machine in candidates), default=0))
    if memory > 0:
        options["memory"] = memory
    return options
