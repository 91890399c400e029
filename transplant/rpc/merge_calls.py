"""Calls of Merge and Validation: merges, the candidates they end with, and a site's verdict about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transplant.rpc import convert
from transplant.rpc.connection import Connection
from transplant.rpc.verdict_signature import sign_verdict
from transplant.types import MergeState
from transplant.v1 import merge_pb2, validation_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transplant.types import MergeSummary, Route, Verdict

FINAL_STATES = frozenset({MergeState.PUBLISHED, MergeState.REJECTED, MergeState.CANCELLED, MergeState.FAILED})


class MergeCalls(Connection):
    """What a site or an operator asks about merges."""

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
