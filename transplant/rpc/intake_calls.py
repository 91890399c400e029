"""Calls of Intake and Probe: how a module, or answers instead of one, come to the center."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from transplant.errors import AdmissionPending, DigestMismatch, UploadIncomplete
from transplant.rpc import convert
from transplant.rpc.connection import Connection
from transplant.rpc.messages import UploadPhase
from transplant.rpc.upload import Progress, upload_file
from transplant.v1 import intake_pb2, probe_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from transplant.artifact.manifest import Manifest
    from transplant.rpc.messages import AskedProbe, Declared, UploadState

_COMMIT_S = 300.0
_VERDICT_S = 900.0
_VERDICT_POLL_S = 2.0


class IntakeCalls(Connection):
    """What a site asks of the center's intake."""

    def declare(self, manifest: Manifest) -> Declared:
        """Announce a module. The same manifest declared twice is one module."""
        request = intake_pb2.DeclareRequest(manifest=convert.manifest_to_proto(manifest))
        declared = convert.declared_from_proto(self._caller.unary(self._intake.Declare, request))
        if declared.module_id != manifest.module_id:
            raise DigestMismatch(
                f"the center read module {declared.module_id}, this site sent {manifest.module_id}"
            )
        return declared

    def upload_status(self, upload_id: str) -> UploadState:
        """Ask how far an upload has come."""
        request = intake_pb2.UploadStatusRequest(upload_id=upload_id)
        return convert.upload_state_from_proto(self._caller.unary(self._intake.UploadStatus, request))

    def upload(
        self,
        upload_id: str,
        path: Path,
        on_progress: Progress | None = None,
        *,
        sha256: str | None = None,
        squeezed: bool = False,
    ) -> None:
        """Send the payload at `path` from the center's durable offset on, through any break.

        Args:
            upload_id: what Declare answered.
            path: the payload.
            on_progress: told (bytes durable at the center, bytes in all).
            sha256: what the file must be.
            squeezed: whether chunks are compressed on the wire (`compression.pays` tells when that is wise).

        Raises:
            DigestMismatch: if the file is not the one that `sha256` names.
        """
        upload_file(
            self._caller,
            self._intake.Upload,
            lambda: self.upload_status(upload_id),
            upload_id,
            path,
            on_progress,
            sha256,
            squeezed=squeezed,
        )

    def commit(self, upload_id: str, sha256: str) -> str:
        """Ask the center to verify and keep the bytes of an uploaded module; returns its id.

        Whether the module is registered then, `wait_for_verdict` tells.
        """
        request = intake_pb2.CommitRequest(upload_id=upload_id, sha256=sha256)
        # The center reads every byte of the payload before it answers.
        return self._caller.unary(self._intake.Commit, request, timeout_s=_COMMIT_S).module_id

    def wait_for_verdict(self, upload_id: str, timeout_s: float = _VERDICT_S) -> UploadState:
        """Wait until a committed module is registered or rejected, through restarts of the center.

        Raises:
            AdmissionPending: if it is not decided about after `timeout_s`; asking again is harmless.
            UploadIncomplete: if it is not committed at all.
        """
        ends_s = time.monotonic() + timeout_s
        pause_s = self._caller.policy.first_s
        while not (state := self.upload_status(upload_id)).decided:
            if state.phase is UploadPhase.RECEIVING:
                raise UploadIncomplete(f"the upload {upload_id[:12]} is not committed: commit it first")
            if time.monotonic() >= ends_s:
                raise AdmissionPending(f"the center has not decided about {upload_id[:12]} yet: ask again")
            self._caller.stopped.wait(random.uniform(0.5, 1.0) * pause_s)
            pause_s = min(2 * pause_s, _VERDICT_POLL_S)
        return state

    def list_probe_requests(self, category: str) -> list[AskedProbe]:
        """List what this site is asked about category modules that it pushed without task modules."""
        request = probe_pb2.ListProbeRequestsRequest(category=category)
        response = self._caller.unary(self._probe.ListProbeRequests, request)
        return [convert.asked_probe_from_proto(asked) for asked in response.requests]
