"""Versions of the net on a disk, as a site pulls them and as an export holds them, read back into nets.

net/N/net.json             version N, its canonical document
net/N/errors.json          what sites measured of its routes: errors, temperatures; optional
net/N/guides.safetensors   what was learned here about its routes beside their weights; optional
modules/ID.safetensors     payload of a module, ID.json its manifest
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from transplant.artifact.codec import load_module, read_manifest
from transplant.artifact.digest import canonical_json
from transplant.artifact.durable_file import storage_errors, write_durably
from transplant.artifact.guide_file import read_guides, write_guides
from transplant.artifact.manifest_fields import CategoryName
from transplant.artifact.net_document import net_digest, parse_net_document
from transplant.errors import ManifestInvalid, NotFound
from transplant.nets.temperature import COLDEST, HOTTEST
from transplant.nets.transplant_net import TransplantNet
from transplant.types import RouteReport, Task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

    from transplant.artifact.manifest import Manifest
    from transplant.nets.route_guide import RouteGuide
    from transplant.types import NetVersion


_Percent = Annotated[float, Field(ge=0, le=100)]
_Temperature = Annotated[float, Field(ge=COLDEST, le=HOTTEST)] | None


class _Errors(BaseModel):
    """errors.json: category, task, percent of errors and temperature, null where that was not told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    errors: tuple[
        tuple[CategoryName, Task, _Percent, _Temperature] | tuple[CategoryName, Task, _Percent], ...
    ]


@dataclass(frozen=True)
class NetFolder:
    """Implements `transplant.nets.transplant_net.ModuleSource`.

    Args:
        net: folder of the versions.
        modules: folders in which modules may lie, the first that has one counts.
    """

    net: Path
    modules: tuple[Path, ...]

    @classmethod
    def at(cls, root: Path) -> NetFolder:
        """Return the folder whose parts have their usual names."""
        return cls(root / "net", (root / "modules",))

    def version(self, number: int = 0) -> NetVersion:
        """Read a version; 0 is the newest that is here.

        Raises:
            NotFound: if it is not here.
            ManifestInvalid: if its document is damaged.
        """
        here = sorted(int(path.parent.name) for path in self.net.glob("*/net.json"))
        if not here or (number and number not in here):
            wanted = f"version {number}" if number else "any version"
            raise NotFound(
                f"{wanted} of the transplant net is not in {self.net}: run transplant-edge pull first"
            )
        return parse_net_document((self.net / str(number or here[-1]) / "net.json").read_bytes())

    def load_net(self, version: NetVersion) -> TransplantNet:
        """Assemble a version; every module is verified on the way in.

        Raises:
            NotFound: if a module is not here.
            ArtifactRejected: if one was damaged.
        """
        path = self._guides(version)
        return TransplantNet.load(version, self, read_guides(path, version) if path.is_file() else None)

    def keep_guides(self, version: NetVersion, guides: Mapping[tuple[str, Task], RouteGuide]) -> None:
        """Write down what was learned about the routes of a version that is here.

        Raises:
            StorageFull: if the disk is full.
        """
        write_guides(self._guides(version), version, guides)

    def has_guides(self, version: NetVersion) -> bool:
        """Tell whether anything was learned about the routes of a version."""
        return self._guides(version).is_file()

    def keep_reports(self, version: NetVersion, reports: Mapping[tuple[str, Task], RouteReport]) -> None:
        """Write down what sites measured of the routes of a version.

        Raises:
            StorageFull: if the disk is full.
        """
        path = self._errors(version)
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        told = [
            [category, task.value, report.error, report.temperature]
            for (category, task), report in sorted(reports.items())
        ]
        write_durably(path, canonical_json({"errors": told}) + b"\n")

    def reports(self, version: NetVersion) -> dict[tuple[str, Task], RouteReport]:
        """Return what `keep_reports` wrote; empty where nobody told.

        Raises:
            ManifestInvalid: if the file is damaged.
        """
        path = self._errors(version)
        if not path.is_file():
            return {}
        try:
            told = _Errors.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ManifestInvalid(f"{path} is damaged: remove it, and pull the version again") from error
        # An earlier release wrote no temperature.
        rows = [(*row, None) if len(row) == 3 else row for row in told.errors]
        return {(category, task): RouteReport(percent, warmth) for category, task, percent, warmth in rows}

    def load(self, module_id: str) -> nn.Module:
        """Return a module, verified.

        Raises:
            NotFound: if it is not here.
            ArtifactRejected: if it was damaged.
        """
        payload = self.payload(module_id)
        return load_module(read_manifest(payload.with_suffix(".json")), payload)

    def manifest(self, module_id: str) -> Manifest:
        """Return a module's manifest.

        Raises:
            NotFound: if it is not here.
            ArtifactRejected: if it was damaged.
        """
        return read_manifest(self.payload(module_id).with_suffix(".json"))

    def payload(self, module_id: str) -> Path:
        """Return the file of a module's payload; its manifest lies beside it.

        Raises:
            NotFound: if one of the two is not here.
        """
        for directory in self.modules:
            path = directory / f"{module_id}.safetensors"
            if path.is_file() and path.with_suffix(".json").is_file():
                return path
        raise NotFound(
            f"module {module_id[:12]} is not in {self.modules[-1]}: run transplant-edge pull first"
        )

    def _errors(self, version: NetVersion) -> Path:
        return self._guides(version).with_name("errors.json")

    def _guides(self, version: NetVersion) -> Path:
        """Return where the guides of a version lie; one that is not published has its digest for a number."""
        return self.net / str(version.number or net_digest(version)) / "guides.safetensors"
