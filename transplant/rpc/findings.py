"""What a preflight finds: each thing that was looked at, what it means, and what to do about it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from transplant.errors import InvalidSettings, StorageFull, TransplantError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

_WIDTH = 9
T = TypeVar("T")


class Level(StrEnum):
    """How bad it is: a warning will become a failure, or is one in some settings."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at.
        level: how it is.
        text: one sentence: what it means and, unless it is fine, what to do.
        error: of a failure: what a command would end with.
    """

    check: str
    level: Level
    text: str
    error: type[TransplantError] | None = None


class Findings:
    """The findings of one preflight, in the order in which they were made."""

    def __init__(self) -> None:
        self.all: list[Finding] = []

    def ok(self, check: str, text: str) -> None:
        """Note that something is as it should be."""
        self.all.append(Finding(check, Level.OK, text))

    def warn(self, check: str, text: str) -> None:
        """Note something that works, but should not stay so."""
        self.all.append(Finding(check, Level.WARNING, text))

    def fail(self, check: str, error: TransplantError) -> None:
        """Note something that has to be put right first; the error says what, and its class the exit code."""
        self.all.append(Finding(check, Level.FAILURE, str(error), type(error)))

    @contextmanager
    def looking_at(self, check: str) -> Generator[None]:
        """Turn what a check raises into its failure; the checks after it go on."""
        try:
            yield
        except TransplantError as error:
            self.fail(check, error)
        except OSError as error:
            where = f" at {error.filename}" if error.filename else ""
            self.fail(check, InvalidSettings(f"the system says{where}: {error.strerror or error}"))

    def attempt(self, check: str, action: Callable[[], T]) -> T | None:
        """Return what an action returns; None, and a failure of the check, where it raises."""
        with self.looking_at(check):
            return action()
        return None

    def failed(self, check: str) -> bool:
        """Tell whether a check found a failure."""
        return any(each.check == check and each.level is Level.FAILURE for each in self.all)

    @property
    def exit_code(self) -> int:
        """Return 0, or the exit code of the first failure."""
        return next((each.error.exit_code for each in self.all if each.error is not None), 0)

    def document(self) -> str:
        """Return everything as JSON."""
        findings = [
            {
                "check": each.check,
                "level": each.level.value,
                "finding": each.text,
                "error": None if each.error is None else each.error.code(),
            }
            for each in self.all
        ]
        return json.dumps({"ready": self.exit_code == 0, "findings": findings}, indent=1)

    def lines(self) -> list[str]:
        """Return everything as plain lines, and a last one that sums up."""
        column = max((len(each.check) for each in self.all), default=0)
        lines = [f"{each.level.value:<{_WIDTH}}{each.check:<{column}}  {each.text}" for each in self.all]
        count = {level: sum(each.level is level for each in self.all) for level in Level}
        verdict = "not ready" if count[Level.FAILURE] else "ready"
        return [*lines, f"{verdict}: {count[Level.FAILURE]} failures, {count[Level.WARNING]} warnings"]


def check_room(findings: Findings, check: str, folder: Path, free: int, *, least: int, well: int) -> None:
    """Note how much room a disk has.

    Args:
        findings: where to.
        check: what it is called.
        folder: on the disk.
        free: bytes that are free there.
        least: bytes under which nothing works.
        well: bytes under which it is a warning.
    """
    text = f"{free / (1 << 30):.1f} GiB are free at {folder}"
    if free < least:
        findings.fail(
            check, StorageFull(f"{text}, and {least / (1 << 30):.1f} GiB are needed to begin: make room")
        )
    elif free < well:
        findings.warn(check, f"{text}; that may not last: make room, or move it to a larger disk")
    else:
        findings.ok(check, text)
