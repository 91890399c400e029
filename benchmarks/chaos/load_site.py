"""Many sites in one process, each with a connection of its own: they declare, send and commit at once."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.chaos.modules import read_stock
from benchmarks.chaos.site import leave_with_driver
from transplant.artifact.codec import write_artifact
from transplant.errors import TransplantError
from transplant.rpc.channel import load_kit
from transplant.rpc.client import CentralClient
from transplant.rpc.retry import RetryPolicy

if TYPE_CHECKING:
    from benchmarks.chaos.modules import Stock, Template

_POLICY = RetryPolicy(deadline_s=120.0)
_CALL_S = 60.0
_TICK_S = 0.02


@dataclass
class Timings:
    """Seconds of every call, from the first attempt to the answer, and what failed."""

    declare_s: list[float] = field(default_factory=list[float])
    commit_s: list[float] = field(default_factory=list[float])
    errors: list[str] = field(default_factory=list[str])


def load(root: str) -> None:
    """Connect all sites of a folder, wait for the word, send all, write the timings; a process's main."""
    leave_with_driver()
    folder = Path(root)
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    timings = Timings()
    threads = [
        threading.Thread(target=_live, args=(folder, plan, site, timings), daemon=True)
        for site in plan["sites"]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    temporary = folder / "timings.tmp"
    temporary.write_text(json.dumps(asdict(timings)), encoding="utf-8")
    temporary.replace(folder / "timings.json")


def _live(folder: Path, plan: dict[str, object], site: dict[str, str], timings: Timings) -> None:
    """Be one site: one connection that stays until the end."""
    go = Path(str(plan["go"]))
    stock = read_stock(Path(site["stock"]))
    with CentralClient(
        load_kit(Path(site["kit"])), str(plan["address"]), policy=_POLICY, call_s=_CALL_S
    ) as client:
        try:
            client.describe()
        except TransplantError as error:
            timings.errors.append(f"connect: {error.code()}: {error}")
        (folder / f"{site['name']}.connected").touch()
        while not go.exists():
            time.sleep(_TICK_S)
        for module in _modules(stock, int(str(plan["modules"])), int(site["number"])):
            _ship(client, module, folder, timings)


def _modules(stock: Stock, count: int, number: int) -> list[Template]:
    return [stock.nth(each, 1000 * (number + 1)) for each in range(count)]


def _ship(client: CentralClient, module: Template, folder: Path, timings: Timings) -> None:
    path = write_artifact(folder / "sealed", module.manifest, module.payload)
    try:
        began_s = time.perf_counter()
        declared = client.declare(module.manifest)
        timings.declare_s.append(time.perf_counter() - began_s)
        client.upload(declared.upload_id, path)
        began_s = time.perf_counter()
        client.commit(declared.upload_id, module.manifest.payload_sha256)
        timings.commit_s.append(time.perf_counter() - began_s)
    except TransplantError as error:
        timings.errors.append(f"{error.code()}: {error}")
