"""Somebody who looks at the center all the time: what was seen once must stay, and be as it was."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transplant.artifact.net_document import net_digest
from transplant.errors import TransplantError
from transplant.types import ModuleKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from benchmarks.chaos.center import ChaosCenter
    from transplant.rpc.client import CentralClient
    from transplant.types import NetVersion

_EVERY_S = 1.0


@dataclass
class Seen:
    """All that was seen over a whole run.

    Attributes:
        modules: sites' modules that were ever listed.
        doubled: modules that were ever listed twice at once.
        versions: number of a version -> each digest it was ever seen with.
        heads: the audit log's heads, as the center noted them: (digest, position).
        too_early: modules that were listed although nobody had asked for their commit.
    """

    modules: set[str] = field(default_factory=set[str])
    doubled: set[str] = field(default_factory=set[str])
    versions: dict[int, set[str]] = field(default_factory=dict[int, set[str]])
    heads: set[tuple[str, int | None]] = field(default_factory=set[tuple[str, "int | None"]])
    too_early: set[str] = field(default_factory=set[str])

    def note_modules(self, listed: list[str], attempted: set[str]) -> None:
        """Take in one listing; `attempted` was read after it."""
        self.doubled |= {each for each in listed if listed.count(each) > 1} if _repeats(listed) else set()
        self.modules |= set(listed)
        self.too_early |= set(listed) - attempted

    def note_versions(self, versions: list[NetVersion]) -> None:
        """Take in one list of versions."""
        for version in versions:
            self.versions.setdefault(version.number, set()).add(net_digest(version))


def look(client: CentralClient, seen: Seen, attempted: Callable[[], set[str]]) -> None:
    """Look once, with an operator's client.

    Raises:
        TransplantError: if the center does not answer.
    """
    listed = [each.module_id for each in client.list_modules() if each.kind is not ModuleKind.ADAPTER]
    seen.note_modules(listed, attempted())
    seen.note_versions(client.list_versions())


class Observer:
    """Looks once a second, in a thread of its own, whenever the center answers."""

    def __init__(self, center: ChaosCenter, attempted: Callable[[], set[str]]) -> None:
        self._center = center
        self._attempted = attempted
        self.seen = Seen()
        self.looks = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            head = self._center.noted_head()
            if head is not None:
                self.seen.heads.add(head)
            if not self._center.ready:
                continue
            try:
                with self._center.operator(deadline_s=1.0) as client:
                    look(client, self.seen, self._attempted)
                    self.looks += 1
            except TransplantError:
                continue  # that is what chaos is like


def _repeats(listed: list[str]) -> bool:
    return len(set(listed)) < len(listed)
