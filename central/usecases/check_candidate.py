"""The center's own gate: is it a candidate's turn, and does its route, read back from the store, answer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.merge.contest import Turn, turn_of
from central.merge.events import GatesFailed, GatesPassed, Outdone
from central.merge.forgetting import check_answers
from central.usecases.module_shelf import ModuleShelf
from central.usecases.read_merges import route_of
from transplant.errors import ArtifactRejected
from transplant.types import NetVersion

if TYPE_CHECKING:
    from central.merge.events import Event
    from central.registry.registry import Books
    from central.registry.values import StoredMerge
    from central.usecases.center import Center


def check_candidate(center: Center, merge: StoredMerge) -> Event | None:
    """Assemble the candidate route and push the probe batch through it; the machine judges its agreement.

    Returns:
        What came of it, which nobody is told yet; None for a candidate that others compete with, while it
        has to wait for its turn.

    Raises:
        RegistryDamaged: if one of its modules cannot be read; the merge then waits for the operator.
    """
    with center.registry.read() as books:
        turn = _turn(books, merge)
        if turn is Turn.WAIT:
            return None
        if turn is Turn.OUTDONE:
            return Outdone("another host's candidate of this teacher was published")
        route = route_of(merge)
        module_ids = NetVersion(0, None, (route,)).module_ids()
        shelf = ModuleShelf.of(center, books, module_ids, center.loaded_modules)
    try:
        check_answers(route, shelf, center.known_answers)
    except ArtifactRejected as error:
        return GatesFailed(str(error))
    return GatesPassed(center.clock.now())


def _turn(books: Books, merge: StoredMerge) -> Turn:
    if merge.task.identity:
        return Turn.GO
    return turn_of(merge, books.merges.list(teacher_id=merge.teacher_id))
