"""Calls that come twice, too early, in the wrong order or at the wrong place: a site's second voice.

What a retrying client, a proxy that repeats, or a site restored from an old disk would send. Every answer but
a failure of the server's own is right; what must not happen, the checker looks for afterwards.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from benchmarks.chaos.plan import FaultKind
from benchmarks.chaos.site import NotingClient, SiteFolder, SitePlan, site_client
from transplant.artifact.codec import read_manifest, write_artifact
from transplant.errors import TransplantError, UnexpectedFailure
from transplant.rpc.client import CentralClient
from transplant.rpc.messages import UploadPhase, UploadState
from transplant.rpc.retry import RetryPolicy
from transplant.rpc.upload import upload_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.chaos.modules import Template
    from benchmarks.chaos.plan import Fault
    from edge.outbox import OutboxEntry
    from transplant.artifact.manifest import Manifest

_IMPATIENT = RetryPolicy(deadline_s=2.0, first_s=0.05, longest_s=0.5)
_JOIN_S = 60.0


class LyingClient(NotingClient):
    """A client that sends a payload from where it likes."""

    def upload_from(self, upload_id: str, path: Path, offset: int) -> None:
        """Open a stream that begins at `offset`, whatever the center has."""
        state = UploadState(offset, (), UploadPhase.RECEIVING, upload_id)
        upload_file(self._caller, self._intake.Upload, lambda: state, upload_id, path)

    def early_commit(self, manifest: Manifest) -> None:
        """Commit what can never be complete: it is not noted as attempted, so it must never be there."""
        CentralClient.commit(self, manifest.module_id, manifest.payload_sha256)


class Mischief:
    """Does one thing at a time for each call of `do`, each in a thread of its own.

    Args:
        sites: folder and plan of each, by index.
        ghosts: modules of each site that are never sent as a whole, in the order (f, a task module on f).
    """

    def __init__(
        self, sites: Sequence[tuple[SiteFolder, SitePlan]], ghosts: Sequence[tuple[Template, Template]]
    ) -> None:
        self._sites = sites
        self._ghosts = ghosts
        self._threads: list[threading.Thread] = []
        self.failures: list[str] = []

    def do(self, fault: Fault) -> None:
        """Begin; it takes seconds at most, and nobody waits for it."""
        thread = threading.Thread(target=self._safely, args=(fault,), name="mischief", daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        """Wait until all is done."""
        for thread in self._threads:
            thread.join(_JOIN_S)

    def _safely(self, fault: Fault) -> None:
        folder, plan = self._sites[fault.site]
        with suppress(TransplantError), site_client(LyingClient, plan, folder, _IMPATIENT) as client:
            if fault.kind is FaultKind.REORDER:
                self._reorder(client, folder, self._ghosts[fault.site])
                return
            entries = folder.outbox.entries()
            if not entries:
                return
            # The newest ones are on their way; the others are there.
            entry = entries[-1] if fault.amount < 0.7 else entries[int(fault.amount * len(entries))]
            manifest = read_manifest(folder.home.sealed / f"{entry.module_id}.json")
            path = folder.home.sealed / f"{entry.module_id}.safetensors"
            if fault.kind is FaultKind.DUPLICATE:
                self._twice(client, manifest, path)
            else:
                self._replay(client, entry, manifest, path, fault.amount)

    def _twice(self, client: LyingClient, manifest: Manifest, path: Path) -> None:
        """Ship a module as its site does, at the same time, and every call twice at once."""

        def ship() -> None:
            declared = client.declare(manifest)
            if not declared.registered:
                client.upload(declared.upload_id, path)
            client.commit(manifest.module_id, manifest.payload_sha256)
            client.declare(manifest)

        rival = threading.Thread(target=self._try, args=(ship,), daemon=True)
        rival.start()
        self._try(ship)
        rival.join(_JOIN_S)

    def _replay(
        self, client: LyingClient, entry: OutboxEntry, manifest: Manifest, path: Path, amount: float
    ) -> None:
        """Send chunks again, and chunks from places that nobody asked for."""
        size = manifest.payload_bytes
        for offset in (0, int(amount * size), max(0, size - 1), size // 2 + 1):
            if offset < size:
                self._try(lambda at=offset: client.upload_from(entry.module_id, path, at))

    def _reorder(self, client: LyingClient, folder: SiteFolder, ghosts: tuple[Template, Template]) -> None:
        """Commit before anything was sent, and send a task module whose category module never comes."""
        f, g = ghosts
        for commit_first in (f, g):
            sent = commit_first.manifest
            self._try(lambda of=sent: _drop(client.declare(of)))
            self._try(lambda of=sent: client.early_commit(of))
        path = write_artifact(folder.root / "ghost", g.manifest, g.payload)
        self._try(lambda: client.upload(g.manifest.module_id, path))
        self._try(lambda: client.early_commit(g.manifest))

    def _try(self, call: Callable[[], None]) -> None:
        try:
            call()
        except UnexpectedFailure as error:
            self.failures.append(str(error))
        except TransplantError:
            return  # refused, or the link is down: both are fine


def _drop(_answer: object) -> None:
    """Make a call of no answer."""
