"""A site that sends large modules one after the other, and notes what it sends again after each break."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.chaos import journal
from benchmarks.chaos.site import POLICY, STREAM_S, leave_with_driver
from transplant.artifact.codec import read_manifest
from transplant.errors import TransplantError
from transplant.rpc.channel import load_kit
from transplant.rpc.client import CentralClient
from transplant.rpc.upload import upload_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transplant.artifact.manifest import Manifest

RESUMED = "resumed"
_CALL_S = 10.0


@dataclass
class Position:
    """How far an upload is, in a file that outlives the process: bytes handed to gRPC, bytes acknowledged."""

    path: Path

    def read(self) -> tuple[int, int]:
        """Return both, (0, 0) before the first byte."""
        try:
            sent, acknowledged = struct.unpack("<QQ", self.path.read_bytes())
        except (FileNotFoundError, struct.error):
            return 0, 0
        return int(sent), int(acknowledged)

    def write(self, sent: int, acknowledged: int) -> None:
        """Replace both, in one write."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(descriptor, struct.pack("<QQ", sent, acknowledged), 0)
        finally:
            os.close(descriptor)


class WatchedClient(CentralClient):
    """The real client with an eye on what goes into its upload streams."""

    def upload_watched(self, upload_id: str, path: Path, position: Position, notes: Path) -> None:
        """Upload as `upload` does; note each stream that begins behind the first byte or after a break."""

        def method(requests: Iterator[Any], timeout: float) -> Any:
            return self._intake.Upload(watched(requests), timeout=timeout)

        def watched(requests: Iterator[Any]) -> Iterator[Any]:
            began = False
            for request in requests:
                sent, acknowledged = position.read()
                if not began and sent:
                    told = {"at": request.offset, "sent": sent, "acknowledged": acknowledged}
                    journal.note(notes, RESUMED, upload_id, json.dumps(told))
                    acknowledged = min(acknowledged, request.offset)
                began = True
                position.write(request.offset + len(request.data), acknowledged)
                yield request

        def progress(durable: int, _of: int) -> None:
            sent, acknowledged = position.read()
            if durable > acknowledged and sent:
                position.write(sent, min(durable, sent))

        status = lambda: self.upload_status(upload_id)  # noqa: E731 - as `CentralClient.upload` has it
        upload_file(self._caller, method, status, upload_id, path, progress)


def send_all(root: str) -> None:
    """Send every module of a folder, in the order of their names; a process's main."""
    leave_with_driver()
    folder = Path(root)
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    notes = folder / "journal.jsonl"
    kit = load_kit(Path(plan["kit"]))
    with WatchedClient(kit, plan["address"], policy=POLICY, call_s=_CALL_S, stream_s=STREAM_S) as client:
        for name in plan["modules"]:
            while not _sent(client, folder, name, notes):
                pass
    journal.note(notes, journal.DONE, "site")


def _sent(client: WatchedClient, folder: Path, name: str, notes: Path) -> bool:
    """Send one module until it is committed; return whether it is."""
    manifest: Manifest = read_manifest(folder / f"{name}.json")
    committed = {each.subject for each in journal.notes(notes) if each.what == journal.COMMITTED}
    if manifest.module_id in committed:
        return True
    try:
        declared = client.declare(manifest)
        if not declared.registered:
            position = Position(folder / f"{name}.position")
            path = folder / f"{name}.safetensors"
            client.upload_watched(declared.upload_id, path, position, notes)
            client.commit(declared.upload_id, manifest.payload_sha256)
    except TransplantError as error:
        journal.note(notes, journal.ERROR, error.code(), str(error)[:300])
        return False
    journal.note(notes, journal.COMMITTED, manifest.module_id)
    return True
