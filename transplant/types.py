"""Identifiers and value objects that every layer speaks. Frozen, comparable, without I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from transplant.errors import InvalidName

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
Precision = Literal["float32", "bfloat16"]
"""Of forward passes while something trains or learns; weights are float32 either way."""
Device = Literal["auto", "cpu", "cuda"]
"""What something is trained, learned or measured on; auto takes a GPU where the process sees one."""
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda")
SHA256_HEX = re.compile(r"[0-9a-f]{64}")


def checked_name(what: str, value: str) -> str:
    """Return `value` if it is a legal name (1-63 of a-z, 0-9 and inner dashes).

    Args:
        what: what the name names ("site", "category"), for the message.
        value: the candidate.

    Raises:
        InvalidName: if it breaks the rule. The rule is that of a DNS label, so that a name is safe
            in a path, in a URI and in a certificate.
    """
    if not _NAME.fullmatch(value):
        raise InvalidName(f"{what} {value[:80]!r} is not a name: use 1 to 63 of a-z, 0-9 and inner dashes")
    return value


class ModuleKind(StrEnum):
    """Which part of a net an artifact holds, or what is told about one."""

    CATEGORY = "category"
    TASK = "task"
    ADAPTER = "adapter"
    STATISTICS = "statistics"  # of a category module's features, beside its weights
    ANSWERS = "answers"  # of a task module to synthetic images, instead of its weights


class Task(StrEnum):
    """What a task module answers."""

    CLASSIFICATION = "classification"
    SEGMENTATION = "segmentation"


class Disclosure(StrEnum):
    """How much about its features a site tells, in rising order."""

    NONE = "none"
    SCALE = "scale"
    MOMENTS = "moments"
    PCA = "pca"


class Role(StrEnum):
    """What a certificate's identity may do."""

    SITE = "site"
    OPERATOR = "operator"
    READER = "reader"


class MergeState(StrEnum):
    """Life cycle of one merge (the machine itself is `central.merge.state`)."""

    PLANNED = "planned"
    LEARNING = "learning"
    CANDIDATE = "candidate"
    VALIDATING = "validating"
    PUBLISHED = "published"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True)
class Identity:
    """Who calls: read from the certificate's SAN URI `transplant://<role>/<name>`, never from a message."""

    role: Role
    name: str


@dataclass(frozen=True)
class Seam:
    """Shape (C, H, W) of x = f(I), where nets are cut and joined."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


@dataclass(frozen=True)
class Architecture:
    """An entry of the closed architecture table with its hyper-parameters (all integer lists)."""

    id: str
    hyper_parameters: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def ints(self, name: str) -> tuple[int, ...]:
        """Return the values of one hyper-parameter, or () where it is not given."""
        return dict(self.hyper_parameters).get(name, ())


@dataclass(frozen=True)
class Route:
    """One line of the LEGO, y = g_S(h(f(x))); `adapter` is None where h is the identity (a founder).

    `supervised_by` names another category where this one's own site never taught the task: the adapter
    then learned from that category's teacher.
    """

    category: str
    task: Task
    category_module: str
    adapter: str | None
    task_module: str
    merge_key: str
    supervised_by: str = ""


@dataclass(frozen=True)
class NetVersion:
    """A numbered, immutable version of the transplant net."""

    number: int
    parent_digest: str | None
    routes: tuple[Route, ...]

    def module_ids(self) -> tuple[str, ...]:
        """Return every module this version is made of, each once, in a stable order."""
        ids: dict[str, None] = {}
        for route in self.routes:
            ids[route.category_module] = None
            if route.adapter is not None:
                ids[route.adapter] = None
            ids[route.task_module] = None
        return tuple(ids)


@dataclass(frozen=True)
class ByteRange:
    """Bytes [start, end)."""

    start: int
    end: int


@dataclass(frozen=True)
class Verdict:
    """Figures in percent that a site measured for a candidate route at home, and the route's temperature."""

    merge_key: str
    teacher: dict[str, float] = field(default_factory=dict[str, float])
    transplanted: dict[str, float] = field(default_factory=dict[str, float])
    floor: dict[str, float] = field(default_factory=dict[str, float])
    sample_count: int = 0


@dataclass(frozen=True)
class RouteReport:
    """What a site measured of a published route at home, from which whoever uses the net calibrates it.

    Args:
        error: percent of images, or of pixels for a segmentation, that it answers wrongly.
        temperature: at which its answers are as sure as they are right; None: not told.
    """

    error: float
    temperature: float | None = None


@dataclass(frozen=True)
class MergeSummary:
    """What a caller sees of a merge."""

    merge_key: str
    category: str
    task: Task
    state: MergeState
    step: int = 0
    total_steps: int = 0
    figures: dict[str, float] = field(default_factory=dict[str, float])
    reason: str = ""
    version_number: int = 0
