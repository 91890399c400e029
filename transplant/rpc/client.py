"""The client of the merge server: typed methods, deadlines and retries inside."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Self

from transplant.errors import AdmissionPending, DigestMismatch, InvalidSettings, UploadIncomplete
from transplant.rpc import convert
from transplant.rpc.caller import Caller
from transplant.rpc.channel import Kit, open_channel
from transplant.rpc.convert_identity import described_from_proto
from transplant.rpc.download import download_payload
from transplant.rpc.messages import UploadPhase
from transplant.rpc.renewal import renewed_kit, signing_request, swap_kit
from transplant.rpc.retry import RetryPolicy
from transplant.rpc.upload import Progress, upload_file
from transplant.rpc.verdict_signature import sign_verdict
from transplant.types import MergeState, MergeSummary, NetVersion, Route, RouteReport, Verdict
from transplant.v1 import catalog_pb2, identity_pb2, intake_pb2, merge_pb2, probe_pb2, validation_pb2
from transplant.v1.catalog_pb2_grpc import CatalogStub
from transplant.v1.identity_pb2_grpc import IdentityStub
from transplant.v1.intake_pb2_grpc import IntakeStub
from transplant.v1.merge_pb2_grpc import MergeStub
from transplant.v1.probe_pb2_grpc import ProbeStub
from transplant.v1.validation_pb2_grpc import ValidationStub

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from transplant.artifact.manifest import Manifest
    from transplant.rpc.messages import AskedProbe, Declared, Described, Event, ModuleSummary, UploadState
    from transplant.types import Task

_PAGE = 500
_COMMIT_S = 300.0
_VERDICT_S = 900.0
_VERDICT_POLL_S = 2.0
FINAL_STATES = frozenset({MergeState.PUBLISHED, MergeState.REJECTED, MergeState.CANCELLED, MergeState.FAILED})


class CentralClient:
    """Everything that a site, an operator or a benchmark can ask of a center.

    Each method raises the very `TransplantError` that the center raised. Errors that a retry can cure
    (a lost link, a restarted center) are retried until the policy's deadline, then raised.

    Args:
        kit: who calls, and which CA vouches for the center.
        address: `host:port` instead of the kit's.
        policy: how long calls are repeated.
        call_s: deadline of one unary attempt.
        stream_s: deadline of one stream; transfers and watches go on in the next.
    """

    def __init__(
        self,
        kit: Kit,
        address: str | None = None,
        *,
        policy: RetryPolicy | None = None,
        call_s: float = 30.0,
        stream_s: float = 300.0,
    ) -> None:
        self._address = address
        self._caller = Caller(policy or RetryPolicy(), call_s, stream_s)
        self._connect(kit)

    def _connect(self, kit: Kit) -> None:
        self.kit = kit
        self._channel = open_channel(kit, self._address)
        self._identity = IdentityStub(self._channel)
        self._intake = IntakeStub(self._channel)
        self._catalog = CatalogStub(self._channel)
        self._merge = MergeStub(self._channel)
        self._probe = ProbeStub(self._channel)
        self._validation = ValidationStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; calls in other threads end with `CenterUnreachable`."""
        self._caller.stopped.set()
        self._channel.close()

    # --- identity ----------------------------------------------------------------------------------

    def describe(self) -> Described:
        """Ask who this kit is to the center, what time it is there, and what it speaks."""
        return described_from_proto(
            self._caller.unary(self._identity.Describe, identity_pb2.DescribeRequest())
        )

    def renew(self, directory: Path) -> Kit:
        """Renew the kit in `directory`, which this client was made with, and go on with the new one.

        See `use` for other threads. If anything fails the old kit is still good and in use.

        Raises:
            NotAllowed: if the center does not renew over the wire, or it is too early.
            CertificateInvalid: if what came back does not fit, or the folder cannot be written.
        """
        key, request = signing_request(self.kit)
        answer = self._caller.unary(self._identity.Renew, identity_pb2.RenewRequest(csr=request))
        kit = renewed_kit(self.kit, key, answer.certificate, directory)
        swap_kit(directory, kit)
        self.use(kit)
        return kit

    def use(self, kit: Kit) -> None:
        """Go on with another kit of the same identity.

        A watch, in whatever thread, goes on with it, too; no other thread may be calling otherwise.
        """
        old = self._channel
        self._connect(kit)
        old.close()

    # --- intake ------------------------------------------------------------------------------------

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

    # --- catalog -----------------------------------------------------------------------------------

    def list_modules(self, category: str | None = None) -> list[ModuleSummary]:
        """List the modules that the caller may see, through all pages."""
        modules: list[ModuleSummary] = []
        token = ""
        while True:
            request = catalog_pb2.ListModulesRequest(
                category=category or "", page_size=_PAGE, page_token=token
            )
            page = self._caller.unary(self._catalog.ListModules, request)
            modules += [convert.module_summary_from_proto(module) for module in page.modules]
            token = page.next_page_token
            if not token:
                return modules

    def get_manifest(self, module_id: str) -> Manifest:
        """Read a module's manifest.

        Raises:
            DigestMismatch: if what comes is the manifest of another module.
        """
        request = catalog_pb2.GetManifestRequest(module_id=module_id)
        response = self._caller.unary(self._catalog.GetManifest, request)
        manifest = convert.manifest_from_proto(response.manifest)
        if manifest.module_id != module_id:
            raise DigestMismatch(f"asked for module {module_id}, the center sent {manifest.module_id}")
        return manifest

    def download(self, module_id: str, directory: Path, on_progress: Progress | None = None) -> Path:
        """Fetch a module as `<module_id>.json` and `<module_id>.safetensors`; returns the latter's path."""
        manifest = self.get_manifest(module_id)
        return download_payload(self._caller, self._catalog.Download, manifest, directory, on_progress)

    def list_versions(self, after: int = 0) -> list[NetVersion]:
        """List the versions of the transplant net with a number over `after`, oldest first."""
        request = catalog_pb2.ListVersionsRequest(after_number=after)
        response = self._caller.unary(self._catalog.ListVersions, request)
        return [convert.net_version_from_proto(version) for version in response.versions]

    def get_version(self, number: int = 0) -> NetVersion:
        """Read one version; 0 is the newest."""
        request = catalog_pb2.GetVersionRequest(number=number)
        return convert.net_version_from_proto(self._caller.unary(self._catalog.GetVersion, request).version)

    def route_reports(self, number: int = 0) -> dict[tuple[str, Task], RouteReport]:
        """Read what sites measured of the routes of a version, where they told it.

        A center of an earlier release tells nothing.
        """
        request = catalog_pb2.GetVersionRequest(number=number, errors=True)
        try:
            return convert.route_reports_from_proto(self._caller.unary(self._catalog.GetVersion, request))
        except InvalidSettings:
            return {}  # of an earlier release: it does not know the field

    def watch_events(self, after: int = 0) -> Iterator[Event]:
        """Yield events with an id over `after`, for ever; after a break it goes on with the next one."""
        seen = after

        def request() -> catalog_pb2.WatchEventsRequest:
            return catalog_pb2.WatchEventsRequest(after_event_id=seen)

        def method(request: catalog_pb2.WatchEventsRequest, timeout: float) -> Any:
            return self._catalog.WatchEvents(
                request, timeout=timeout
            )  # of the connection there is then: see use

        for message in self._caller.follow(method, request):
            if message.event_id > seen:
                seen = message.event_id
                yield convert.event_from_proto(message)

    # --- merging -----------------------------------------------------------------------------------

    def list_probe_requests(self, category: str) -> list[AskedProbe]:
        """List what this site is asked about category modules that it pushed without task modules."""
        request = probe_pb2.ListProbeRequestsRequest(category=category)
        response = self._caller.unary(self._probe.ListProbeRequests, request)
        return [convert.asked_probe_from_proto(asked) for asked in response.requests]

    def request_merge(
        self,
        category_module: str,
        task_modules: Sequence[str],
        *,
        answers: Sequence[str] = (),
        statistics: str = "",
        retry: bool = False,
    ) -> tuple[str, list[MergeSummary]]:
        """Say that a teacher net is complete; returns its id and its merges so far. Idempotent.

        With `retry` what failed is tried once more: for somebody who asks for it, never for a loop.
        """
        request = merge_pb2.RequestMergeRequest(
            category_module=category_module,
            task_modules=task_modules,
            answers=answers,
            statistics=statistics,
            retry=retry,
        )
        response = self._caller.unary(self._merge.RequestMerge, request)
        return response.teacher_id, [convert.merge_summary_from_proto(merge) for merge in response.merges]

    def list_merges(self, category: str | None = None) -> list[MergeSummary]:
        """List merges, of one category or of all that the caller may see."""
        request = merge_pb2.ListMergesRequest(category=category or "")
        response = self._caller.unary(self._merge.ListMerges, request)
        return [convert.merge_summary_from_proto(merge) for merge in response.merges]

    def watch_merge(self, merge_key: str) -> Iterator[MergeSummary]:
        """Yield a merge's progress until it is published, rejected, cancelled or failed."""
        request = merge_pb2.WatchMergeRequest(merge_key=merge_key)
        for message in self._caller.follow(self._merge.WatchMerge, lambda: request):
            summary = convert.merge_summary_from_proto(message.merge)
            yield summary
            if summary.state in FINAL_STATES:
                return

    def cancel_merge(self, merge_key: str) -> MergeSummary:
        """Cancel a merge."""
        request = merge_pb2.CancelMergeRequest(merge_key=merge_key)
        return convert.merge_summary_from_proto(self._caller.unary(self._merge.CancelMerge, request).merge)

    def fetch_candidates(self) -> list[tuple[str, Route]]:
        """Fetch the routes that await this site's verdict, each with its merge key."""
        request = validation_pb2.FetchCandidatesRequest()
        response = self._caller.unary(self._validation.FetchCandidates, request)
        return [convert.candidate_from_proto(candidate) for candidate in response.candidates]

    def report_verdict(self, verdict: Verdict) -> str:
        """Sign and report what this site measured; returns the merge's state after it."""
        signature = sign_verdict(verdict, self.kit.name, self.kit.key)
        request = convert.verdict_to_proto(verdict, signature)
        return self._caller.unary(self._validation.ReportVerdict, request).state
