"""Protobuf to types and back: the one import for servicers and clients.

Whatever comes from the wire is checked in these functions and nowhere else.
"""

from transplant.rpc.convert_artifacts import (
    manifest_from_proto,
    manifest_to_proto,
    net_version_from_proto,
    net_version_to_proto,
    route_reports_from_proto,
    route_reports_to_proto,
)
from transplant.rpc.convert_probes import asked_probe_from_proto, asked_probe_to_proto
from transplant.rpc.convert_uploads import (
    declared_from_proto,
    declared_to_proto,
    ranges_from_proto,
    ranges_to_proto,
    upload_state_from_proto,
    upload_state_to_proto,
)
from transplant.rpc.convert_values import (
    candidate_from_proto,
    candidate_to_proto,
    enum_from_proto,
    event_from_proto,
    event_to_proto,
    merge_summary_from_proto,
    merge_summary_to_proto,
    metrics_from_proto,
    metrics_to_proto,
    module_summary_from_proto,
    module_summary_to_proto,
    refuse_unknown_fields,
    route_from_proto,
    route_to_proto,
    task_from_proto,
    task_to_proto,
    unknown_field,
    verdict_from_proto,
    verdict_to_proto,
)

__all__ = [
    "asked_probe_from_proto",
    "asked_probe_to_proto",
    "candidate_from_proto",
    "candidate_to_proto",
    "declared_from_proto",
    "declared_to_proto",
    "enum_from_proto",
    "event_from_proto",
    "event_to_proto",
    "manifest_from_proto",
    "manifest_to_proto",
    "merge_summary_from_proto",
    "merge_summary_to_proto",
    "metrics_from_proto",
    "metrics_to_proto",
    "module_summary_from_proto",
    "module_summary_to_proto",
    "net_version_from_proto",
    "net_version_to_proto",
    "ranges_from_proto",
    "ranges_to_proto",
    "refuse_unknown_fields",
    "route_from_proto",
    "route_reports_from_proto",
    "route_reports_to_proto",
    "route_to_proto",
    "task_from_proto",
    "task_to_proto",
    "unknown_field",
    "upload_state_from_proto",
    "upload_state_to_proto",
    "verdict_from_proto",
    "verdict_to_proto",
]
