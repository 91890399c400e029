"""A real center in the test's process: real gRPC, mTLS, SQLite and store, on a free port."""

from __future__ import annotations

import atexit
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from central.admission.examiner import ProcessExaminer
from central.compose import Serving
from central.home import identity_folder, open_registry
from central.identity.provision import provision_authority, provision_kit
from central.settings import CentralSettings, read_settings
from fakes.artifacts import TINY, sealed
from transplant.artifact.codec import write_artifact
from transplant.backends.system_clock import SystemClock
from transplant.rpc.channel import load_kit
from transplant.rpc.client import CentralClient
from transplant.rpc.retry import RetryPolicy
from transplant.types import Identity, ModuleKind, Role, Task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from central.admission.examiner import Examiner
    from transplant.artifact.manifest import Manifest
    from transplant.types import Architecture, MergeSummary

BOTH = (Task.CLASSIFICATION, Task.SEGMENTATION)
FAST = {
    "listen": "127.0.0.1:0",
    "runner": "local",
    "steps": 6,
    "synthetic_images": 64,
    "checkpoint_every": 2,
    "minimum_agreement": 0.0,
    "disk_reserve_bytes": 0,
    "threads": 16,
}


@cache
def shared_examiner() -> ProcessExaminer:
    """Return the examiner of all centers of this test process: its torch is imported once."""
    examiner = ProcessExaminer()
    atexit.register(examiner.close)
    examiner.start()
    return examiner


def settle(client: CentralClient, module_id: str) -> None:
    """Wait for the verdict about a committed module, and raise a rejection as a site would."""
    client.wait_for_verdict(module_id, timeout_s=100.0).raise_rejection()


@dataclass
class Teacher:
    """Sealed modules of one teacher, written to disk."""

    f: Manifest
    g: dict[Task, Manifest]
    paths: dict[str, Path] = field(default_factory=dict)

    @property
    def manifests(self) -> list[Manifest]:
        return [self.f, *self.g.values()]


@dataclass
class RealCenter:
    """A home, its kits, and the serving that is up."""

    home: Path
    settings: CentralSettings
    serving: Serving | None = None
    examiner: Examiner | None = None
    clients: list[CentralClient] = field(default_factory=list)
    teachers: dict[tuple[object, ...], Teacher] = field(default_factory=dict)

    def start(self) -> None:
        self.serving = Serving(self.settings, examiner=self.examiner or shared_examiner())
        self.serving.start()

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()
        if self.serving is not None:
            self.serving.stop()
            self.serving = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def kit(self, name: str, role: Role = Role.SITE, categories: tuple[str, ...] = ()) -> Path:
        out = self.home / "kits" / f"{role.value}-{name}"
        registry = open_registry(self.settings)
        provision_kit(
            registry,
            SystemClock(),
            identity_folder(self.home).authority(),
            Identity(role, name),
            categories=categories,
            center="127.0.0.1:7443",
            days=1,
            out=out,
        )
        registry.close()
        return out

    def client(self, name: str, role: Role = Role.SITE, *, deadline_s: float = 5.0) -> CentralClient:
        """Return a client; a site `site-x` may bring the category `x`."""
        out = self.home / "kits" / f"{role.value}-{name}"
        if not out.exists():
            self.kit(name, role, (name.removeprefix("site-"),) if role is Role.SITE else ())
        assert self.serving is not None
        policy = RetryPolicy(deadline_s=deadline_s)
        client = CentralClient(load_kit(out), self.serving.address, policy=policy, call_s=5.0)
        self.clients.append(client)
        return client

    def teacher(
        self,
        category: str,
        seed: int | None = None,
        tasks: tuple[Task, ...] = BOTH,
        architecture: Architecture = TINY,
    ) -> Teacher:
        """Return the teacher of a seed, always the same one; without a seed every category has its own.

        Weights are drawn from torch's global generator, which the center's threads use too whenever they
        build a net: a test that compares bytes makes its teachers before the center has work.
        """
        seed = zlib.crc32(category.encode()) if seed is None else seed  # equal bytes would be one function
        made = self.teachers.get((category, seed, tasks, architecture))
        if made is not None:
            return made
        own: dict[str, Any] = {"site": f"site-{category}", "category": category, "architecture": architecture}
        f, payload = sealed(seed=seed, **own)
        teacher = Teacher(f, {})
        teacher.paths[f.module_id] = write_artifact(self.home / "outbox", f, payload)
        for index, task in enumerate(tasks):
            g, payload = sealed(ModuleKind.TASK, task, seed=seed + 100 + index, parents=(f.module_id,), **own)
            teacher.g[task] = g
            teacher.paths[g.module_id] = write_artifact(self.home / "outbox", g, payload)
        self.teachers[category, seed, tasks, architecture] = teacher
        return teacher

    def push(self, teacher: Teacher, manifest: Manifest | None = None) -> None:
        """Ship all modules of a teacher, or one of them, and wait until they are registered."""
        client = self.client(teacher.f.site)
        for each in [manifest] if manifest else teacher.manifests:
            declared = client.declare(each)
            if not declared.registered:
                client.upload(declared.upload_id, teacher.paths[each.module_id])
                assert client.commit(declared.upload_id, each.payload_sha256) == each.module_id
                settle(client, each.module_id)

    def bring(
        self, category: str, seed: int | None = None, tasks: tuple[Task, ...] = BOTH
    ) -> list[MergeSummary]:
        """Push a teacher and ask for its merges."""
        teacher = self.teacher(category, seed, tasks)
        self.push(teacher)
        client = self.client(f"site-{category}")
        return client.request_merge(teacher.f.module_id, [g.module_id for g in teacher.g.values()])[1]


@contextmanager
def real_center(home: Path, *, examiner: Examiner | None = None, **overrides: Any) -> Iterator[RealCenter]:
    """Provision and start a center; stop it at the end."""
    center = RealCenter(home, read_settings({"home": home, **FAST, **overrides}), examiner=examiner)
    provision_authority(identity_folder(home), (), 1)
    center.start()
    try:
        yield center
    finally:
        center.stop()


def manifest_with(manifest: Manifest, **changes: Any) -> Manifest:
    """Return a changed manifest that pydantic has not looked at again."""
    return manifest.model_copy(update=changes)


__all__ = [
    "BOTH",
    "FAST",
    "RealCenter",
    "Teacher",
    "manifest_with",
    "real_center",
    "settle",
    "shared_examiner",
]
