"""The merge loop: reads the registry, does what the state machine commands, feeds back what happened.

Level-triggered: each round asks every open merge that does not just queue up what is outstanding. A center
that was killed at any moment begins with the same question and goes on; nothing is remembered here that
matters. What is remembered makes a round cost what changed since the last one: the open merges, of which
the registry tells only those that took a step; the queue of those that wait for a worker; and how long the
last publication and the last plan took. Both look at the whole net, so they are paced. While merges queue up
for the engine nobody waits for a single one: then rounds and versions are some seconds apart, for several in
one go cost less. What a round finds out about its merges is written down in one transaction.
"""

from __future__ import annotations

import gc
import logging
from typing import TYPE_CHECKING

from central.merge.commands import AwaitVerdict, CheckCandidate, KeepLearning, PublishRoute, StartWhenFree
from central.merge.events import EngineMissed, EngineReady, TimePassed
from central.merge.intake import take_ending
from central.merge.order_desk import OrderDesk
from central.merge.pace import Pace
from central.merge.publisher import Publisher
from central.merge.retries import RETRY_S, Retries
from central.merge.state import outstanding
from central.merge.turns import Turns
from central.runners.engine import AHEAD
from central.usecases.check_candidate import check_candidate
from central.usecases.move_merge import feed, feed_all
from central.usecases.plan_merges import move_and_plan, plan_merges
from central.usecases.read_merges import replaced_by
from transplant.errors import MergeEngineUnavailable, TransplantError

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from datetime import datetime

    from central.merge.commands import Command
    from central.merge.events import Event
    from central.registry.values import StoredMerge
    from central.runners.engine import Ending, Engine
    from central.usecases.center import Center
    from transplant.backends.blob_stores import StorePlace

log = logging.getLogger(__name__)

_BUSY_S = 1.0  # the bell tells of everything in this process; another one may write to the registry, too
_IDLE_S = 2.0
_PLAN_S = 10.0
_ROUND_S = 1.0  # between rounds while merges queue up and the engine has orders ahead


