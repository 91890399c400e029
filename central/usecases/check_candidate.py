"""The center's own gate: is it a candidate's turn, and does its route, read back from the store, answer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.merge.contest import Turn, turn_of
from central.merge.events import GatesFailed, GatesPassed, Outdone
from central.merge.forgetting import check_answers
from central.usecases.module_shelf import ModuleShelf
from central.usecases.plan_merges import move_and_plan
from central.usecases.read_merges import route_of
from transplant.errors import ArtifactRejected
from transplant.types import NetVersion

if TYPE_CHECKING:
    from central.merge.events import Event
    from central.registry.registry import Books
    from central.registry.values import StoredMerge
    from central.usecases.center import Center


def check_candidate(center: Center, merge: StoredMerge) -> None:
    """Assemble the candidate route and push the probe batch through it; the machine judges its agreement.

    A candidate that others compete with waits for its turn: nothing happens then, and the loop asks again.

    Raises:
        RegistryDamaged: if one of its modules cannot be read; the merge then waits for the operator.
    """
    with center.registry.read() as books:
        turn = _turn(books, merge)
        if turn is Turn.WAIT:
            return
        route = route_of(merge)
        module_ids = NetVersion(0, None, (route,)).module_ids()
        shelf = ModuleShelf.of(center, books, module_ids, center.loaded_modules)
    if turn is Turn.OUTDONE:
        event: Event = Outdone("another host's candidate of this teacher was published")
    else:
        try:
            check_answers(route, shelf, center.known_answers)
            event = GatesPassed(center.clock.now())
        except ArtifactRejected as error:
            event = GatesFailed(str(error))
    with center.registry.write() as books:
        move_and_plan(center, books, merge.task.key, event)
    center.bell.ring()


def _turn(books: Books, merge: StoredMerge) -> Turn:
    if merge.task.identity:
        return Turn.GO
    return turn_of(merge, books.merges.list(teacher_id=merge.teacher_id))
