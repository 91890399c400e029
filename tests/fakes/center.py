"""A merge server in memory, over real gRPC with mTLS, that breaks on command."""

# ruff: noqa: ARG002 - a servicer has both parameters, whether it needs them or not

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

from transplant.artifact.chunks import Chunk, chunk_of, verify_chunk
from transplant.artifact.digest import sha256_hex
from transplant.errors import ChunkOutOfOrder, DigestMismatch, InvalidSettings, NotFound, UploadIncomplete
from transplant.rpc import convert
from transplant.rpc.channel import SERVER_OPTIONS, server_credentials
from transplant.rpc.convert_chunks import ChunksToProto
from transplant.rpc.messages import Declared, Event, ModuleSummary, UploadPhase, UploadState
from transplant.rpc.status import ServerInterceptor
from transplant.types import ByteRange, MergeState, MergeSummary, NetVersion, Route, Task, Verdict
from transplant.v1 import catalog_pb2, chunk_pb2, intake_pb2, merge_pb2, validation_pb2
from transplant.v1.catalog_pb2_grpc import CatalogServicer, add_CatalogServicer_to_server
from transplant.v1.intake_pb2_grpc import IntakeServicer, add_IntakeServicer_to_server
from transplant.v1.merge_pb2_grpc import MergeServicer, add_MergeServicer_to_server
from transplant.v1.validation_pb2_grpc import ValidationServicer, add_ValidationServicer_to_server

if TYPE_CHECKING:
    from fakes.pki import Issued
    from transplant.artifact.manifest import Manifest

Fault = Callable[[], None]


