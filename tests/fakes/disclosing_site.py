"""What a site does that keeps g_T at home: it pushes statistics and answers to a real center."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fakes.real_center import settle
from transplant.artifact.codec import load_module, write_artifact
from transplant.artifact.disclosed import seal_answers
from transplant.datafree.probe import answer_probe

if TYPE_CHECKING:
    from fakes.real_center import RealCenter, Teacher
    from transplant.artifact.manifest import Manifest
    from transplant.rpc.client import CentralClient
    from transplant.types import Task

PROBE = {"probe_pool": 128, "probe_count": 32, "probe_grid": 4, "probe_more": 1}


def ship(center: RealCenter, client: CentralClient, sealed: tuple[Manifest, bytes]) -> Manifest:
    """Push one artifact as a site does, wait until it is registered, and return its manifest."""
    manifest, payload = sealed
    path = write_artifact(center.home / "outbox", manifest, payload)
    declared = client.declare(manifest)
    if not declared.registered:
        client.upload(declared.upload_id, path)
        client.commit(declared.upload_id, manifest.payload_sha256)
        settle(client, manifest.module_id)
    return manifest


def answered(center: RealCenter, client: CentralClient, teacher: Teacher) -> dict[Task, Manifest]:
    """Answer every request about a teacher, as its site does; g_T stays in this process."""
    f = load_module(teacher.f, teacher.paths[teacher.f.module_id])
    sealed = {}
    for asked in client.list_probe_requests(teacher.f.category):
        g = teacher.g[asked.request.task]
        task_module = load_module(g, teacher.paths[g.module_id])
        answers = answer_probe(asked.request, f, task_module)
        sealed[asked.request.task] = ship(center, client, seal_answers(answers, teacher.f))
    return sealed
