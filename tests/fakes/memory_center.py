"""A center without a wire, for the site's side: it founds, proposes candidates and publishes on a verdict."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from transplant.artifact.codec import read_manifest, seal, verify_payload, write_artifact
from transplant.artifact.digest import canonical_json, sha256_hex
from transplant.artifact.net_document import net_digest
from transplant.datafree.procedural_images import GENERATOR_ID
from transplant.errors import CenterUnreachable, MergeNotPossible, NotFound, rejection_of
from transplant.nets.architecture_table import adapter_architecture
from transplant.nets.architectures import build_adapter
from transplant.nets.disclosures import ProbeRequest
from transplant.rpc.messages import AskedProbe, Declared, UploadPhase, UploadState
from transplant.types import (
    MergeState,
    MergeSummary,
    ModuleKind,
    NetVersion,
    Route,
    RouteReport,
    Task,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from transplant.artifact.manifest import Manifest
    from transplant.rpc.messages import Event


class MemoryCenter:
    """Has the methods of `CentralClient` that a site calls; modules lie in a folder, the rest in memory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.versions: list[NetVersion] = []
        self.candidates: dict[str, Route] = {}
        self.states: dict[str, tuple[Route, MergeState]] = {}
        self.retried = 0
        self.verdicts: list[Verdict] = []
        self.calls: list[str] = []
        self.before: Callable[[str], None] = lambda _call: None
        self.publishes = True
        self.requested: tuple[str, ...] = ()
        self.rejects: dict[str, tuple[str, str]] = {}
        self.rejections: dict[str, tuple[str, str]] = {}
        self.probe = ProbeRequest(GENERATOR_ID, 3, 128, 32, 32, 50, 1, Task.CLASSIFICATION)
        self._declared: dict[str, Manifest] = {}

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.before(name)

    def unreachable(self, times: int) -> None:
        """Fail the next `times` calls as a center that is away."""
        left = [times]

        def fail(_call: str) -> None:
            if left[0] > 0:
                left[0] -= 1
                raise CenterUnreachable("the center is away")

        self.before = fail

    def close(self) -> None: ...

    def __enter__(self) -> MemoryCenter:
        return self

    def __exit__(self, *_: object) -> None: ...

    def declare(self, manifest: Manifest) -> Declared:
        self._called("declare")
        if manifest.module_id in self.rejections:
            raise rejection_of(*self.rejections[manifest.module_id])
        registered = (self.directory / f"{manifest.module_id}.json").is_file()
        self._declared[f"u-{manifest.module_id}"] = manifest
        return Declared("" if registered else f"u-{manifest.module_id}", manifest.module_id, (), registered)

    def upload(
        self,
        upload_id: str,
        path: Path,
        on_progress: Callable[[int, int], None],
        *,
        sha256: str,
        squeezed: bool,  # noqa: ARG002 - there is no wire
    ) -> None:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
        self._called("upload")
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, self.directory / f"{upload_id}.part")
        on_progress(path.stat().st_size, path.stat().st_size)

    def upload_status(self, upload_id: str) -> UploadState:
        self._called("upload_status")
        module_id = upload_id.removeprefix("u-")
        if module_id in self.rejections:
            error, reason = self.rejections[module_id]
            figures = {"weights.norm": 3.0}
            return UploadState(0, (), UploadPhase.REJECTED, module_id, error, reason, figures)
        if module_id not in self.registered():
            raise NotFound(f"no upload {upload_id}")
        return UploadState(0, (), UploadPhase.REGISTERED, module_id)

    def wait_for_verdict(self, upload_id: str) -> UploadState:
        self._called("wait_for_verdict")
        return self.upload_status(upload_id)

    def commit(self, upload_id: str, sha256: str) -> str:
        self._called("commit")
        manifest, part = self._declared[upload_id], self.directory / f"{upload_id}.part"
        assert sha256 == manifest.payload_sha256
        verify_payload(manifest, part)
        if manifest.kind.value in self.rejects:
            self.rejections[manifest.module_id] = self.rejects[manifest.kind.value]
            return manifest.module_id
        for parent in manifest.parents:
            assert (self.directory / f"{parent}.json").is_file(), "parents come first"
        write_artifact(self.directory, manifest, part.read_bytes())
        part.unlink()
        return manifest.module_id

    def download(self, module_id: str, directory: Path) -> Path:
        self._called("download")
        if not (self.directory / f"{module_id}.json").is_file():
            raise NotFound(f"no module {module_id}")
        directory.mkdir(parents=True, exist_ok=True)
        for suffix in ("safetensors", "json"):
            shutil.copy(self.directory / f"{module_id}.{suffix}", directory)
        return directory / f"{module_id}.safetensors"

    def get_version(self, number: int = 0) -> NetVersion:
        self._called("get_version")
        if not self.versions or number > len(self.versions):
            raise NotFound("no such version")
        return self.versions[number - 1]

    def route_reports(self, number: int = 0) -> dict[tuple[str, Task], RouteReport]:
        self._called("route_reports")
        routes = self.versions[number - 1].routes
        return {
            (route.category, route.task): RouteReport(10.0) for route in routes if route.adapter is not None
        }

    def watch_events(self, after: int = 0) -> Iterator[Event]:
        """Tell nothing: sites find out by asking."""
        del after
        return iter(())

    def list_probe_requests(self, category: str) -> list[AskedProbe]:
        self._called("list_probe_requests")
        registered = [read_manifest(path) for path in sorted(self.directory.glob("*.json"))]
        return [
            AskedProbe(f.module_id, replace(self.probe, task=task))
            for f in registered
            for task in (Task.CLASSIFICATION, Task.SEGMENTATION)
            if (f.kind, f.category) == (ModuleKind.CATEGORY, category)
        ]

    def request_merge(
        self,
        category_module: str,
        task_modules: Sequence[str],
        *,
        answers: Sequence[str] = (),
        statistics: str = "",
        retry: bool = False,
    ) -> tuple[str, list[MergeSummary]]:
        self._called("request_merge")
        self.retried += retry
        self.requested = (*task_modules, *answers, statistics)
        f = read_manifest(self.directory / f"{category_module}.json")
        for task_module in (*task_modules, *answers):
            g = read_manifest(self.directory / f"{task_module}.json")
            assert g.task is not None
            key = sha256_hex(canonical_json([category_module, task_module]))
            if key in self.states:
                continue
            host = next((r for v in self.versions for r in v.routes if r.task is g.task), None)
            if host is None or host.category == f.category:
                assert g.kind is ModuleKind.TASK, "a founder ships its modules"
                self._publish(Route(f.category, g.task, category_module, None, task_module, key))
            else:
                route = Route(f.category, g.task, category_module, self._adapter(f), host.task_module, key)
                self.candidates[key] = route
                self.states[key] = (route, MergeState.VALIDATING)
        merges = [
            MergeSummary(key, route.category, route.task, state, version_number=self._came_with(key))
            for key, (route, state) in self.states.items()
            if route.category_module == category_module
        ]
        return category_module, merges

    def _came_with(self, key: str) -> int:
        return next((v.number for v in self.versions for r in v.routes if r.merge_key == key), 0)

    def fetch_candidates(self) -> list[tuple[str, Route]]:
        self._called("fetch_candidates")
        return list(self.candidates.items())

    def report_verdict(self, verdict: Verdict) -> str:
        self._called("report_verdict")
        if verdict.merge_key not in self.candidates:
            raise MergeNotPossible("this candidate was decided already")
        self.verdicts.append(verdict)
        route = self.candidates.pop(verdict.merge_key)
        if self.publishes:
            self._publish(route)
        else:
            self.states[verdict.merge_key] = (route, MergeState.REJECTED)
        return self.states[verdict.merge_key][1].value

    def registered(self) -> set[str]:
        """Return the ids of all modules."""
        return {path.stem for path in self.directory.glob("*.json")}

    def _adapter(self, f: Manifest) -> str:
        channels = f.seam.channels
        architecture = adapter_architecture(channels, channels, 1, 3)
        manifest, payload = seal(
            build_adapter(architecture),
            site="center",
            category=f.category,
            kind=ModuleKind.ADAPTER,
            task=Task.CLASSIFICATION,
            architecture=architecture,
            parents=(f.module_id,),
        )
        write_artifact(self.directory, manifest, payload)
        return manifest.module_id

    def _publish(self, route: Route) -> None:
        last = self.versions[-1] if self.versions else None
        routes = (*(last.routes if last else ()), route)
        digest = net_digest(last) if last else None
        self.versions.append(NetVersion(len(self.versions) + 1, digest, routes))
        self.states[route.merge_key] = (route, MergeState.PUBLISHED)
