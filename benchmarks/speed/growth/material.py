"""A center's home with teachers of random weights in it, ready to be merged; no network, no training.

The nets are the smallest of the table, the learner and the gates are the real ones: agreement is measured and
asked for 0 percent of, and the owning sites, whose data nobody has, give no verdict, so every candidate is
published when its deadline has passed, after a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import torch

from central.compose import compose_center
from central.home import open_registry
from central.identity.provision import admit_site
from central.registry.events_book import MODULE_ACCEPTED
from central.settings import read_settings
from central.usecases.request_merge import request_merge
from transplant.artifact.codec import seal
from transplant.nets.architectures import build
from transplant.types import Architecture, Identity, ModuleKind, Role, Task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from central.settings import CentralSettings
    from central.usecases.center import Center

SMALLEST = Architecture(
    "vgg_small", (("image_px", (32,)), ("channels", (4,)), ("widths", (8, 8)), ("hidden", (8,)))
)
FOUNDER = "founder"
WARM_UP = "warm-up"


@dataclass(frozen=True)
class GrowthSize:
    """How much grows, and how long a merge learns.

    Attributes:
        categories: each of a site of its own; the founder and one for the warm-up come on top.
        tasks: of each teacher.
        steps: of the optimiser, for each merge.
        batch: samples a step.
        synthetic_images: made for each merge.
        checkpoint_every: steps between checkpoints.
        seed: of all weights.
    """

    categories: int
    tasks: tuple[Task, ...] = tuple(Task)
    steps: int = 20
    batch: int = 16
    synthetic_images: int = 128
    checkpoint_every: int = 100
    seed: int = 0

    @property
    def merges(self) -> int:
        """Return how many merges are measured."""
        return self.categories * len(self.tasks)

    def names(self) -> tuple[str, ...]:
        """Return the categories that are measured."""
        return tuple(f"category-{number:03d}" for number in range(self.categories))

    def settings(self, home: Path, **more: Any) -> CentralSettings:
        """Return the settings of a center that grows so."""
        chosen = {
            "home": home,
            "founder": FOUNDER,
            "method": "transplant",
            "layers": 1,
            "steps": self.steps,
            "batch": self.batch,
            "synthetic_images": self.synthetic_images,
            "candidates": 1,
            "nudged_share": 0.0,
            "checkpoint_every": self.checkpoint_every,
            "device": "cpu",
            "minimum_agreement": 0.0,
            "validation_deadline_s": 0.001,
            "after_deadline": "publish",
            "disk_reserve_bytes": 0,
        }
        return read_settings(chosen | more)


def make_home(size: GrowthSize, home: Path) -> None:
    """Register every teacher's modules in a new home; nothing is requested yet."""
    settings = size.settings(home)
    registry = open_registry(settings)
    center = compose_center(settings, registry)
    names = (FOUNDER, WARM_UP, *size.names())
    with registry.write() as books:
        for name in names:
            admit_site(books, center.clock, site_of(name), (name,))
        for index, name in enumerate(names):
            f = _register(center, books, name, size.seed * 10_000 + index, ModuleKind.CATEGORY, None, ())
            for task in size.tasks:
                _register(center, books, name, size.seed * 10_000 + index, ModuleKind.TASK, task, (f,))
    registry.close()


def request(center: Center, categories: Sequence[str]) -> int:
    """Say of teachers that they are complete, as their sites would; return how many merges that makes."""
    with center.registry.read() as books:
        modules = books.modules.list()
    lower = {m.category: m.module_id for m in modules if m.kind is ModuleKind.CATEGORY}
    count = 0
    for category in categories:
        upper = [m.module_id for m in modules if (m.category, m.kind) == (category, ModuleKind.TASK)]
        caller = Identity(Role.SITE, site_of(category))
        count += len(request_merge(center, caller, lower[category], upper)[1])
    return count


def places(size: GrowthSize, categories: Sequence[str]) -> frozenset[tuple[str, Task]]:
    """Return the routes that these categories will have."""
    return frozenset(product(categories, size.tasks))


def site_of(category: str) -> str:
    """Return the site that brings a category."""
    return f"site-{category}"


def _register(
    center: Center,
    books: Any,
    category: str,
    seed: int,
    kind: ModuleKind,
    task: Task | None,
    parents: tuple[str, ...],
) -> str:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build(SMALLEST, kind, task)
    manifest, payload = seal(
        net, site=site_of(category), category=category, kind=kind, task=task,
        architecture=SMALLEST, parents=parents,
    )  # fmt: skip
    center.store.put_bytes(payload)
    now = center.clock.now()
    books.modules.add(manifest, now)
    books.events.add(MODULE_ACCEPTED, manifest.module_id, now, category=category)
    return manifest.module_id
