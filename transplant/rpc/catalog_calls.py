"""Calls of Catalog: what the center holds, its versions, and what happens there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transplant.errors import DigestMismatch, InvalidSettings
from transplant.rpc import convert
from transplant.rpc.connection import Connection
from transplant.rpc.download import download_payload
from transplant.v1 import catalog_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transplant.artifact.manifest import Manifest
    from transplant.rpc.messages import Event, ModuleSummary
    from transplant.rpc.upload import Progress
    from transplant.types import NetVersion, RouteReport, Task

_PAGE = 500


class CatalogCalls(Connection):
    """What anybody with a kit may read."""

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
