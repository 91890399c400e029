"""A center without network, whose merge loop the test turns by hand: real registry and store, fake engine."""

from __future__ import annotations

from dataclasses import replace

from central.compose import compose_center
from central.home import open_registry, store_place
from central.identity.provision import admit_site
from central.merge.reconcile import Reconciler
from central.settings import read_settings
from central.usecases.read_merges import fetch_candidates
from central.usecases.report_verdict import report_verdict
from central.usecases.request_merge import request_merge
from fakes.artifacts import TINY, sealed
from fakes.clock import FakeClock
from fakes.engine import FakeEngine
from transplant.types import Identity, ModuleKind, Role, Task, Verdict

SETTINGS = {
    "steps": 2,
    "synthetic_images": 64,
    "minimum_agreement": 0.0,
    "founder": "dog",
    "attempts": 2,
    "unsigned_verdicts": "accept",  # nobody here has a certificate
}


class World:
    """A center without network, whose loop the test turns by hand."""

    def __init__(self, home, **overrides) -> None:
        self.home = home
        self.clock = FakeClock()
        self.engine = FakeEngine()
        self.settings = read_settings({"home": home, **SETTINGS, **overrides})
        self.registry = open_registry(self.settings)
        self.revive()

    def revive(self) -> None:
        """A center that was killed: everything anew but the disk, the clock and the engine."""
        self.center = replace(compose_center(self.settings, self.registry), clock=self.clock)
        self.loop = Reconciler(self.center, self.engine, store_place(self.settings))

    def admit(self, *categories) -> None:
        """Let the usual site of each category in."""
        with self.registry.write() as books:
            for category in categories:
                admit_site(books, self.clock, f"site-{category}", (category,))

    def register(self, kind, task, seed, category, parents=(), owner="", metrics=None):
        who = f"site-{owner or category}"
        manifest, payload = sealed(kind, task, TINY, seed, parents, who, category, metrics=metrics)
        self.center.store.put_bytes(payload)
        with self.registry.write() as books:
            books.modules.add(manifest, self.clock.now())
        return manifest.module_id

    def bring(self, category, seed, tasks=(Task.CLASSIFICATION,), owner="", *, retry=False, metrics=None):
        """Bring a teacher; `owner` names the site where it is not the category's usual one."""
        f = self.register(ModuleKind.CATEGORY, None, seed, category, owner=owner)
        gs = [
            self.register(ModuleKind.TASK, task, seed + 50, category, (f,), owner, metrics) for task in tasks
        ]
        return request_merge(self.center, site(owner or category), f, gs, retry=retry)[1]

    def grow(self, category, seed, tasks=(Task.CLASSIFICATION,), owner=""):
        """Bring a teacher and let all of its merges be published."""
        self.bring(category, seed, tasks, owner)
        while not all(status.ended for status in self.merges(category)):
            self.rounds(2)
            self.engine.finish()
            self.rounds(2)
            accept(self, owner or category)
            self.rounds(2)

    def rounds(self, count=6) -> None:
        for _ in range(count):
            self.loop.tick()

    def merges(self, category=""):
        with self.registry.read() as books:
            return [merge.status for merge in books.merges.list(category)]

    def newest(self):
        with self.registry.read() as books:
            return books.versions.newest()


def site(category: str) -> Identity:
    return Identity(Role.SITE, f"site-{category}")


def accept(world, category) -> None:
    for key, _ in fetch_candidates(world.center, site(category)):
        good = {"error": 5.0, "iou": 90.0}
        report_verdict(world.center, site(category), Verdict(key, good, good, {"error": 50.0, "iou": 0.0}, 9))
