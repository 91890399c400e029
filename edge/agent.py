"""The site's whole life in one loop: teach, seal, push, ask for the merge, answer, pull, measure.

Every step is idempotent and starts from what lies on the disk, so the agent keeps no state of its own:
killed at any moment and started again it goes on where it was. Faults that time can cure (the center is
away, a disk is full) are waited out; all others end it with their own exit code.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from edge.datasets.site_dataset import Split
from edge.evaluate import measure_net
from edge.found_work import founded_teacher
from edge.news import News
from edge.outbox import Outbox
from edge.probe import answer_probes
from edge.pull import load_net, pull_version
from edge.push import enqueue, push_outbox, request_merge
from edge.refine_node import RefineNode
from edge.report import write_report
from edge.seal import SealedTeacher, seal_teacher
from edge.teach.progress import figures_line
from edge.validate import answer_candidates
from transplant.errors import NotFound, TransplantError
from transplant.rpc.merge_calls import FINAL_STATES
from transplant.types import MergeState, NetVersion, Route, Task

if TYPE_CHECKING:
    from edge.renewal import KitRenewal
    from edge.site import Site
    from edge.teach.teach import Teacher
    from transplant.rpc.client import CentralClient

log = logging.getLogger(__name__)


def run_agent(
    site: Site,
    client: CentralClient,
    *,
    until_published: bool,
    stopped: threading.Event | None = None,
    renewal: KitRenewal | None = None,
) -> None:
    """Live as a site.

    Args:
        site: the site.
        client: its connection to the center.
        until_published: leave when every task of the site is published or finally refused, its report
            written; otherwise go on for ever.
        stopped: set from outside to leave at the next pause.
        renewal: keeps the site's certificate from expiring.

    Raises:
        TransplantError: whatever no retry can cure.
    """
    event = stopped or threading.Event()
    # One node from the founding to the end: what was founded lies here before the node has told the center.
    with RefineNode(site) as node:
        if not site.settings.found or _founded(site, client, node, event, renewal):
            _live(site, client, node, event, renewal, until_published=until_published)


def _live(
    site: Site,
    client: CentralClient,
    node: RefineNode,
    stopped: threading.Event,
    renewal: KitRenewal | None,
    *,
    until_published: bool,
) -> None:
    """Teach, seal, and follow what the center makes of it."""
    teacher = site.teach()
    sealed = seal_teacher(
        teacher,
        site.data,
        site.home,
        site=site.name,
        category=site.category,
        policy=site.settings.policy,
        device=site.device,
    )
    outbox = Outbox(site.home.outbox)
    enqueue(sealed, outbox)
    log.info(
        "sealed %s with %d task modules", sealed.category_module.module_id[:12], len(sealed.task_modules)
    )
    follower = _Follower(site, client, teacher, sealed, outbox)
    with News(client) as news:
        while not stopped.is_set():
            try:
                if renewal is not None:
                    renewal.turn()
                if site.settings.refine is not None:
                    node.turn(client.kit)
                follower.push()
                if follower.turn() and until_published:
                    return
            except TransplantError as error:
                if not error.retry:
                    raise
                log.warning("%s: %s; trying again", error.code(), error)
            news.wait(site.settings.poll_interval_s, stopped)


def _founded(
    site: Site,
    client: CentralClient,
    node: RefineNode,
    stopped: threading.Event,
    renewal: KitRenewal | None,
) -> bool:
    """Take part in a founding before anything is taught here; say whether a net was founded."""
    while (found := founded_teacher(site)) is None and not stopped.is_set():
        if renewal is not None:
            renewal.turn()
        node.turn(client.kit)
        stopped.wait(site.settings.poll_interval_s)
    return found is not None


class _Follower:
    """Follows what the center makes of the site's teacher net; all it remembers is what it has measured."""

    def __init__(
        self, site: Site, client: CentralClient, teacher: Teacher, sealed: SealedTeacher, outbox: Outbox
    ) -> None:
        self._site = site
        self._client = client
        self._teacher = teacher
        self._sealed = sealed
        self._outbox = outbox
        self._tasks = sealed.tasks
        self._reported: tuple[tuple[Route, ...], bool] | None = None

    def push(self) -> None:
        """Ship what is sealed; where task modules stay here, what the center asks in their place, too."""
        self._ship()
        if not self._sealed.complete:
            site, net = self._site, self._teacher.net
            self._sealed = answer_probes(self._client, site.home, net, self._sealed, site.device)
            enqueue(self._sealed, self._outbox)
            self._ship()

    def _ship(self) -> None:
        for module_id in push_outbox(self._outbox, self._site.home, self._client):
            log.info("pushed %s", module_id[:12])

    def turn(self) -> bool:
        """Ask, answer, pull and measure once; say whether every task came to its end."""
        site, client = self._site, self._client
        if not self._sealed.complete:
            return False  # the center has not asked about every task yet
        _, merges = request_merge(self._sealed, client)
        validation = site.data.load(Split.VALIDATION)
        verdicts = answer_candidates(
            client, site.home, self._teacher.net, site.category, self._tasks, validation, site.device
        )
        for verdict in verdicts:
            log.info(
                "answered candidate %s: %s", verdict.merge_key[:12], figures_line({"": verdict.transplanted})
            )
        version = self._newest_version()
        own = self._own_routes(version)
        routed = [line.task for line in own]
        states = {merge.task: merge.state for merge in merges} | dict.fromkeys(routed, MergeState.PUBLISHED)
        # "published" ends a task only once the version that has its route is here: merges may be newer. Where
        # the version is here and does not have it, an operator or a newer teacher has taken it out.
        here = 0 if version is None else version.number
        gone = {
            merge.task
            for merge in merges
            if merge.state is MergeState.PUBLISHED and 0 < merge.version_number <= here
        }
        ended = all(
            task in routed or task in gone or states.get(task) in FINAL_STATES - {MergeState.PUBLISHED}
            for task in self._tasks
        )
        # A published route never changes a bit again, so only a new one of this site is worth measuring (of
        # a task that had none, or with an adapter that was refined).
        now = (own, ended)
        if now != self._reported and (routed or ended):
            self._report(version, states)
            self._reported = now
        return ended

    def _newest_version(self) -> NetVersion | None:
        try:
            return pull_version(self._client, self._site.home)
        except NotFound:
            return None  # the net is not founded yet

    def _own_routes(self, version: NetVersion | None) -> tuple[Route, ...]:
        """Return the version's routes that start with this very teacher's category module."""
        f = self._sealed.category_module.module_id
        return tuple(line for line in (version.routes if version else ()) if line.category_module == f)

    def _report(self, version: NetVersion | None, states: dict[Task, MergeState]) -> None:
        site = self._site
        own = None if version is None else replace(version, routes=self._own_routes(version))
        net = None if own is None else load_net(site.home, own)
        test = site.data.load(Split.TEST)
        figures = measure_net(self._teacher.net, net, site.category, self._tasks, test, site.device)
        write_report(
            site.home,
            site=site.name,
            category=site.category,
            version=version.number if version else 0,
            routes=figures,
            states=states,
            raw_bytes=site.data.raw_bytes,
        )
        log.info("measured version %d", version.number if version else 0)
