"""The operator takes the rejection of a module back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from central.registry.audit_book import CONSOLE, Action
from central.registry.values import Admission, AdmissionVerdict
from transplant.errors import NotFound

if TYPE_CHECKING:
    from central.registry.registry import Registry
    from transplant.ports.clock import Clock


def recall_rejection(registry: Registry, clock: Clock, module_id: str) -> Admission:
    """Let a site declare and send a module again that was rejected; the verdict stays in the records.

    Raises:
        NotFound: if there is no rejected module with this id, or with an id that begins so.
    """
    with registry.write() as books:
        rejected = [
            admission
            for admission in books.admissions.newest()
            if admission.verdict is AdmissionVerdict.REJECTED and admission.module_id.startswith(module_id)
        ]
        if len(rejected) != 1:
            raise NotFound(
                f"{len(rejected)} rejected modules have an id that begins with {module_id[:80]}; name one: "
                "transplant-central modules lists them"
            )
        recalled = replace(rejected[0], verdict=AdmissionVerdict.RECALLED, at=clock.now())
        books.admissions.add(recalled)
        books.audit.append(CONSOLE, Action.MODULE_RECALLED, recalled.module_id, error=recalled.error)
    return recalled
