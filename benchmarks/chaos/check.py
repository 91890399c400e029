"""The invariants, as a pure comparison of what was promised to the sites with what is there in the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.chaos.observer import Seen


class Harm(StrEnum):
    """What kind of promise was broken."""

    LOST = "lost"
    DOUBLED = "doubled"
    TORN = "torn"
    TOO_EARLY = "too-early"
    LEFTOVER = "leftover"
    FAILED = "failed"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, order=True)
class Violation:
    """One broken promise.

    Attributes:
        harm: its kind.
        where: module, version, or part of the center.
        told: what was seen, in words.
    """

    harm: Harm
    where: str
    told: str

    def sentence(self) -> str:
        """Return it for a person."""
        return f"{self.harm.value}: {self.where}: {self.told}"


@dataclass
class Promises:
    """What the sites know.

    Attributes:
        committed: modules whose commit was answered, with their sites.
        registered: those of which the center said that they are registered.
        rejected: modules of which it said that they are rejected, with the reason; all were good ones.
        attempted: modules whose commit was ever asked for; only these may ever be visible.
    """

    committed: dict[str, str] = field(default_factory=dict[str, str])
    registered: set[str] = field(default_factory=set[str])
    rejected: dict[str, str] = field(default_factory=dict[str, str])
    attempted: set[str] = field(default_factory=set[str])


@dataclass
class Evidence:
    """What is there after the last start.

    Attributes:
        listed: sites' modules as the catalog lists them.
        faulty: modules whose manifest or bytes did not come back as they were sent, and why.
        told_registered: how often the audit log says of a module that it was registered.
        told_published: how often it says of a merge that it was published.
        version_digests: number -> digest of the versions as they are rebuilt now.
        version_parents: number -> the parent digest that it names.
        damage: fsck's findings of damage: (kind, where, detail).
        warnings: its warnings.
        audit_fault: why the audit log's chain does not hold; "" where it does.
        failures: what the server's own log calls a failure, and ends that nobody brought about.
        unfinished: sites that could not finish, and their last error.
    """

    listed: list[str] = field(default_factory=list[str])
    faulty: dict[str, str] = field(default_factory=dict[str, str])
    told_registered: Counter[str] = field(default_factory=Counter[str])
    told_published: Counter[str] = field(default_factory=Counter[str])
    version_digests: dict[int, str] = field(default_factory=dict[int, str])
    version_parents: dict[int, str | None] = field(default_factory=dict[int, "str | None"])
    damage: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    warnings: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    audit_fault: str = ""
    failures: list[str] = field(default_factory=list[str])
    unfinished: Mapping[str, str] = field(default_factory=dict[str, str])


def violations(promises: Promises, seen: Seen, found: Evidence) -> list[Violation]:
    """Return every broken promise, gravest kinds first."""
    checks = (_modules, _visibility, _versions, _center)
    order = list(Harm)
    told = {each for check in checks for each in check(promises, seen, found)}
    return sorted(told, key=lambda each: (order.index(each.harm), each))


def _modules(promises: Promises, seen: Seen, found: Evidence) -> Iterator[Violation]:
    """Every module that was acknowledged is there, once, as it was sent."""
    times = Counter(found.listed)
    for module_id, site in promises.committed.items():
        if not times[module_id] and module_id not in promises.rejected:
            known = "registered" if module_id in promises.registered else "committed"
            yield Violation(Harm.LOST, module_id, f"{site} was told that it is {known}; it is not listed")
    for module_id in promises.registered - set(promises.committed):
        if not times[module_id]:
            yield Violation(Harm.LOST, module_id, "its site was told that it is registered; it is not listed")
    for module_id in seen.modules - set(times):
        yield Violation(Harm.LOST, module_id, "it was listed once, and is not any more")
    for module_id, reason in promises.rejected.items():
        yield Violation(Harm.LOST, module_id, f"a good module was rejected: {reason}")
    for module_id, count in times.items():
        if count > 1:
            yield Violation(Harm.DOUBLED, module_id, f"it is listed {count} times")
        told = found.told_registered[module_id]
        if told != 1:
            harm = Harm.DOUBLED if told else Harm.TORN
            yield Violation(harm, module_id, f"the audit log tells {told} times that it was registered")
    for module_id in seen.doubled:
        yield Violation(Harm.DOUBLED, module_id, "it was listed twice at one moment")
    for module_id, why in found.faulty.items():
        yield Violation(Harm.TORN, module_id, why)


def _visibility(promises: Promises, seen: Seen, found: Evidence) -> Iterator[Violation]:
    """Nothing is visible whose commit nobody asked for."""
    for module_id in set(found.listed) - promises.attempted:
        yield Violation(Harm.TOO_EARLY, module_id, "it is listed, and nobody asked for its commit")
    for module_id in seen.too_early:
        yield Violation(Harm.TOO_EARLY, module_id, "it was listed before anybody asked for its commit")


def _versions(_promises: Promises, seen: Seen, found: Evidence) -> Iterator[Violation]:
    """A version once seen never changes; each names the one before it; no merge is published twice."""
    for number, digests in seen.versions.items():
        now = found.version_digests.get(number)
        if now is None:
            yield Violation(Harm.LOST, f"version {number}", "it was there, and is not any more")
        elif digests != {now}:
            yield Violation(
                Harm.TORN, f"version {number}", f"it was seen as {sorted(digests)}, its digest is {now}"
            )
    for number, parent in found.version_parents.items():
        before = found.version_digests.get(number - 1)
        if parent != before:
            yield Violation(
                Harm.TORN, f"version {number}", f"it names {parent}, the one before it is {before}"
            )
    for merge_key, count in found.told_published.items():
        if count > 1:
            yield Violation(Harm.DOUBLED, f"merge {merge_key}", f"it was published {count} times")


def _center(_promises: Promises, _seen: Seen, found: Evidence) -> Iterator[Violation]:
    """The center's own checks find nothing, and its log tells of no failure of its own."""
    if found.audit_fault:
        yield Violation(Harm.TORN, "audit log", found.audit_fault)
    for kind, where, detail in found.damage:
        yield Violation(_harm_of(kind), where, f"fsck says {kind}: {detail}")
    for kind, where, detail in found.warnings:
        yield Violation(Harm.LEFTOVER, where, f"fsck says {kind}: {detail}")
    for told in found.failures:
        yield Violation(Harm.FAILED, "server", told)
    for site, error in found.unfinished.items():
        yield Violation(Harm.UNFINISHED, site, f"it did not come to its end; its last error: {error}")


def _harm_of(kind: str) -> Harm:
    if "twice" in kind:
        return Harm.DOUBLED
    return Harm.LOST if kind.endswith("missing") else Harm.TORN
