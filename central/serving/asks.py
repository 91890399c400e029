"""What is asked of a served net and what it answers: plain values, the same over HTTP and gRPC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transplant.errors import ImagesInvalid, InvalidSettings, TransplantError

if TYPE_CHECKING:
    from transplant.types import Task

MOST_PICTURES = 64
MOST_BYTES = 16 << 20
"""Of all pictures of a request together."""


@dataclass(frozen=True)
class Ask:
    """A request.

    Args:
        pictures: files as they were sent.
        task: which task.
        categories: which of them; none: all.
        budget: routes a picture; 0: all.
        version: refuse if another one is served; 0: whichever is.
        masks: whether masks are wanted of a segmentation.

    Raises:
        ImagesInvalid: if there is no picture, or too many, or too many bytes.
        InvalidSettings: if a number is negative.
    """

    pictures: tuple[bytes, ...]
    task: Task
    categories: tuple[str, ...] = ()
    budget: int = 0
    version: int = 0
    masks: bool = False

    def __post_init__(self) -> None:
        size = sum(map(len, self.pictures))
        if not 1 <= len(self.pictures) <= MOST_PICTURES or size > MOST_BYTES:
            raise ImagesInvalid(
                f"a request has 1 to {MOST_PICTURES} pictures of at most {MOST_BYTES} bytes together; "
                f"this one has {len(self.pictures)} of {size}"
            )
        if self.budget < 0 or self.version < 0:
            raise InvalidSettings("budget and version are numbers from 0")


@dataclass(frozen=True)
class CategoryAnswer:
    """One category of one picture; see the message of this name in prediction.proto."""

    category: str
    probability: float
    logit: float
    share_percent: float | None = None
    mask_png: bytes = b""
    supervised_by: str = ""


@dataclass(frozen=True)
class Answered:
    """Answers of one version to all pictures of one request, each most probable first."""

    version: int
    digest: str
    task: Task
    answers: tuple[tuple[CategoryAnswer, ...], ...]


@dataclass(frozen=True)
class Refused:
    """Why a request was not answered: the class of the error by name, and its message."""

    error: str
    message: str

    @classmethod
    def because(cls, error: TransplantError) -> Refused:
        """Return an error as a plain value: it crosses processes."""
        return cls(error.code(), str(error))


@dataclass(frozen=True)
class Description:
    """What is served; `supervised_by` names for a task whose teacher taught a category, if not its own."""

    version: int
    digest: str
    categories: dict[Task, tuple[str, ...]]
    supervised_by: dict[Task, dict[str, str]] = field(default_factory=dict["Task", dict[str, str]])
