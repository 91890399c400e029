"""Looks over the center's shoulder while a journey runs: merges as they move, versions as they appear."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.journey.change_proof import Witness
from transplant.errors import TransplantError
from transplant.rpc.channel import load_kit
from transplant.rpc.client import CentralClient
from transplant.types import MergeSummary, NetVersion

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOOK_EVERY_S = 1.0


@dataclass
class Seen:
    """What the watcher knows now."""

    merges: dict[str, MergeSummary] = field(default_factory=dict[str, MergeSummary])
    versions: list[NetVersion] = field(default_factory=list[NetVersion])
    reachable: bool = False


class Watcher:
    """A thread with a reader's certificate: polls merges and lets the witness download each new version.

    A center that is away (killed, restarting) is no fault: the watcher waits for it to come back.

    Args:
        kit: folder of a reader's kit.
        directory: where the witness keeps what it downloads.
        tell: called with one sentence for each thing that happened.
    """

    def __init__(self, kit: Path, directory: Path, tell: Callable[[str], None]) -> None:
        self._client = CentralClient(load_kit(kit))
        self.witness = Witness(self._client, directory)
        self._tell = tell
        self._lock = threading.Lock()
        self._seen = Seen()
        self._stop = threading.Event()
        self._fault: TransplantError | None = None
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def seen(self) -> Seen:
        """Return a copy of what is known.

        Raises:
            TransplantError: what made the watcher give up, such as a version that cannot be verified.
        """
        with self._lock:
            if self._fault is not None:
                raise self._fault
            return Seen(dict(self._seen.merges), list(self._seen.versions), self._seen.reachable)

    def finish(self) -> list[NetVersion]:
        """Stop looking, then download every version once more; return all of them, oldest first."""
        self._stop.set()
        self._thread.join()
        self.seen()
        self.witness.see_new()
        return self.witness.see_all_again()

    def close(self) -> None:
        """Stop and hang up."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._client.close()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            try:
                self._look()
            except TransplantError as fault:
                with self._lock:
                    self._seen.reachable = False
                    if not fault.retry:
                        self._fault = fault
                        return

    def _look(self) -> None:
        merges = {merge.merge_key: merge for merge in self._client.list_merges()}
        with self._lock:
            before, self._seen.merges, self._seen.reachable = self._seen.merges, merges, True
        for key, merge in merges.items():
            was = before.get(key)
            if was is None or was.state is not merge.state:
                reason = f" ({merge.reason})" if merge.reason else ""
                self._tell(f"merge {merge.category} {merge.task}: {merge.state}{reason}")
        for version in self.witness.see_new():
            with self._lock:
                self._seen.versions.append(version)
            routes = ", ".join(f"{route.category}/{route.task}" for route in version.routes)
            self._tell(f"version {version.number} published and downloaded: {routes}")
