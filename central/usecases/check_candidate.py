"""The center's own gate: does the candidate route, read back from the store, answer at all?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.merge.events import GatesFailed, GatesPassed
from central.merge.forgetting import check_answers
from central.usecases.module_shelf import ModuleShelf
from central.usecases.move_merge import feed
from central.usecases.read_merges import route_of
from transplant.errors import ArtifactRejected

if TYPE_CHECKING:
    from central.registry.values import StoredMerge
    from central.usecases.center import Center


def check_candidate(center: Center, merge: StoredMerge) -> None:
    """Assemble the candidate route and push the probe batch through it; the machine judges its agreement.

    Raises:
        RegistryDamaged: if one of its modules cannot be read; the merge then waits for the operator.
    """
    with center.registry.read() as books:
        shelf = ModuleShelf.of(center, books)
    try:
        check_answers(route_of(merge), shelf)
    except ArtifactRejected as error:
        feed(center, merge.task.key, GatesFailed(str(error)))
        return
    feed(center, merge.task.key, GatesPassed(center.clock.now()))
