"""What the server asks its examiner, and what that answers: one line of JSON each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ExamineOrder:
    """A module to examine. Manifests are canonical documents, payloads are paths of local files.

    The parent is the category module that a task module, statistics or answers belong to; "" where there
    is none. `cpu_s` and `memory_bytes` bound what the examination may take.
    """

    manifest: str
    payload: str
    cpu_s: float
    memory_bytes: int
    parent_manifest: str = ""
    parent_payload: str = ""

    def line(self) -> bytes:
        """Return the order as it travels."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> ExamineOrder:
        """Read an order."""
        return cls(**json.loads(line))


@dataclass(frozen=True)
class Finding:
    """What an examination found. `error` is "" where nothing speaks against the module.

    Figures are for people to read; the fingerprint is for comparing modules of one architecture.
    """

    error: str = ""
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict[str, float])
    fingerprint: tuple[float, ...] = ()
    seconds: float = 0.0

    def line(self) -> bytes:
        """Return the finding as it travels."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> Finding:
        """Read a finding."""
        document = json.loads(line)
        return cls(**document | {"fingerprint": tuple(document["fingerprint"])})
