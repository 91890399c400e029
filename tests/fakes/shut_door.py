"""A center whose examiner can be shut out, and modules on their way into it."""

from __future__ import annotations

import threading

import torch

from central.admission.report import modules_document
from central.registry.registry import Registry
from fakes.artifacts import TINY
from fakes.disclosures import net
from fakes.real_center import shared_examiner
from transplant.artifact.codec import seal, write_artifact
from transplant.errors import AdmissionPending
from transplant.types import ModuleKind


class Door:
    """An examiner that can be shut: modules wait outside as if it could not start."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.seen: list[str] = []

    def examine(self, order):
        if not self.open.is_set():
            raise AdmissionPending("the door is shut")
        self.seen.append(order.manifest)
        return shared_examiner().examine(order)


def send(center, client, manifest, payload):
    """Bring a module to the center, up to the answer to Commit."""
    path = write_artifact(center.home / "outbox", manifest, payload)
    upload_id = client.declare(manifest).upload_id
    client.upload(upload_id, path)
    assert client.commit(upload_id, manifest.payload_sha256) == manifest.module_id
    return upload_id


def zeros(**own):
    made = net(TINY, ModuleKind.CATEGORY)
    made.load_state_dict({name: torch.zeros_like(weight) for name, weight in made.state_dict().items()})
    told = {"site": "site-ant", "category": "ant", "kind": ModuleKind.CATEGORY, "task": None} | own
    return seal(made, architecture=TINY, **told)


def books_of(center):
    registry = Registry(center.settings.url)
    with registry.read() as books:
        document = modules_document(books)
        rows = books.admissions.newest()
        events = [(event.kind, event.subject, event.detail) for event in books.events.after(0)]
    registry.close()
    return document, rows, events
