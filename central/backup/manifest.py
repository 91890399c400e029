"""What a backup says of itself: every file by its digest, and of which state of the registry it is."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from transplant.artifact.digest import canonical_json, sha256_hex
from transplant.artifact.manifest_fields import Sha256
from transplant.errors import BackupInvalid

MANIFEST_NAME = "backup.json"
REGISTRY, BLOBS, IDENTITY, SETTINGS = "registry/", "blobs/", "identity/", "settings.json"

_TABLE, _DIGEST, _PLAIN = (
    r"registry/[a-z_]{1,63}\.jsonl",
    r"blobs/[0-9a-f]{64}",
    r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*",
)
FileName = Annotated[
    str, StringConstraints(pattern=rf"^({_TABLE}|{_DIGEST}|settings\.json|identity/{_PLAIN})$")
]  # pydantic's `$` is the very end


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BackupFile(_Part):
    """One file: its digest, its length, and how many rows it holds if it is a table's."""

    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]
    rows: Annotated[int, Field(ge=0)] | None = None


class BackupManifest(_Part):
    """A backup. `files`: name -> file; several names may have one content."""

    format: Literal[1]
    taken_at: str
    revision: str
    version: Annotated[int, Field(ge=0)]
    audit_position: Annotated[int, Field(ge=0)]
    audit_digest: Sha256
    files: dict[FileName, BackupFile]

    def digests(self) -> dict[str, int]:
        """Return every content once, with its length."""
        return {file.sha256: file.size_bytes for file in self.files.values()}

    def named(self, beginning: str) -> dict[str, BackupFile]:
        """Return the files whose names begin so, by the rest of their names."""
        return {
            name.removeprefix(beginning): file
            for name, file in self.files.items()
            if name.startswith(beginning)
        }


def manifest_document(manifest: BackupManifest) -> bytes:
    """Return the document that is stored: the manifest and its own digest."""
    body = manifest.model_dump(mode="json")
    document = {"backup": body, "sha256": sha256_hex(canonical_json(body))}
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def parse_manifest(data: bytes) -> BackupManifest:
    """Read a backup's manifest.

    Raises:
        BackupInvalid: if it was changed, or is of another format.
    """
    try:
        document = json.loads(data)
        body, told = document["backup"], document["sha256"]
        if sha256_hex(canonical_json(body)) != told:
            raise BackupInvalid("the backup's manifest was changed: it does not have its digest")
        return BackupManifest.model_validate(body)
    except (ValueError, KeyError, TypeError) as error:
        told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise BackupInvalid(f"this is no backup's manifest that this release can read: {told}") from error
