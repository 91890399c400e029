"""One version of the transplant net as a canonical document; its sha256 is the version's digest."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from transplant.artifact.digest import canonical_json, sha256_hex
from transplant.artifact.manifest import raise_manifest_invalid
from transplant.artifact.manifest_fields import CategoryName, Part, Sha256, Uint63
from transplant.types import NetVersion, Route, Task

_ROUTES = 65536


class _RouteModel(Part):
    category: CategoryName
    task: Task
    category_module: Sha256
    adapter: Sha256 | None
    task_module: Sha256
    merge_key: Sha256
    supervised_by: CategoryName | Literal[""] = ""


class _NetModel(Part):
    schema_version: Literal[1]
    number: Annotated[Uint63, Field(ge=1)]
    parent_digest: Sha256 | None
    routes: Annotated[tuple[_RouteModel, ...], Field(max_length=_ROUTES)]

    @model_validator(mode="after")
    def _each_route_once(self) -> _NetModel:
        if len({(route.category, route.task) for route in self.routes}) < len(self.routes):
            raise ValueError("routes: one category and task is routed twice")
        if (self.number == 1) != (self.parent_digest is None):
            raise ValueError("parent_digest: every version but the first names the one before it")
        return self


def net_document(version: NetVersion) -> bytes:
    """Return the canonical document of a version.

    A route whose own site taught it does not say so, and has the bytes that it always had.
    """
    routes = [
        {
            "category": route.category,
            "task": route.task.value,
            "category_module": route.category_module,
            "adapter": route.adapter,
            "task_module": route.task_module,
            "merge_key": route.merge_key,
        }
        | ({"supervised_by": route.supervised_by} if route.supervised_by else {})
        for route in version.routes
    ]
    return canonical_json(
        {
            "schema_version": 1,
            "number": version.number,
            "parent_digest": version.parent_digest,
            "routes": routes,
        }
    )


def parse_net_document(data: bytes) -> NetVersion:
    """Read a version's document.

    Raises:
        ManifestInvalid: naming the field at fault.
    """
    try:
        document = _NetModel.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise_manifest_invalid(error)
    return NetVersion(
        number=document.number,
        parent_digest=document.parent_digest,
        routes=tuple(Route(**route.model_dump()) for route in document.routes),
    )


def net_digest(version: NetVersion) -> str:
    """Return the sha256 of the version's canonical document."""
    return sha256_hex(net_document(version))
