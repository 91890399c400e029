"""Protobuf messages to plain values and back: enums, figures, routes, merges, events."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from google.protobuf.unknown_fields import UnknownFieldSet

from transplant.errors import InvalidSettings
from transplant.rpc.messages import Event, ModuleSummary
from transplant.types import MergeState, MergeSummary, ModuleKind, Route, Task, Verdict
from transplant.v1 import catalog_pb2, manifest_pb2, merge_pb2, validation_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from enum import StrEnum

    from google.protobuf.message import Message

E = TypeVar("E", bound="StrEnum")

KINDS: Mapping[ModuleKind, manifest_pb2.ModuleKind] = {
    ModuleKind.CATEGORY: manifest_pb2.MODULE_KIND_CATEGORY,
    ModuleKind.TASK: manifest_pb2.MODULE_KIND_TASK,
    ModuleKind.ADAPTER: manifest_pb2.MODULE_KIND_ADAPTER,
    ModuleKind.STATISTICS: manifest_pb2.MODULE_KIND_STATISTICS,
    ModuleKind.ANSWERS: manifest_pb2.MODULE_KIND_ANSWERS,
}
TASKS: Mapping[Task, manifest_pb2.Task] = {
    Task.CLASSIFICATION: manifest_pb2.TASK_CLASSIFICATION,
    Task.SEGMENTATION: manifest_pb2.TASK_SEGMENTATION,
}
MERGE_STATES: Mapping[MergeState, merge_pb2.MergeState] = {
    MergeState.PLANNED: merge_pb2.MERGE_STATE_PLANNED,
    MergeState.LEARNING: merge_pb2.MERGE_STATE_LEARNING,
    MergeState.CANDIDATE: merge_pb2.MERGE_STATE_CANDIDATE,
    MergeState.VALIDATING: merge_pb2.MERGE_STATE_VALIDATING,
    MergeState.PUBLISHED: merge_pb2.MERGE_STATE_PUBLISHED,
    MergeState.REJECTED: merge_pb2.MERGE_STATE_REJECTED,
    MergeState.CANCELLED: merge_pb2.MERGE_STATE_CANCELLED,
    MergeState.FAILED: merge_pb2.MERGE_STATE_FAILED,
}


def unknown_field(message: Message, path: str = "") -> str | None:
    """Return the path of the first field that this build does not know, looking into every message."""
    unknown = UnknownFieldSet(message)
    if len(unknown):
        return f"{path}{unknown[0].field_number}"
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        repeated = descriptor.is_repeated
        for index, child in enumerate(value if repeated else [value]):
            suffix = f".{index}" if repeated else ""
            found = unknown_field(child, f"{path}{descriptor.name}{suffix}.")
            if found is not None:
                return found
    return None


def refuse_unknown_fields(message: Message) -> None:
    """Refuse a request with a field that this build does not know: it would be dropped without a word.

    Raises:
        InvalidSettings: naming the field's path.
    """
    path = unknown_field(message)
    if path is not None:
        raise InvalidSettings(f"{path}: there is no such field in {message.DESCRIPTOR.full_name}")


def enum_from_proto(table: Mapping[E, int], number: int, what: str) -> E:
    """Return the value behind an enum number.

    Raises:
        InvalidSettings: if the number is unspecified or from a newer contract.
    """
    for value, known in table.items():
        if known == number:
            return value
    raise InvalidSettings(f"{what}: {number} is not one of {', '.join(value.value for value in table)}")


def task_from_proto(number: int) -> Task | None:
    """Return the task, or None where it is unspecified (a category module)."""
    return None if number == manifest_pb2.TASK_UNSPECIFIED else enum_from_proto(TASKS, number, "task")


def task_to_proto(task: Task | None) -> manifest_pb2.Task:
    """Return the enum number of a task, unspecified for None."""
    return manifest_pb2.TASK_UNSPECIFIED if task is None else TASKS[task]


def metrics_to_proto(metrics: Mapping[str, float]) -> list[manifest_pb2.Metric]:
    """Return figures in the order of their names."""
    return [manifest_pb2.Metric(name=name, value=metrics[name]) for name in sorted(metrics)]


def metrics_from_proto(metrics: Iterable[manifest_pb2.Metric]) -> dict[str, float]:
    """Return figures by name.

    Raises:
        InvalidSettings: if a figure is given twice.
    """
    figures: dict[str, float] = {}
    for metric in metrics:
        if metric.name in figures:
            raise InvalidSettings(f"the figure {metric.name[:64]!r} is given twice")
        figures[metric.name] = metric.value
    return figures


def module_summary_to_proto(summary: ModuleSummary) -> catalog_pb2.ModuleSummary:
    """Return one line of the catalog."""
    return catalog_pb2.ModuleSummary(
        module_id=summary.module_id,
        site=summary.site,
        category=summary.category,
        kind=KINDS[summary.kind],
        task=task_to_proto(summary.task),
        payload_bytes=summary.payload_bytes,
    )


def module_summary_from_proto(message: catalog_pb2.ModuleSummary) -> ModuleSummary:
    """Read one line of the catalog."""
    return ModuleSummary(
        module_id=message.module_id,
        site=message.site,
        category=message.category,
        kind=enum_from_proto(KINDS, message.kind, "kind"),
        task=task_from_proto(message.task),
        payload_bytes=message.payload_bytes,
    )


def route_to_proto(route: Route) -> catalog_pb2.Route:
    """Return one line of the LEGO; no adapter is the empty string."""
    return catalog_pb2.Route(
        category=route.category,
        task=TASKS[route.task],
        category_module=route.category_module,
        adapter=route.adapter or "",
        task_module=route.task_module,
        merge_key=route.merge_key,
        supervised_by=route.supervised_by,
    )


def route_from_proto(message: catalog_pb2.Route) -> Route:
    """Read one line of the LEGO."""
    return Route(
        category=message.category,
        task=enum_from_proto(TASKS, message.task, "task"),
        category_module=message.category_module,
        adapter=message.adapter or None,
        task_module=message.task_module,
        merge_key=message.merge_key,
        supervised_by=message.supervised_by,
    )


def event_to_proto(event: Event) -> catalog_pb2.WatchEventsResponse:
    """Return an event."""
    return catalog_pb2.WatchEventsResponse(
        event_id=event.event_id, kind=event.kind, subject=event.subject, detail=event.detail
    )


def event_from_proto(message: catalog_pb2.WatchEventsResponse) -> Event:
    """Read an event."""
    return Event(message.event_id, message.kind, message.subject, message.detail)


def merge_summary_to_proto(summary: MergeSummary) -> merge_pb2.MergeSummary:
    """Return what a caller sees of a merge."""
    return merge_pb2.MergeSummary(
        merge_key=summary.merge_key,
        category=summary.category,
        task=TASKS[summary.task],
        state=MERGE_STATES[summary.state],
        step=summary.step,
        total_steps=summary.total_steps,
        figures=metrics_to_proto(summary.figures),
        reason=summary.reason,
        version_number=summary.version_number,
    )


def merge_summary_from_proto(message: merge_pb2.MergeSummary) -> MergeSummary:
    """Read what the center says of a merge."""
    return MergeSummary(
        merge_key=message.merge_key,
        category=message.category,
        task=enum_from_proto(TASKS, message.task, "task"),
        state=enum_from_proto(MERGE_STATES, message.state, "state"),
        step=message.step,
        total_steps=message.total_steps,
        figures=metrics_from_proto(message.figures),
        reason=message.reason,
        version_number=message.version_number,
    )


def candidate_to_proto(merge_key: str, route: Route) -> validation_pb2.Candidate:
    """Return a route that awaits its site's verdict."""
    return validation_pb2.Candidate(merge_key=merge_key, route=route_to_proto(route))


def candidate_from_proto(message: validation_pb2.Candidate) -> tuple[str, Route]:
    """Read a route that awaits this site's verdict."""
    return message.merge_key, route_from_proto(message.route)


def verdict_to_proto(verdict: Verdict, signature: bytes = b"") -> validation_pb2.ReportVerdictRequest:
    """Return a site's figures with its signature under them."""
    return validation_pb2.ReportVerdictRequest(
        merge_key=verdict.merge_key,
        teacher=metrics_to_proto(verdict.teacher),
        transplanted=metrics_to_proto(verdict.transplanted),
        floor=metrics_to_proto(verdict.floor),
        sample_count=verdict.sample_count,
        signature=signature,
    )


def verdict_from_proto(message: validation_pb2.ReportVerdictRequest) -> Verdict:
    """Read a site's figures.

    Raises:
        InvalidSettings: if the message has an unknown field or a figure twice.
    """
    refuse_unknown_fields(message)
    return Verdict(
        merge_key=message.merge_key,
        teacher=metrics_from_proto(message.teacher),
        transplanted=metrics_from_proto(message.transplanted),
        floor=metrics_from_proto(message.floor),
        sample_count=message.sample_count,
    )
