"""An artifact looked at as admission does, in this process, and what an attack must end in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from central.admission.examine import examine
from central.admission.orders import ExamineOrder
from transplant.artifact.codec import write_artifact
from transplant.errors import rejection_of

if TYPE_CHECKING:
    from pathlib import Path

    from central.admission.orders import Finding
    from fakes.attacks import Attack
    from transplant.artifact.manifest import Manifest


def examined(artifact: tuple[Manifest, bytes], parent: tuple[Manifest, bytes], folder: Path) -> Finding:
    """Examine an artifact; what has a parent is about `parent`."""
    manifest, payload = artifact
    above = manifest.parents and write_artifact(folder, *parent)
    order = ExamineOrder(
        manifest=manifest.canonical_bytes().decode(),
        payload=str(write_artifact(folder, manifest, payload)),
        cpu_s=60.0,
        memory_bytes=1 << 30,
        parent_manifest=parent[0].canonical_bytes().decode() if above else "",
        parent_payload=str(above or ""),
    )
    return examine(order)


def assert_refused_as(attack: Attack, finding: Finding) -> None:
    """Assert that a finding is the error of an attack, in words that a site can read."""
    error = rejection_of(finding.error, finding.reason)
    assert type(error) is attack.error, finding
    assert grpc.StatusCode[error.status] is attack.status is grpc.StatusCode.INVALID_ARGUMENT
    assert attack.message in finding.reason
    assert len(finding.reason) < 1000
    assert finding.reason.isprintable()
