"""Ship what the outbox holds: declare, upload from the server's durable offset, commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.outbox import EntryState, Outbox
from edge.seal import SealedTeacher, payload_path
from transplant.artifact.codec import read_manifest
from transplant.errors import MergeNotPossible

if TYPE_CHECKING:
    from edge.site_home import SiteHome
    from transplant.rpc.client import CentralClient
    from transplant.types import MergeSummary

OnProgress = Callable[[str, int, int], None]


def enqueue(sealed: SealedTeacher, outbox: Outbox) -> None:
    """Put every part of a sealed teacher into the outbox, parents first."""
    for manifest in sealed.manifests():
        outbox.put(manifest)


def request_merge(sealed: SealedTeacher, client: CentralClient) -> tuple[str, list[MergeSummary]]:
    """Say that a teacher net is complete; returns its id and its merges so far. Idempotent.

    Raises:
        MergeNotPossible: if the center cannot merge it, or a task has neither module nor answers yet.
    """
    if not sealed.complete:
        raise MergeNotPossible(
            "the task modules stay here, and the center's probes are not answered yet: run transplant-edge "
            "answer"
        )
    return client.request_merge(
        sealed.category_module.module_id,
        [manifest.module_id for manifest in sealed.task_modules.values()],
        answers=[manifest.module_id for manifest in sealed.answers.values()],
        statistics="" if sealed.statistics is None else sealed.statistics.module_id,
    )


def push_outbox(
    outbox: Outbox,
    home: SiteHome,
    client: CentralClient,
    on_progress: OnProgress = lambda _module_id, _done, _of: None,
) -> list[str]:
    """Ship all pending artifacts in order.

    Every call may be repeated after a crash of either side: declaring a registered module says so, and
    an interrupted upload goes on from the server's durable offset.

    Args:
        outbox: the queue.
        home: where the sealed artifacts lie.
        client: the connection to the center.
        on_progress: told (module id, bytes durable at the center, bytes in all).

    Returns:
        The ids of the modules that were committed now.

    Raises:
        CenterUnreachable: if the center does not answer; the queue keeps its place.
        ArtifactRejected: if the center refuses an artifact.
    """
    committed: list[str] = []
    for entry in outbox.pending():
        manifest = read_manifest(home.sealed / f"{entry.module_id}.json")
        declared = client.declare(manifest)
        if not declared.registered:
            outbox.mark(entry.module_id, EntryState.DECLARED, declared.upload_id)
            client.upload(
                declared.upload_id,
                payload_path(home.sealed, entry.module_id),
                lambda done, of, entry=entry: on_progress(entry.module_id, done, of),
            )
            client.commit(declared.upload_id, manifest.payload_sha256)
        outbox.mark(entry.module_id, EntryState.COMMITTED, declared.upload_id)
        committed.append(entry.module_id)
    return committed
