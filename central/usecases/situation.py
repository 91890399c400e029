"""Read from the registry all that the planner looks at."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from central.merge.hosts import residents_of
from central.merge.situation import Situation
from transplant.errors import RegistryDamaged
from transplant.types import Seam

if TYPE_CHECKING:
    from collections.abc import Iterator

    from central.merge.tasks import Host
    from central.registry.registry import Books

_FEW = 16


def situation_of(books: Books) -> Situation:
    """Return the situation; what is rarely looked at (seams, fingerprints) is read when it is."""

    def host_of(merge_key: str) -> Host:
        host = books.merges.get(merge_key).task.host
        if host is None:
            raise RegistryDamaged(
                f"the route of merge {merge_key[:12]} has an adapter, and its merge no host"
            )
        return host

    version = books.versions.newest()
    routes = () if version is None else version.routes
    return Situation(
        teachers=books.teachers.all(),
        routes=routes,
        merges=books.merges.known(),
        seams=_Seams(books),
        residents=residents_of(routes, host_of),
        holders=books.claims.holders(),
        likeness=_Likeness(books),
        twins=_Twins(books),
    )


class _Seams(Mapping[str, Seam]):
    """Seam of each category module: one by one while few are asked for, then all of them at once."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._known: dict[str, Seam] = {}

    def __getitem__(self, module_id: str) -> Seam:
        if module_id not in self._known:
            if len(self._known) < _FEW:
                self._known[module_id] = _seam(self._books.modules.get(module_id).manifest)
            else:
                manifests = self._books.modules.category_manifests()
                self._known = {known: _seam(manifest) for known, manifest in manifests}
        return self._known[module_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class _Likeness:
    """Cosine of the fingerprints that admission took of two modules' weights; 0 where it took none."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._known: dict[str, tuple[float, ...]] = {}

    def __call__(self, one: str, other: str) -> float:
        first, second = self._fingerprint(one), self._fingerprint(other)
        if not first or len(first) != len(second):
            return 0.0
        lengths = math.hypot(*first) * math.hypot(*second)
        product = sum(a * b for a, b in zip(first, second, strict=True))
        return product / lengths if lengths else 0.0

    def _fingerprint(self, module_id: str) -> tuple[float, ...]:
        if module_id not in self._known:
            admission = self._books.admissions.of(module_id)
            self._known[module_id] = () if admission is None else admission.fingerprint
        return self._known[module_id]


class _Twins:
    """Whether two task modules are one function; their payloads are read all at once, when first asked."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._payloads: dict[str, str] = {}

    def __call__(self, one: str, other: str) -> bool:
        if one == other:
            return True
        if not self._payloads:
            self._payloads = dict(self._books.modules.task_payloads())
        payload = self._payloads.get(one)
        if payload is None or payload != self._payloads.get(other):
            return False
        return self._architecture(one) == self._architecture(other)

    def _architecture(self, module_id: str) -> object:
        return json.loads(self._books.modules.get(module_id).manifest)["architecture"]


def _seam(manifest: bytes) -> Seam:
    """Return the seam of a registered manifest, which was checked as a whole when it came in."""
    seam = json.loads(manifest)["seam"]
    return Seam(seam["channels"], seam["height"], seam["width"])
