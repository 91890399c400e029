"""Where workers leave what must outlive them: one folder a merge with checkpoint, progress, result.

Files, because they serve a thread and a Ray worker alike, and a center that was killed finds them. They lie
in the center's home and not in the store, which holds what never changes under the digest of its bytes; a
checkpoint changes all the time and has no digest that anybody could ask for. So a Ray on other machines
needs the home on a volume that they all mount at the same path (modules may come from S3 all the same).
Two workers at one workbench, where a node was given up that still lives, do no harm: equal orders give
equal bytes, and every file is replaced as a whole.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from transplant.artifact.durable_file import storage_errors, write_durably
from transplant.errors import StorageFull

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a worker has come, and its latest figures."""

    step: int = 0
    total_steps: int = 0
    figures: dict[str, float] | None = None


@dataclass(frozen=True)
class Outcome:
    """How a worker ended: an error's class and message, or the adapter's canonical manifest and figures."""

    error: str = ""
    message: str = ""
    manifest: bytes = b""
    figures: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class Cost:
    """What the last worker of a merge took: time on the wall, and of a processor."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Workshop:
    """The folder `<home>/merges`."""

    root: Path

    def bench(self, merge_key: str) -> Workbench:
        """Return the folder of one merge."""
        return Workbench(self.root / merge_key)

    @property
    def gallery(self) -> Path:
        """Return where the center keeps public images, in folders named by their digest."""
        return self.root.parent / "public-images"

    def keys(self) -> tuple[str, ...]:
        """Return the merges that have a folder."""
        return tuple(sorted(path.name for path in self.root.iterdir())) if self.root.is_dir() else ()


@dataclass(frozen=True)
class Workbench:
    """The folder of one merge."""

    folder: Path

    def prepare(self) -> None:
        """Make the folder; take the stop sign and the failure of an earlier run away."""
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._stop_sign.unlink(missing_ok=True)
        outcome = self.outcome()
        if outcome is not None and outcome.error:
            self._outcome.unlink(missing_ok=True)

    def checkpoint(self) -> bytes | None:
        """Return the last saved state of the learner, or None."""
        try:
            return self._checkpoint.read_bytes()
        except FileNotFoundError:
            return None

    def save_checkpoint(self, state: bytes) -> None:
        """Replace the saved state; a crash leaves the old one or the new one."""
        write_durably(self._checkpoint, state)

    def drop_checkpoint(self) -> None:
        """Forget the saved state: it is damaged or of other settings."""
        self._checkpoint.unlink(missing_ok=True)

    def progress(self) -> Progress:
        """Return how far the worker says it is; all zero where it said nothing."""
        try:
            fields = json.loads(self._progress.read_bytes())
            return Progress(int(fields["step"]), int(fields["total_steps"]), dict(fields["figures"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return Progress()

    def report(self, step: int, total_steps: int, figures: dict[str, float]) -> None:
        """Tell how far the worker is. Not synced: it is news, not a record."""
        finite = {name: value for name, value in figures.items() if abs(value) < float("inf")}
        document = {"step": step, "total_steps": total_steps, "figures": finite}
        self._tell(self._progress, document)

    def cost(self) -> Cost:
        """Return what the last worker took; nothing where none has ended."""
        try:
            return Cost(**json.loads(self._cost.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return Cost()

    def tell_cost(self, cost: Cost) -> None:
        """Leave what a worker took. Not synced, as its progress."""
        self._tell(self._cost, asdict(cost))

    def ask_to_stop(self) -> None:
        """Put up the stop sign; the worker sees it before its next step. The loop asks until it stops."""
        if not self.folder.is_dir():
            return
        try:
            with storage_errors(self._stop_sign):
                self._stop_sign.touch()
        except StorageFull as error:
            log.warning("%s", error)

    def stopped(self) -> bool:
        """Tell whether the stop sign is up."""
        return self._stop_sign.exists()

    def outcome(self) -> Outcome | None:
        """Return how the worker ended, or None while it has not."""
        try:
            fields = json.loads(self._outcome.read_bytes())
        except FileNotFoundError:
            return None
        return Outcome(fields["error"], fields["message"], fields["manifest"].encode(), fields["figures"])

    def write_outcome(self, outcome: Outcome, payload: bytes = b"") -> None:
        """Leave the result: the adapter's payload first, so that where an outcome stands, all is whole."""
        if payload:
            write_durably(self.adapter, payload)
        document = {
            "error": outcome.error,
            "message": outcome.message,
            "manifest": outcome.manifest.decode(),
            "figures": outcome.figures,
        }
        write_durably(self._outcome, json.dumps(document, sort_keys=True).encode())

    def tidy(self) -> None:
        """Keep the progress and the cost, throw away what a worker needed: its result is registered.

        A worker that was killed while it wrote may have left an unfinished file, too.
        """
        unfinished = self.folder.glob(".*.tmp")
        for path in (self._checkpoint, self.adapter, self._outcome, self._stop_sign, *unfinished):
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Throw the folder away: the merge has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def adapter(self) -> Path:
        """Payload of the learned adapter, whole where there is an outcome without error."""
        return self.folder / "adapter.safetensors"

    @property
    def _outcome(self) -> Path:
        return self.folder / "outcome.json"

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def _progress(self) -> Path:
        return self.folder / "progress.json"

    @property
    def _cost(self) -> Path:
        return self.folder / "cost.json"

    def _tell(self, path: Path, document: dict[str, Any]) -> None:
        temporary = self.folder / f".{path.name}.{os.getpid()}.tmp"
        try:
            with storage_errors(path):
                temporary.write_bytes(json.dumps(document).encode())
                temporary.replace(path)
        except StorageFull as error:  # the next news may find room; no merge ends for want of it
            temporary.unlink(missing_ok=True)
            log.warning("%s", error)

    @property
    def _stop_sign(self) -> Path:
        return self.folder / "stop"
