"""Which version replicas shall serve: a replica that starts anew must not fall back to an earlier one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from transplant.artifact.durable_file import storage_errors, write_durably
from transplant.errors import NotFound

if TYPE_CHECKING:
    from pathlib import Path

_NAME = "wanted.json"


def write_wanted(root: Path, number: int) -> None:
    """Write down which version is wanted.

    Raises:
        StorageFull: if the disk is full.
    """
    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    write_durably(root / _NAME, json.dumps({"version": number}).encode())


def read_wanted(root: Path) -> int:
    """Return which version is wanted.

    Raises:
        NotFound: if nobody has said it.
    """
    try:
        return int(json.loads((root / _NAME).read_bytes())["version"])
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise NotFound(f"{root / _NAME} does not say which version to serve: {error}") from error
