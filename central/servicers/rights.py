"""Who may call what: one table, closed. A call that is not in it is refused to everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transplant.types import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALL = frozenset(Role)
_SITE = frozenset({Role.SITE})
_OPERATOR = frozenset({Role.OPERATOR})
_OWNERS = frozenset({Role.SITE, Role.OPERATOR})

RIGHTS: Mapping[str, frozenset[Role]] = {
    "/transplant.v1.Intake/Declare": _SITE,
    "/transplant.v1.Intake/Upload": _SITE,
    "/transplant.v1.Intake/Commit": _SITE,
    "/transplant.v1.Intake/UploadStatus": _SITE,
    "/transplant.v1.Catalog/ListModules": _ALL,
    "/transplant.v1.Catalog/GetManifest": _ALL,
    "/transplant.v1.Catalog/Download": _ALL,
    "/transplant.v1.Catalog/ListVersions": _ALL,
    "/transplant.v1.Catalog/GetVersion": _ALL,
    "/transplant.v1.Catalog/WatchEvents": _ALL,
    "/transplant.v1.Merge/RequestMerge": _OWNERS,
    "/transplant.v1.Merge/ListMerges": _ALL,
    "/transplant.v1.Merge/WatchMerge": _ALL,
    "/transplant.v1.Merge/CancelMerge": _OWNERS,
    "/transplant.v1.Validation/FetchCandidates": _SITE,
    "/transplant.v1.Validation/ReportVerdict": _SITE,
    "/transplant.v1.Probe/ListProbeRequests": _SITE,
    "/grpc.health.v1.Health/Check": _ALL,
    "/grpc.health.v1.Health/List": _ALL,
    "/grpc.health.v1.Health/Watch": _ALL,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _OPERATOR,
}
