"""Who may call what: one table, closed. A call that is not in it is refused to everybody.

A second table says what a stream is about, so that a right to that very thing can be looked up again while
the stream lasts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from central.usecases.declare import check_open_upload
from central.usecases.read_catalog import check_readable
from central.usecases.read_merges import visible_merge
from transplant.types import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from central.registry.registry import Books
    from transplant.types import Identity

_NOBODY = frozenset[Role]()
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
    "/transplant.v1.Identity/Describe": _ALL,
    "/transplant.v1.Identity/Renew": _ALL,
    "/grpc.health.v1.Health/Check": _ALL,
    "/grpc.health.v1.Health/Watch": _NOBODY,  # it would hold a thread for ever; nobody here needs it
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _OPERATOR,
}

WATCHES = frozenset({"/transplant.v1.Catalog/WatchEvents", "/transplant.v1.Merge/WatchMerge"})
"""Streams that wait for news, and not for their callers."""


@dataclass(frozen=True)
class Subject:
    """What a stream is about.

    Attributes:
        of: takes the id from a message of the stream.
        check: raises if the caller has no right to it (any more).
    """

    of: Callable[[Any], str]
    check: Callable[[Books, Identity, str], object]


SUBJECTS: Mapping[str, Subject] = {
    "/transplant.v1.Intake/Upload": Subject(lambda request: request.upload_id, check_open_upload),
    "/transplant.v1.Catalog/Download": Subject(lambda request: request.module_id, check_readable),
    "/transplant.v1.Merge/WatchMerge": Subject(lambda request: request.merge_key, visible_merge),
}
