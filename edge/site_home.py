"""Where everything of a site lies on its disk, and the one lock over it.

SITEHOME/data/      raw data that the site materialised; never leaves
SITEHOME/teacher/   checkpoint of the training
SITEHOME/sealed/    artifacts ready to ship, and teacher.json that names them
SITEHOME/outbox/    what is to be shipped and how far it is
SITEHOME/modules/   verified modules from the center, by id
SITEHOME/net/N/     version N of the transplant net
SITEHOME/verdicts/  what was answered to candidate routes
SITEHOME/refine/    this site's node in federated rounds: key, settings, log, privacy.json
SITEHOME/report.json, settings.json
"""

from __future__ import annotations

import fcntl
import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transplant.artifact.durable_file import storage_errors, write_durably
from transplant.errors import CheckpointInvalid, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@dataclass(frozen=True)
class SiteHome:
    """The folders of one site."""

    root: Path

    @property
    def teacher(self) -> Path:
        """Checkpoint of the training."""
        return self.root / "teacher"

    @property
    def sealed(self) -> Path:
        """Own artifacts."""
        return self.root / "sealed"

    @property
    def outbox(self) -> Path:
        """Shipping queue."""
        return self.root / "outbox"

    @property
    def modules(self) -> Path:
        """Modules from the center."""
        return self.root / "modules"

    @property
    def net(self) -> Path:
        """Versions of the transplant net."""
        return self.root / "net"

    @property
    def verdicts(self) -> Path:
        """Answers to candidates."""
        return self.root / "verdicts"

    @property
    def refine(self) -> Path:
        """Its node in federated rounds."""
        return self.root / "refine"

    @property
    def report(self) -> Path:
        """The site's figures."""
        return self.root / "report.json"

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold the site for this process; the system frees it however the process ends.

        Raises:
            InvalidSettings: if another process holds it.
        """
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            file = (self.root / ".lock").open("w", encoding="utf-8")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InvalidSettings(
                    f"another transplant-edge is at work in {self.root}: wait for it, or take another --home"
                ) from error
            yield


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON document durably, making its folder where needed.

    Raises:
        StorageFull: if the disk is full.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, json.dumps(document, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n")


def read_document(path: Path) -> dict[str, Any] | None:
    """Read a JSON document of this site, or None where there is none.

    Raises:
        CheckpointInvalid: if it is not a JSON object (nothing of ours writes such a file: the disk did).
    """
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CheckpointInvalid(
            f"{path} is damaged ({error}): delete it and run the command again"
        ) from error
    if not isinstance(document, dict):
        raise CheckpointInvalid(f"{path} is damaged (no JSON object): delete it and run the command again")
    return document
