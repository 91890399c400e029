"""Manifests and net versions to protobuf and back: the documents that carry a digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from transplant.artifact.limits import DEFAULT_LIMITS
from transplant.artifact.manifest import Manifest, check_layout, raise_manifest_invalid
from transplant.artifact.net_document import net_digest, net_document, parse_net_document
from transplant.errors import DigestMismatch, InvalidSettings, ManifestInvalid
from transplant.nets.temperature import told_temperature
from transplant.rpc.convert_values import (
    KINDS,
    enum_from_proto,
    metrics_from_proto,
    metrics_to_proto,
    route_from_proto,
    route_to_proto,
    task_from_proto,
    task_to_proto,
    unknown_field,
)
from transplant.types import Disclosure, NetVersion, RouteReport
from transplant.v1 import catalog_pb2, manifest_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from transplant.types import Task

_DISCLOSURES: Mapping[Disclosure, manifest_pb2.Disclosure] = {
    Disclosure.NONE: manifest_pb2.DISCLOSURE_NONE,
    Disclosure.SCALE: manifest_pb2.DISCLOSURE_SCALE,
    Disclosure.MOMENTS: manifest_pb2.DISCLOSURE_MOMENTS,
    Disclosure.PCA: manifest_pb2.DISCLOSURE_PCA,
}


def manifest_to_proto(manifest: Manifest) -> manifest_pb2.Manifest:
    """Return the message of a manifest; its digest survives the way there and back."""
    return manifest_pb2.Manifest(
        schema_version=manifest.schema_version,
        site=manifest.site,
        category=manifest.category,
        kind=KINDS[manifest.kind],
        task=task_to_proto(manifest.task),
        architecture=manifest_pb2.Architecture(
            id=manifest.architecture.id,
            hyper_parameters=[
                manifest_pb2.HyperParameter(name=entry.name, values=entry.values)
                for entry in manifest.architecture.hyper_parameters
            ],
        ),
        seam=manifest_pb2.Seam(
            channels=manifest.seam.channels, height=manifest.seam.height, width=manifest.seam.width
        ),
        tensors=[
            manifest_pb2.TensorSpec(
                name=tensor.name,
                dtype=tensor.dtype,
                shape=tensor.shape,
                offset_bytes=tensor.offset_bytes,
            )
            for tensor in manifest.tensors
        ],
        payload_sha256=manifest.payload_sha256,
        payload_bytes=manifest.payload_bytes,
        statistics=manifest_pb2.FeatureStatistics(
            level=_DISCLOSURES[manifest.statistics.level],
            sample_count=manifest.statistics.sample_count,
            mean_norm=manifest.statistics.mean_norm,
            channel_mean=manifest.statistics.channel_mean,
            channel_variance=manifest.statistics.channel_variance,
        ),
        metrics=metrics_to_proto(manifest.metrics),
        training=manifest_pb2.TrainingRecord(
            sample_count=manifest.training.sample_count,
            raw_bytes=manifest.training.raw_bytes,
            seed=manifest.training.seed,
            epochs=manifest.training.epochs,
        ),
        parents=manifest.parents,
        libraries=[
            manifest_pb2.LibraryVersion(name=name, version=manifest.libraries[name])
            for name in sorted(manifest.libraries)
        ],
        transfer_forbidden=manifest.transfer_forbidden,
    )


def manifest_from_proto(message: manifest_pb2.Manifest) -> Manifest:
    """Read a manifest from the wire, as strictly as `parse_manifest` reads one from a file.

    Raises:
        ManifestInvalid: naming the path of an unknown field or of the field at fault.
        UnknownArchitecture: if the architecture is not in the closed table.
        TooLarge: if the declared payload is over the limit.
    """
    size = message.ByteSize()
    if size > DEFAULT_LIMITS.manifest_bytes:
        raise ManifestInvalid(
            f"the manifest has {size} bytes; at most {DEFAULT_LIMITS.manifest_bytes} are read"
        )
    _check_counts(message)
    path = unknown_field(message)
    if path is not None:
        raise ManifestInvalid(f"{path}: there is no such field")
    try:
        manifest = _fields(message)
    except ValidationError as error:
        raise_manifest_invalid(error)
    except InvalidSettings as error:  # an enum value or a repeated name
        raise ManifestInvalid(str(error)) from error
    check_layout(manifest)
    return manifest


def net_version_to_proto(version: NetVersion) -> catalog_pb2.NetVersion:
    """Return a version with the digest of its document."""
    return catalog_pb2.NetVersion(
        number=version.number,
        parent_digest=version.parent_digest or "",
        routes=[route_to_proto(route) for route in version.routes],
        digest=net_digest(version),
    )


def route_reports_to_proto(told: Mapping[tuple[str, Task], RouteReport]) -> list[catalog_pb2.RouteError]:
    """Return what sites measured of routes."""
    return [
        catalog_pb2.RouteError(
            category=category,
            task=task_to_proto(task),
            percent=report.error,
            temperature=report.temperature or 0.0,
        )
        for (category, task), report in sorted(told.items())
    ]


def route_reports_from_proto(
    message: catalog_pb2.GetVersionResponse,
) -> dict[tuple[str, Task], RouteReport]:
    """Read what sites measured of routes; what is no percentage of a known task was not told."""
    return {
        (each.category, task): RouteReport(each.percent, told_temperature(each.temperature))
        for each in message.errors
        if (task := task_from_proto(each.task)) is not None and 0.0 <= each.percent <= 100.0
    }


def net_version_from_proto(message: catalog_pb2.NetVersion) -> NetVersion:
    """Read a version.

    Raises:
        DigestMismatch: if its document has another digest than the message says.
        ManifestInvalid: if a field breaks a rule.
    """
    try:
        routes = tuple(route_from_proto(route) for route in message.routes)
    except InvalidSettings as error:
        raise ManifestInvalid(str(error)) from error
    version = NetVersion(message.number, message.parent_digest or None, routes)
    if net_digest(version) != message.digest:
        raise DigestMismatch(
            f"version {message.number} of the net does not have the digest {message.digest!r}"
        )
    return parse_net_document(net_document(version))


def _check_counts(message: manifest_pb2.Manifest) -> None:
    """Refuse what is only long: two bytes on the wire become kilobytes once each part is looked at."""
    for name, part, most in (
        ("tensors", message.tensors, DEFAULT_LIMITS.tensors),
        ("architecture.hyper_parameters", message.architecture.hyper_parameters, 32),
        ("metrics", message.metrics, 64),
        ("libraries", message.libraries, 64),
    ):
        if len(part) > most:
            raise ManifestInvalid(f"{name}: {len(part)} are listed; at most {most} are read")


def _fields(message: manifest_pb2.Manifest) -> Manifest:
    return Manifest.model_validate(
        {
            "schema_version": message.schema_version,
            "site": message.site,
            "category": message.category,
            "kind": enum_from_proto(KINDS, message.kind, "kind"),
            "task": task_from_proto(message.task),
            "architecture": {
                "id": message.architecture.id,
                "hyper_parameters": tuple(
                    {"name": entry.name, "values": tuple(entry.values)}
                    for entry in message.architecture.hyper_parameters
                ),
            },
            "seam": {
                "channels": message.seam.channels,
                "height": message.seam.height,
                "width": message.seam.width,
            },
            "tensors": tuple(
                {
                    "name": tensor.name,
                    "dtype": tensor.dtype,
                    "shape": tuple(tensor.shape),
                    "offset_bytes": tensor.offset_bytes,
                }
                for tensor in message.tensors
            ),
            "payload_sha256": message.payload_sha256,
            "payload_bytes": message.payload_bytes,
            "statistics": {
                "level": enum_from_proto(_DISCLOSURES, message.statistics.level, "statistics.level"),
                "sample_count": message.statistics.sample_count,
                "mean_norm": message.statistics.mean_norm,
                "channel_mean": tuple(message.statistics.channel_mean),
                "channel_variance": tuple(message.statistics.channel_variance),
            },
            "metrics": metrics_from_proto(message.metrics),
            "training": {
                "sample_count": message.training.sample_count,
                "raw_bytes": message.training.raw_bytes,
                "seed": message.training.seed,
                "epochs": message.training.epochs,
            },
            "parents": tuple(message.parents),
            "libraries": _libraries(message.libraries),
            "transfer_forbidden": message.transfer_forbidden,
        },
        strict=True,
    )


def _libraries(libraries: Iterable[manifest_pb2.LibraryVersion]) -> dict[str, str]:
    found: dict[str, str] = {}
    for library in libraries:
        if library.name in found:
            raise InvalidSettings(f"libraries: {library.name[:64]!r} is given twice")
        found[library.name] = library.version
    return found
