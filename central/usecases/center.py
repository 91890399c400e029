"""What every use case works with: the ports, and the operator's policy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from central.merge.known_answers import KnownAnswers
from central.merge.situation import PlanPolicy
from central.merge.state import GatePolicy
from central.usecases.bell import Bell
from central.usecases.loaded_modules import LoadedModules
from transplant.artifact.limits import Limits
from transplant.nets.disclosure_layouts import ANSWERS_RANGES
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from central.merge.workshop import Workshop
    from central.registry.registry import Registry
    from central.usecases.part_files import PartFiles
    from transplant.ports.blob_store import BlobStore
    from transplant.ports.clock import Clock
    from transplant.types import Device

_LARGE_PX = 224


@dataclass(frozen=True)
class Quota:
    """What one site may use, and what the disk must keep free."""

    bytes: int = 50 << 30
    modules: int = 10_000
    open_uploads: int = 16
    disk_reserve_bytes: int = 256 << 20


@dataclass(frozen=True)
class ProbePolicy:
    """What sites are asked that keep their task modules at home; see `ProbeRequest`.

    `more` is for classification, where an answer is one number: of small pictures a site answers twice as
    many times the count, and looks for them in up to four times as many times the pool.
    """

    pool: int = 6144
    count: int = 3000
    grid: int = 16
    drawings_percent: int = 50
    more: int = 4

    def asked(self, task: Task, image_px: int) -> tuple[int, int]:
        """Return the pool and the count for one task on images of this side.

        More only as far as the pool takes no more computing than one of images of 224 pixels a side.
        """
        room = (_LARGE_PX // image_px) ** 2
        times = min(self.more, room)
        if task is Task.SEGMENTATION or times <= 1:
            return self.pool, self.count
        pool = min(4 * times * self.pool, room * self.pool, ANSWERS_RANGES["pool"][1])
        return pool, min(2 * times * self.count, pool, ANSWERS_RANGES["count"][1])


@dataclass(frozen=True)
class AdmissionPolicy:
    """What the trial run of a received module may take: processor time, and memory beside its payload's."""

    cpu_s: float = 120.0
    memory_bytes: int = 2 << 30


@dataclass(frozen=True)
class Policy:
    """The operator's decisions.

    `device` is what workers learn on, `gpu_share` how much of a GPU each of them gets there, and `shares`
    what sites get of the workers where that is not 1 (`central.merge.turns`).
    """

    plan: PlanPolicy = field(default_factory=PlanPolicy)
    gates: GatePolicy = field(default_factory=GatePolicy)
    limits: Limits = field(default_factory=Limits)
    quota: Quota = field(default_factory=Quota)
    probe: ProbePolicy = field(default_factory=ProbePolicy)
    admission: AdmissionPolicy = field(default_factory=AdmissionPolicy)
    device: Device = "auto"
    gpu_share: float = 0.5
    shares: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class Center:
    """A merge server without its network and its loop."""

    registry: Registry
    store: BlobStore
    parts: PartFiles
    workshop: Workshop
    clock: Clock
    policy: Policy = field(default_factory=Policy)
    bell: Bell = field(default_factory=Bell)
    known_answers: KnownAnswers = field(default_factory=KnownAnswers)
    loaded_modules: LoadedModules = field(default_factory=LoadedModules)
