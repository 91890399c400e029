"""`transplant.v1.Catalog`: what the center holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.servicers.access import caller_of
from central.usecases import read_catalog
from transplant.rpc import convert
from transplant.rpc.convert_chunks import ChunksToProto
from transplant.v1 import catalog_pb2, catalog_pb2_grpc, chunk_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from central.servicers.watchers import Watchers
    from central.usecases.center import Center


class CatalogServicer(catalog_pb2_grpc.CatalogServicer):
    """Parses, calls the use case, replies."""

    def __init__(self, center: Center, watchers: Watchers) -> None:
        self._center = center
        self._watchers = watchers

    def ListModules(
        self, request: catalog_pb2.ListModulesRequest, context: grpc.ServicerContext
    ) -> catalog_pb2.ListModulesResponse:
        """Return one page of modules."""
        convert.refuse_unknown_fields(request)
        modules, token = read_catalog.list_modules(
            self._center, caller_of(context), request.category, request.page_size, request.page_token
        )
        return catalog_pb2.ListModulesResponse(
            modules=[convert.module_summary_to_proto(summary) for summary in modules],
            next_page_token=token,
        )

    def GetManifest(
        self, request: catalog_pb2.GetManifestRequest, context: grpc.ServicerContext
    ) -> catalog_pb2.GetManifestResponse:
        """Return a manifest."""
        convert.refuse_unknown_fields(request)
        manifest = read_catalog.get_manifest(self._center, caller_of(context), request.module_id)
        return catalog_pb2.GetManifestResponse(manifest=convert.manifest_to_proto(manifest))

    def Download(
        self, request: catalog_pb2.DownloadRequest, context: grpc.ServicerContext
    ) -> Iterator[catalog_pb2.DownloadResponse]:
        """Stream a payload, or a part of it."""
        convert.refuse_unknown_fields(request)
        chunks = read_catalog.download(
            self._center, caller_of(context), request.module_id, request.offset, request.length
        )
        written = ChunksToProto(squeezed=request.accepted == chunk_pb2.COMPRESSION_ZSTD)
        for chunk in chunks:
            yield written.write(chunk, catalog_pb2.DownloadResponse())

    def ListVersions(
        self, request: catalog_pb2.ListVersionsRequest, context: grpc.ServicerContext
    ) -> catalog_pb2.ListVersionsResponse:
        """Return versions after a number."""
        del context
        convert.refuse_unknown_fields(request)
        versions = read_catalog.list_versions(self._center, request.after_number)
        return catalog_pb2.ListVersionsResponse(versions=map(convert.net_version_to_proto, versions))

    def GetVersion(
        self, request: catalog_pb2.GetVersionRequest, context: grpc.ServicerContext
    ) -> catalog_pb2.GetVersionResponse:
        """Return a version."""
        del context
        convert.refuse_unknown_fields(request)
        version = read_catalog.get_version(self._center, request.number)
        wanted = request.errors
        told = read_catalog.reports_of_version(self._center, version.number) if wanted else {}
        return catalog_pb2.GetVersionResponse(
            version=convert.net_version_to_proto(version), errors=convert.route_reports_to_proto(told)
        )

    def WatchEvents(
        self, request: catalog_pb2.WatchEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[catalog_pb2.WatchEventsResponse]:
        """Stream events."""
        convert.refuse_unknown_fields(request)
        going = self._watchers.going(context)
        events = read_catalog.watch_events(self._center, caller_of(context), request.after_event_id, going)
        for event in events:
            yield convert.event_to_proto(event)