class Reconciler:
    """Drives every merge of a center. One of them runs, in one thread.

    Args:
        center: ports and policy.
        engine: what executes merge tasks.
        store: where the blobs are, as workers find them.
    """

    def __init__(self, center: Center, engine: Engine, store: StorePlace) -> None:
        self._center = center
        self._engine = engine
        self._desk = OrderDesk(center, store)
        self._open: dict[str, StoredMerge] = {}
        self._step: int | None = None
        self._turns = Turns(center.policy.shares)
        self._retries = Retries(center.clock)
        self._planned_at: tuple[int, int] | None = None
        self._plan_again_s = 0.0
        self._ended_count = 0
        self._planning = Pace(center.clock)
        self._publisher = Publisher(center)
        self._endings: list[Ending] = []
        engine.tell(center.bell.ring)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. A round that fails is logged, and the next one tries again.

        The engine is started at once: it takes seconds, and an operator sees at the start if it cannot.
        """
        self._start_engine()
        gc.freeze()  # what was loaded until now stays, and looking through it takes a tenth of a second
        while not stop.is_set():
            heard, began_s = self._center.bell.rings, self._center.clock.monotonic_s()
            try:
                busy = self.tick()
            except Exception as error:
                passing = isinstance(error, TransplantError) and error.retry
                level = logging.WARNING if passing else logging.ERROR
                words = "a round of the merge loop failed (%s); trying again in %g s"
                log.log(level, words, error, RETRY_S, exc_info=not passing)
                stop.wait(RETRY_S)
                continue
            self._center.bell.wait(heard, self._rest_s(busy=busy))
            self._let_gather(stop, began_s)

    def _let_gather(self, stop: threading.Event, began_s: float) -> None:
        """Let more happen for the next round while merges queue up, and no worker will miss an order.

        Args:
            stop: ends it.
            began_s: when the last round began.
        """
        while self._turns and not stop.is_set():
            heard = self._center.bell.rings
            self._endings += self._engine.collect()
            left_s = began_s + _ROUND_S - self._center.clock.monotonic_s()
            if left_s <= 0 or AHEAD * len(self._engine.running()) <= self._engine.capacity:
                return
            self._center.bell.wait(heard, left_s)

    def _start_engine(self) -> None:
        try:
            self._engine.ensure_ready()
        except MergeEngineUnavailable as error:
            log.info("the merge engine is not ready yet: %s", error)
        except Exception:
            log.exception("the merge engine did not start; the first merge tries again")

    def tick(self) -> bool:
        """Do one round; return whether any merge is open."""
        endings, self._endings = [*self._endings, *self._engine.collect()], []
        for ending in endings:
            self._ended(ending)
        number = self._refresh()
        if self._plan(number):
            self._refresh()
        for merge_key in self._engine.running() - self._open.keys():
            self._center.workshop.bench(merge_key).ask_to_stop()  # cancelled meanwhile
        accepted: list[StoredMerge] = []
        overdue: list[StoredMerge] = []
        checked: dict[str, Event] = {}
        now = self._center.clock.now()
        for merge in [each for key, each in self._open.items() if key not in self._turns]:
            for command in outstanding(merge.status):
                match command:
                    case PublishRoute():
                        accepted.append(merge)
                    case AwaitVerdict():
                        overdue += [merge] if now >= command.deadline else []
                    case CheckCandidate():
                        checked |= self._checked(merge)
                    case _:
                        self._obey(command, merge)
        if checked:
            with self._center.registry.write() as books:
                move_and_plan(self._center, books, checked)
            self._center.bell.ring()
        if overdue:
            self._tell_time(overdue, now)
        self._publish(accepted)
        self._start_some()
        return bool(self._open)

    # --- what there is to do -----------------------------------------------------------------------

    def _refresh(self) -> int:
        """Bring the open merges up to date with what the registry says of those that took a step.

        Returns:
            The newest version's number.
        """
        with self._center.registry.read() as books:
            number = books.versions.newest_number()
            self._step, moved = books.merges.changed_since(self._step)
        for merge in moved:
            key = merge.task.key
            self._turns.leave(key)
            if merge.status.ended:
                self._ended_count += 1
                self._open.pop(key, None)
                self._retries.forget(key)
            else:
                self._open[key] = merge
        return number

    def _plan(self, number: int) -> bool:
        """Plan where a version was published or a merge ended: that can make others possible.

        A teacher's request plans by itself. What an operator decides from another process is seen within
        seconds.

        Args:
            number: of the newest version.

        Returns:
            Whether there are new merges.
        """
        now_s = self._center.clock.monotonic_s()
        seen = number, self._ended_count
        if (seen == self._planned_at and now_s < self._plan_again_s) or not self._planning.due():
            return False
        with self._planning, self._center.registry.write() as books:
            added = plan_merges(self._center, books)
        self._planned_at, self._plan_again_s = seen, now_s + _PLAN_S
        if added:
            self._center.bell.ring()
        return bool(added)

    def _rest_s(self, *, busy: bool) -> float:
        """Return how long nothing will be due, unless the bell rings."""
        pace_s = [self._publisher.wait_s(queueing=bool(self._turns)), self._planning.wait_s()]
        due = [*pace_s, *self._retries.waits_s()]
        now = self._center.clock.now()
        deadlines = (merge.status.deadline for merge in self._open.values() if not merge.status.accepted)
        due += [(deadline - now).total_seconds() for deadline in deadlines if deadline is not None]
        return min([_BUSY_S if busy else _IDLE_S, *(wait_s for wait_s in due if wait_s > 0)])

    # --- doing it ----------------------------------------------------------------------------------

    def _obey(self, command: Command, merge: StoredMerge) -> None:
        """Execute a command."""
        key = merge.task.key
        with self._retries.guarding(key) as may:
            if not may:
                return
            match command:
                case StartWhenFree() if merge.task.identity:
                    feed(self._center, key, EngineReady())
                case StartWhenFree():
                    self._turns.join(key, merge.task.site, self._desk.work_of(merge.task), merge.position)
                case KeepLearning():
                    self._keep_learning(merge)
                case _:
                    log.error("nothing is known about %s", command)

    def _checked(self, merge: StoredMerge) -> dict[str, Event]:
        """Return what came of checking a candidate, if anything did."""
        with self._retries.guarding(merge.task.key) as may:
            event = check_candidate(self._center, merge) if may else None
            return {} if event is None else {merge.task.key: event}
        return {}

    def _tell_time(self, overdue: Sequence[StoredMerge], now: datetime) -> None:
        """Tell merges that their time is over, and whether each would take the place of a published route."""
        with self._center.registry.read() as books:
            newest = books.versions.newest()
        replaces = {merge.task.key: replaced_by(newest, merge) is not None for merge in overdue}
        for chosen in set(replaces.values()):
            keys = [key for key in replaces if replaces[key] is chosen]
            feed_all(self._center, keys, TimePassed(now, chosen))

    def _start_some(self) -> None:
        """Hand out what waits, in turns, while the engine has room; what it has already comes first."""
        running = self._engine.running()
        chosen = [key for key in running if key in self._turns]
        room = self._engine.capacity - len(running)
        if not chosen and (room <= 0 or not self._turns):
            return
        try:
            self._engine.ensure_ready()
        except MergeEngineUnavailable as error:
            self._tell_waiting(EngineMissed(str(error)))
            return
        for key in chosen:
            self._turns.begin(key)
        while room > 0 and (key := self._turns.first()) is not None:
            self._turns.begin(key)
            chosen.append(key)
            room -= 1
        feed_all(self._center, chosen, EngineReady())
        for key in chosen:
            self._obey(KeepLearning(key), self._open[key])

    def _tell_waiting(self, event: EngineMissed) -> None:
        """Record why nothing is learned, once for each reason, with all that wait."""
        waiting = [key for key in self._open if key in self._turns]
        news = [key for key in waiting if self._open[key].status.reason != event.reason]
        if news:
            feed_all(self._center, news, event)

    def _keep_learning(self, merge: StoredMerge) -> None:
        if merge.task.key in self._engine.running():
            return
        try:
            self._engine.ensure_ready()
            self._engine.submit(self._desk.order(merge.task))
        except MergeEngineUnavailable as error:
            feed(self._center, merge.task.key, EngineMissed(str(error)))

    def _ended(self, ending: Ending) -> None:
        try:
            again = take_ending(self._center, ending)
        except TransplantError as error:  # its outcome stays where it is, and is taken in the next time
            again = True
            log.warning("merge %s: %s: %s", ending.merge_key[:12], error.code(), error)
        if again:
            self._retries.later([ending.merge_key])

    def _publish(self, accepted: Sequence[StoredMerge]) -> None:
        """Publish what is accepted, as far as it may be tried again yet."""
        ready = [each for each in accepted if self._retries.may(each.task.key)]
        waiting = self._publisher.publish(ready, self._open.values(), queueing=bool(self._turns))
        self._retries.later(waiting)
