"""A light site, as a process of its own: its durable outbox and the real client, and modules without end.

It lives as the agent does (push, ask for the merge, answer candidates, begin again after any error that time
can cure), but trains nothing. All it knows lies in its folder, so it may be killed at any moment.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import threading
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmarks.chaos import journal
from benchmarks.chaos.modules import TASKS, read_stock
from edge.outbox import Outbox
from edge.push import push_outbox
from edge.site_home import SiteHome
from transplant.artifact.codec import write_artifact
from transplant.errors import MergeNotPossible, TransplantError
from transplant.rpc.channel import load_kit
from transplant.rpc.client import CentralClient
from transplant.rpc.merge_calls import FINAL_STATES
from transplant.rpc.retry import RetryPolicy
from transplant.types import Verdict

if TYPE_CHECKING:
    from benchmarks.chaos.modules import Stock

_PAUSE_S = 0.3
CALL_S, STREAM_S = 10.0, 30.0
POLICY = RetryPolicy(deadline_s=10.0, first_s=0.1, longest_s=1.0)


@dataclass(frozen=True)
class SiteFolder:
    """Where everything of one site lies."""

    root: Path

    @property
    def home(self) -> SiteHome:
        """Return the home as the edge knows it: sealed artifacts, outbox."""
        return SiteHome(self.root / "home")

    @property
    def outbox(self) -> Outbox:
        """Return the shipping queue."""
        return Outbox(self.home.outbox)

    @property
    def journal(self) -> Path:
        """Return what was asked for and answered."""
        return self.root / "journal.jsonl"

    @property
    def stock(self) -> Path:
        """Return the templates of the site's modules."""
        return self.root / "stock"

    @property
    def stop(self) -> Path:
        """Return the file that asks the site to finish what it has begun."""
        return self.root / "stop"

    def attempted(self) -> set[str]:
        """Return the modules whose commit was ever asked for."""
        return {each.subject for each in journal.notes(self.journal) if each.what == journal.COMMITTING}

    def acknowledged(self) -> set[str]:
        """Return the modules whose commit was answered."""
        return {each.subject for each in journal.notes(self.journal) if each.what == journal.COMMITTED}


@dataclass(frozen=True)
class SitePlan:
    """What one site is and does.

    Attributes:
        name: as its certificate says.
        category: that it brings.
        number: its index, which its own payloads come from.
        kit: folder of its certificate.
        address: its link.
        merges: whether it asks for the merge of its first teacher.
        most: how many modules it makes at most.
    """

    name: str
    category: str
    number: int
    kit: str
    address: str
    merges: bool
    most: int

    @property
    def least(self) -> int:
        """Return how many modules it makes even when it is asked to stop: a merge needs a whole teacher."""
        return 1 + len(TASKS) if self.merges else 0

    def write(self, folder: Path) -> None:
        """Write it where the process reads it."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "site.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> SitePlan:
        """Return the plan of a folder."""
        return cls(**json.loads((folder / "site.json").read_text(encoding="utf-8")))


class NotingClient(CentralClient):
    """The real client; it notes every commit before it is sent and after it was answered."""

    journal_path: Path

    def commit(self, upload_id: str, sha256: str) -> str:
        """Commit, and note it."""
        journal.note(self.journal_path, journal.COMMITTING, upload_id)
        module_id = super().commit(upload_id, sha256)
        journal.note(self.journal_path, journal.COMMITTED, upload_id)
        return module_id


Client = TypeVar("Client", bound=NotingClient)


def site_client(
    kind: type[Client], plan: SitePlan, folder: SiteFolder, policy: RetryPolicy = POLICY
) -> Client:
    """Return a client of a site over its link."""
    client = kind(load_kit(Path(plan.kit)), plan.address, policy=policy, call_s=CALL_S, stream_s=STREAM_S)
    client.journal_path = folder.journal
    return client


def live(root: str) -> None:
    """Live as the site of a folder, until it is asked to stop and nothing is left to do; a process's main."""
    leave_with_driver()
    folder, plan = SiteFolder(Path(root)), SitePlan.read(Path(root))
    stock = read_stock(folder.stock)
    with site_client(NotingClient, plan, folder) as client:
        while not _turn(folder, plan, stock, client):
            pass
    journal.note(folder.journal, journal.DONE, plan.name)


def _turn(folder: SiteFolder, plan: SitePlan, stock: Stock, client: CentralClient) -> bool:
    """Do what there is to do; return whether all is done."""
    stopping = folder.stop.exists()
    outbox = folder.outbox
    try:
        push_outbox(outbox, folder.home, client)
        settled = not plan.merges or _merge(stock, client, plan.category)
    except TransplantError as error:
        journal.note(folder.journal, journal.ERROR, error.code(), str(error)[:300])
        time.sleep(random.uniform(0.5, 1.0) * _PAUSE_S)
        return False
    made = len(outbox.entries())
    if made < (plan.least if stopping else plan.most):
        module = stock.nth(made, 1000 * (plan.number + 1))
        write_artifact(folder.home.sealed, module.manifest, module.payload)
        outbox.put(module.manifest)
    elif stopping and settled:
        return True
    time.sleep(random.uniform(0.2, 1.0) * _PAUSE_S)
    return False


def _merge(stock: Stock, client: CentralClient, category: str) -> bool:
    """Ask for the merge of the teacher, answer what waits; return whether all merges have ended."""
    registered = {module.module_id for module in client.list_modules(category)}
    own = (stock.f.manifest.module_id, *(each.manifest.module_id for each in stock.g))
    if not registered.issuperset(own):
        return False
    _, merges = client.request_merge(own[0], own[1:])
    for merge_key, _ in client.fetch_candidates():
        try:
            client.report_verdict(good_verdict(merge_key))
        except MergeNotPossible:
            continue  # decided meanwhile
    return len(merges) == len(TASKS) and all(merge.state in FINAL_STATES for merge in merges)


def good_verdict(merge_key: str) -> Verdict:
    """Return figures with which any candidate passes."""
    teacher, floor = {"error": 10.0, "iou": 80.0}, {"error": 50.0, "iou": 0.0}
    return Verdict(merge_key, teacher, {"error": 15.0, "iou": 75.0}, floor, 12)


def leave_with_driver() -> None:
    """End this process as soon as the one that wanted it is gone, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="driver-watch", daemon=True).start()