@dataclass
class State:
    """What the center knows, and what shall go wrong: each fault is used up by one event."""

    uploads: dict[str, bytearray] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    declared: dict[str, Manifest] = field(default_factory=dict)
    modules: dict[str, tuple[Manifest, bytes]] = field(default_factory=dict)
    versions: list[NetVersion] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    merges: list[MergeSummary] = field(default_factory=list)
    candidates: list[tuple[str, Route]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    retries: list[bool] = field(default_factory=list)
    chunk_faults: list[Fault | None] = field(default_factory=list)
    call_faults: list[Fault | None] = field(default_factory=list)
    mangle: Callable[[Chunk], Chunk | None] = lambda chunk: chunk
    upload_offsets: list[int] = field(default_factory=list)
    download_offsets: list[int] = field(default_factory=list)
    compresses: bool = True  # False: a center of a release that cannot
    sent: list[catalog_pb2.DownloadResponse] = field(default_factory=list)
    phases: list[UploadPhase] = field(default_factory=list)
    ack_every: int = 1
    changed: threading.Condition = field(default_factory=threading.Condition)

    def call(self) -> None:
        fault = self.call_faults.pop(0) if self.call_faults else None
        if fault is not None:
            fault()


class FakeIntake(IntakeServicer):
    def __init__(self, state: State) -> None:
        self.state = state

    def Declare(self, request, context):
        self.state.call()
        manifest = convert.manifest_from_proto(request.manifest)
        upload_id = f"u-{manifest.module_id[:8]}"
        self.state.declared[upload_id] = manifest
        buffer = self.state.uploads.setdefault(upload_id, bytearray())
        self.state.sizes[upload_id] = manifest.payload_bytes
        missing = (ByteRange(len(buffer), manifest.payload_bytes),)
        registered = manifest.module_id in self.state.modules
        return convert.declared_to_proto(
            Declared("" if registered else upload_id, manifest.module_id, missing, registered)
        )

    def Upload(self, request_iterator, context) -> Iterator[intake_pb2.UploadResponse]:
        first = True
        pending = 0
        buffer = bytearray()
        for request in request_iterator:
            if request.upload_id not in self.state.uploads:
                raise NotFound(f"no upload {request.upload_id}")
            buffer = self.state.uploads[request.upload_id]
            if first:
                self.state.upload_offsets.append(request.offset)
                first = False
            fault = self.state.chunk_faults.pop(0) if self.state.chunk_faults else None
            if fault is not None:
                fault()
            verify_chunk(Chunk(request.offset, request.data, request.crc32c))
            if request.offset != len(buffer):
                raise ChunkOutOfOrder(f"{request.offset} is not {len(buffer)}")
            buffer += request.data
            pending += 1
            if pending == self.state.ack_every:
                pending = 0
                yield intake_pb2.UploadResponse(durable_offset=len(buffer))
        if pending:
            yield intake_pb2.UploadResponse(durable_offset=len(buffer))

    def UploadStatus(self, request, context):
        self.state.call()
        if request.upload_id not in self.state.uploads:
            raise NotFound(f"no upload {request.upload_id}")
        held, size = len(self.state.uploads[request.upload_id]), self.state.sizes[request.upload_id]
        missing = (ByteRange(held, size),) if held < size else ()
        declared = self.state.declared.get(request.upload_id)
        module_id = "" if declared is None else declared.module_id
        phase = UploadPhase.RECEIVING
        if module_id in self.state.modules:
            phases = self.state.phases
            phase = phases.pop(0) if phases else UploadPhase.REGISTERED
        return convert.upload_state_to_proto(UploadState(held, missing, phase, module_id))

    def Commit(self, request, context):
        self.state.call()
        manifest, data = self.state.declared[request.upload_id], bytes(self.state.uploads[request.upload_id])
        if len(data) < manifest.payload_bytes:
            raise UploadIncomplete("bytes are missing")
        if sha256_hex(data) != request.sha256:
            raise DigestMismatch("other bytes")
        self.state.modules[manifest.module_id] = (manifest, data)
        return intake_pb2.CommitResponse(module_id=manifest.module_id)


class FakeCatalog(CatalogServicer):
    def __init__(self, state: State) -> None:
        self.state = state

    def ListModules(self, request, context):
        ids = sorted(self.state.modules)
        start = int(request.page_token or 0)
        page = ids[start : start + 2]
        token = str(start + 2) if start + 2 < len(ids) else ""
        lines = []
        for module_id in page:
            manifest = self.state.modules[module_id][0]
            lines.append(
                convert.module_summary_to_proto(
                    ModuleSummary(
                        module_id,
                        manifest.site,
                        manifest.category,
                        manifest.kind,
                        manifest.task,
                        manifest.payload_bytes,
                    )
                )
            )
        return catalog_pb2.ListModulesResponse(modules=lines, next_page_token=token)

    def GetManifest(self, request, context):
        self.state.call()
        if request.module_id not in self.state.modules:
            raise NotFound(f"no module {request.module_id}")
        manifest = convert.manifest_to_proto(self.state.modules[request.module_id][0])
        return catalog_pb2.GetManifestResponse(manifest=manifest)

    def Download(self, request, context) -> Iterator[catalog_pb2.DownloadResponse]:
        if request.accepted and not self.state.compresses:
            raise InvalidSettings("accepted: there is no such field")
        self.state.download_offsets.append(request.offset)
        written = ChunksToProto(squeezed=request.accepted == chunk_pb2.COMPRESSION_ZSTD)
        data = self.state.modules[request.module_id][1]
        for offset in range(request.offset, len(data), 1 << 18):
            fault = self.state.chunk_faults.pop(0) if self.state.chunk_faults else None
            if fault is not None:
                fault()
            chunk = self.state.mangle(chunk_of(offset, data[offset : offset + (1 << 18)]))
            if chunk is None:
                return
            response = written.write(chunk, catalog_pb2.DownloadResponse())
            self.state.sent.append(response)
            yield response

    def ListVersions(self, request, context):
        found = [version for version in self.state.versions if version.number > request.after_number]
        return catalog_pb2.ListVersionsResponse(
            versions=[convert.net_version_to_proto(version) for version in found]
        )

    def GetVersion(self, request, context):
        self.state.call()
        if not self.state.versions:
            raise NotFound("no version yet")
        return catalog_pb2.GetVersionResponse(version=convert.net_version_to_proto(self.state.versions[-1]))

    def WatchEvents(self, request, context) -> Iterator[catalog_pb2.WatchEventsResponse]:
        self.state.call()
        seen = request.after_event_id
        context.add_callback(self._wake)
        while context.is_active():
            for event in [event for event in self.state.events if event.event_id > seen]:
                seen = event.event_id
                yield convert.event_to_proto(event)
                self.state.call()
            with self.state.changed:
                self.state.changed.wait_for(
                    lambda seen=seen: (
                        not context.is_active() or any(e.event_id > seen for e in self.state.events)
                    )
                )

    def _wake(self) -> None:
        with self.state.changed:
            self.state.changed.notify_all()


class FakeMerge(MergeServicer):
    def __init__(self, state: State) -> None:
        self.state = state

    def RequestMerge(self, request, context):
        self.state.retries.append(request.retry)
        merge = MergeSummary("k" * 64, "dog", Task.CLASSIFICATION, MergeState.PLANNED)
        return merge_pb2.RequestMergeResponse(
            teacher_id=request.category_module, merges=[convert.merge_summary_to_proto(merge)]
        )

    def ListMerges(self, request, context):
        return merge_pb2.ListMergesResponse(
            merges=[convert.merge_summary_to_proto(merge) for merge in self.state.merges]
        )

    def WatchMerge(self, request, context) -> Iterator[merge_pb2.WatchMergeResponse]:
        for merge in self.state.merges:
            yield merge_pb2.WatchMergeResponse(merge=convert.merge_summary_to_proto(merge))
            self.state.call()

    def CancelMerge(self, request, context):
        raise ZeroDivisionError("a bug, for the incident test")


class FakeValidation(ValidationServicer):
    def __init__(self, state: State) -> None:
        self.state = state

    def FetchCandidates(self, request, context):
        return validation_pb2.FetchCandidatesResponse(
            candidates=[convert.candidate_to_proto(key, route) for key, route in self.state.candidates]
        )

    def ReportVerdict(self, request, context):
        self.state.verdicts.append(convert.verdict_from_proto(request))
        return validation_pb2.ReportVerdictResponse(state="published")


class FakeCenter:
    """The server itself; `restart` comes back on the same port with the same state."""

    def __init__(self, ca: bytes, issued: Issued) -> None:
        self._ca, self._issued = ca, issued
        self.state = State()
        self.port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(8), interceptors=[ServerInterceptor()], options=SERVER_OPTIONS
        )
        add_IntakeServicer_to_server(FakeIntake(self.state), self._server)
        add_CatalogServicer_to_server(FakeCatalog(self.state), self._server)
        add_MergeServicer_to_server(FakeMerge(self.state), self._server)
        add_ValidationServicer_to_server(FakeValidation(self.state), self._server)
        credentials = server_credentials(self._ca, self._issued.cert, self._issued.key)
        self.port = self._server.add_secure_port(f"127.0.0.1:{self.port}", credentials)
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0).wait()

    def restart(self) -> None:
        self.stop()
        self.start()
