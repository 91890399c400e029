"""Ship what the outbox holds: declare, upload from the server's durable offset, commit, await the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.outbox import EntryState, Outbox, OutboxEntry, Rejection
from edge.seal import SealedTeacher, payload_path
from transplant.artifact.codec import read_manifest
from transplant.artifact.compression import pays
from transplant.errors import MergeNotPossible, TransplantError
from transplant.rpc.messages import UploadPhase
from transplant.types import ModuleKind

if TYPE_CHECKING:
    from edge.site_home import SiteHome
    from transplant.artifact.manifest import Manifest
    from transplant.rpc.client import CentralClient
    from transplant.rpc.messages import UploadState
    from transplant.types import MergeSummary

OnProgress = Callable[[str, int, int], None]


def enqueue(sealed: SealedTeacher, outbox: Outbox) -> None:
    """Put every part of a sealed teacher into the outbox, parents first.

    Raises:
        ArtifactRejected, NotFound: if the center has rejected a part before, with its reasons: the same bytes
            are not sent again.
    """
    for entry in [outbox.put(manifest) for manifest in sealed.manifests()]:
        entry.raise_rejection()


def request_merge(
    sealed: SealedTeacher, client: CentralClient, *, retry: bool = False
) -> tuple[str, list[MergeSummary]]:
    """Say that a teacher net is complete; returns its id and its merges so far. Idempotent.

    Args:
        sealed: the teacher net.
        client: of the center.
        retry: whether somebody wants tried once more what failed at the center.

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
        retry=retry,
    )


def push_outbox(
    outbox: Outbox,
    home: SiteHome,
    client: CentralClient,
    on_progress: OnProgress = lambda _module_id, _done, _of: None,
) -> list[str]:
    """Ship all pending artifacts in order, and wait until the center has admitted them.

    Every call may be repeated after a crash of either side: declaring a registered module says so, an
    interrupted upload goes on from the server's durable offset, and a verdict waits to be asked for. What
    belongs to a category module is sent once that is registered; the rest is decided about meanwhile.

    Args:
        outbox: the queue.
        home: where the sealed artifacts lie.
        client: the connection to the center.
        on_progress: told (module id, bytes durable at the center, bytes in all).

    Returns:
        The ids of the modules that were registered now.

    Raises:
        CenterUnreachable: if the center does not answer; the queue keeps its place.
        AdmissionPending: if it takes very long to decide; the queue keeps its place.
        ArtifactRejected, NotFound: if the center rejects an artifact; the queue remembers why.
    """
    registered: list[str] = []
    undecided: list[OutboxEntry] = []
    for entry in outbox.pending():
        manifest = read_manifest(home.sealed / f"{entry.module_id}.json")
        sent = _send(entry, manifest, outbox, home, client, on_progress)
        if sent.state is EntryState.REGISTERED:
            registered.append(sent.module_id)
        elif manifest.kind is ModuleKind.CATEGORY:
            _decide([sent], outbox, client)
            registered.append(sent.module_id)
        else:
            undecided.append(sent)
    _decide(undecided, outbox, client)
    return registered + [entry.module_id for entry in undecided]


def _send(
    entry: OutboxEntry,
    manifest: Manifest,
    outbox: Outbox,
    home: SiteHome,
    client: CentralClient,
    on_progress: OnProgress,
) -> OutboxEntry:
    """Bring one artifact to the center, as far as it is not there; return its entry as it is then."""
    try:
        declared = client.declare(manifest)
    except TransplantError as error:
        if not error.retry:
            _note_rejection(entry, outbox, client)
        raise
    if declared.registered:
        return outbox.mark(entry.module_id, EntryState.REGISTERED, declared.upload_id)
    outbox.mark(entry.module_id, EntryState.DECLARED, declared.upload_id)
    client.upload(
        declared.upload_id,
        payload_path(home.sealed, entry.module_id),
        lambda done, of: on_progress(entry.module_id, done, of),
        sha256=manifest.payload_sha256,
        squeezed=pays(manifest),
    )
    client.commit(declared.upload_id, manifest.payload_sha256)
    return outbox.mark(entry.module_id, EntryState.COMMITTED, declared.upload_id)


def _decide(entries: list[OutboxEntry], outbox: Outbox, client: CentralClient) -> None:
    """Wait for the verdicts about committed artifacts; all are written down before a rejection is raised."""
    verdicts: list[UploadState] = []
    for entry in entries:
        verdicts.append(client.wait_for_verdict(entry.upload_id))
        _record(entry, verdicts[-1], outbox)
    for verdict in verdicts:
        verdict.raise_rejection()


def _note_rejection(entry: OutboxEntry, outbox: Outbox, client: CentralClient) -> None:
    """Record why Declare was refused, if that is a verdict about this very module."""
    try:
        state = client.upload_status(entry.module_id)
    except TransplantError:
        return  # no verdict: the manifest itself was refused, or the link is down
    if state.phase is UploadPhase.REJECTED:
        _record(entry, state, outbox)


def _record(entry: OutboxEntry, state: UploadState, outbox: Outbox) -> None:
    if state.phase is UploadPhase.REJECTED:
        figures = {name: value for name, value in state.figures.items() if math.isfinite(value)}
        rejection = Rejection(state.error, state.reason, figures)
        outbox.mark(entry.module_id, EntryState.REJECTED, rejection=rejection)
    else:
        outbox.mark(entry.module_id, EntryState.REGISTERED)
