"""`transplant.v1.Merge`: growing the net."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.servicers.access import caller_of
from central.usecases.cancel_merge import cancel_merge
from central.usecases.read_merges import list_merges, watch_merge
from central.usecases.request_merge import request_merge
from transplant.rpc import convert
from transplant.v1 import merge_pb2, merge_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from central.servicers.watchers import Watchers
    from central.usecases.center import Center


class MergeServicer(merge_pb2_grpc.MergeServicer):
    """Parses, calls the use case, replies."""

    def __init__(self, center: Center, watchers: Watchers) -> None:
        self._center = center
        self._watchers = watchers

    def RequestMerge(
        self, request: merge_pb2.RequestMergeRequest, context: grpc.ServicerContext
    ) -> merge_pb2.RequestMergeResponse:
        """Record a complete teacher."""
        convert.refuse_unknown_fields(request)
        teacher_id, merges = request_merge(
            self._center,
            caller_of(context),
            request.category_module,
            tuple(request.task_modules),
            answers=tuple(request.answers),
            statistics=request.statistics or None,
            retry=request.retry,
        )
        summaries = [convert.merge_summary_to_proto(summary) for summary in merges]
        return merge_pb2.RequestMergeResponse(teacher_id=teacher_id, merges=summaries)

    def ListMerges(
        self, request: merge_pb2.ListMergesRequest, context: grpc.ServicerContext
    ) -> merge_pb2.ListMergesResponse:
        """Return merges."""
        convert.refuse_unknown_fields(request)
        merges = list_merges(self._center, caller_of(context), request.category)
        return merge_pb2.ListMergesResponse(merges=map(convert.merge_summary_to_proto, merges))

    def WatchMerge(
        self, request: merge_pb2.WatchMergeRequest, context: grpc.ServicerContext
    ) -> Iterator[merge_pb2.WatchMergeResponse]:
        """Stream a merge's progress until it has ended."""
        convert.refuse_unknown_fields(request)
        going = self._watchers.going(context)
        for summary in watch_merge(self._center, caller_of(context), request.merge_key, going):
            yield merge_pb2.WatchMergeResponse(merge=convert.merge_summary_to_proto(summary))

    def CancelMerge(
        self, request: merge_pb2.CancelMergeRequest, context: grpc.ServicerContext
    ) -> merge_pb2.CancelMergeResponse:
        """Stop a merge."""
        convert.refuse_unknown_fields(request)
        summary = cancel_merge(self._center, caller_of(context), request.merge_key)
        return merge_pb2.CancelMergeResponse(merge=convert.merge_summary_to_proto(summary))
