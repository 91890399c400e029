"""Kill -9 of either side at random moments of large uploads: how much is sent again, and is it the same file?

The bar: what a site sends again is at most one chunk beyond what the server had not acknowledged as durable.
"""

from __future__ import annotations

import json
import random
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.chaos import journal
from benchmarks.chaos.center import ChaosCenter
from benchmarks.chaos.crowd import Member
from benchmarks.chaos.modules import make_stock
from benchmarks.chaos.proxy import Links
from benchmarks.chaos.resume_site import RESUMED, Position, send_all
from transplant.artifact.chunks import CHUNK_BYTES
from transplant.artifact.codec import write_artifact
from transplant.artifact.digest import sha256_file
from transplant.errors import BenchmarkFailed, TransplantError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transplant.artifact.manifest import Manifest

_SITE, _CATEGORY = "site-0", "dog"
_KILLS_A_MODULE = 4
_HIDDEN_PER_MIB = 32  # at 64 px
_TICK_S = 0.002
_STUCK_S = 300.0
_FOREVER_S = 1e6


@dataclass(frozen=True)
class Resumed:
    """One stream that went on where another one broke."""

    at: int
    sent: int
    acknowledged: int

    @property
    def again_bytes(self) -> int:
        """Return how much was sent a second time."""
        return max(0, self.sent - self.at)

    @property
    def beyond_bytes(self) -> int:
        """Return how much of that had been acknowledged as durable: what should not be sent again."""
        return max(0, self.acknowledged - self.at)


@dataclass
class ResumeOutcome:
    """What was measured: kills of each side, every resumption, and how many digests were right."""

    server_kills: int = 0
    site_kills: int = 0
    resumed: list[Resumed] = field(default_factory=list[Resumed])
    modules: int = 0
    right: int = 0
    payload_bytes: int = 0
    seconds: float = 0.0
    errors: list[str] = field(default_factory=list[str])

    def faults(self) -> list[str]:
        """Return what misses the bar."""
        most = max((each.beyond_bytes for each in self.resumed), default=0)
        told = [*self.errors]
        if most > CHUNK_BYTES:
            told.append(f"{most} bytes that were durable were sent again; the bar is {CHUNK_BYTES}")
        if self.right != self.modules:
            told.append(f"{self.right} of {self.modules} modules came back with the right digest")
        return told


def run_resume(
    kills: int, seed: int, mib: int, folder: Path, tell: Callable[[str], None], *, rate_mib_s: float = 24.0
) -> ResumeOutcome:
    """Upload modules of about `mib` MiB over a link of `rate_mib_s`, and kill `kills` times meanwhile.

    Raises:
        BenchmarkFailed: if an upload does not come to an end.
    """
    began_s, draw = time.monotonic(), random.Random(seed)
    outcome = ResumeOutcome()
    center = ChaosCenter(folder)
    site = folder / "site"
    with ExitStack() as stack:
        center.provision({_SITE: _CATEGORY})
        manifests = _write_modules(site, -(-kills // _KILLS_A_MODULE), mib)
        link = stack.enter_context(Links(lambda: center.address)).open()
        link.slow(_FOREVER_S, rate=rate_mib_s * (1 << 20))
        plan = {"kit": str(center.kit(_SITE)), "address": link.address, "modules": list(manifests)}
        (site / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        stack.callback(center.stop)
        center.start()
        center.wait_ready()
        member = Member(send_all, site)
        stack.callback(member.kill)
        member.start()
        for name, manifest in list(manifests.items())[1:]:  # the first is the small category module
            outcome.payload_bytes = manifest.payload_bytes
            wanted = min(_KILLS_A_MODULE, kills - outcome.server_kills - outcome.site_kills)
            targets = sorted(draw.uniform(0.0, 0.98) * manifest.payload_bytes for _ in range(wanted))
            for target in targets:
                _wait_for(site, name, target, center, member)
                if draw.random() < 0.5:
                    center.kill(down_s=0.0)
                    outcome.server_kills += 1
                    center.wait_ready()
                else:
                    member.kill()
                    outcome.site_kills += 1
                    member.start()
                tell(f"{outcome.server_kills} kills of the server, {outcome.site_kills} of the site")
        _wait_done(center, member)
        _compare(center, manifests, folder, outcome)
    for each in journal.notes(site / "journal.jsonl"):
        if each.what == RESUMED:
            outcome.resumed.append(Resumed(**json.loads(each.detail)))
        elif each.what == journal.ERROR and each.subject == "UnexpectedFailure":
            outcome.errors.append(each.detail)
    outcome.errors += center.unplanned_ends
    outcome.seconds = time.monotonic() - began_s
    return outcome


def _write_modules(site: Path, count: int, mib: int) -> dict[str, Manifest]:
    """Write the category module and `count` task modules; return their manifests in the order of sending."""
    stock = make_stock(_SITE, _CATEGORY, _HIDDEN_PER_MIB * mib, image_px=64)
    modules = [stock.f, *(stock.g[0].variant(number) for number in range(count))]
    manifests: dict[str, Manifest] = {}
    for each in modules:
        write_artifact(site, each.manifest, each.payload)
        manifests[each.manifest.module_id] = each.manifest
    return manifests


def _wait_for(site: Path, name: str, target: float, center: ChaosCenter, member: Member) -> None:
    """Wait until so many bytes of a module were sent, or it is there already."""
    deadline_s, position = time.monotonic() + _STUCK_S, Position(site / f"{name}.position")
    while position.read()[0] < target:
        _check_alive(deadline_s, center, member)
        time.sleep(_TICK_S)


def _wait_done(center: ChaosCenter, member: Member) -> None:
    deadline_s = time.monotonic() + _STUCK_S
    while not member.finished:
        _check_alive(deadline_s, center, member)
        time.sleep(_TICK_S)


def _check_alive(deadline_s: float, center: ChaosCenter, member: Member) -> None:
    center.tend()
    if not member.running and not member.finished:
        raise BenchmarkFailed("the sending site ended by itself")
    if time.monotonic() > deadline_s:
        raise BenchmarkFailed(f"an upload does not come to its end [log: {center.log}]")


def _compare(
    center: ChaosCenter, manifests: dict[str, Manifest], folder: Path, outcome: ResumeOutcome
) -> None:
    """Wait until each module is admitted, fetch it, compare the digest of its bytes."""
    outcome.modules = len(manifests)
    with center.operator(deadline_s=60.0) as client:
        deadline_s = time.monotonic() + _STUCK_S
        while len(client.list_modules()) < len(manifests) and time.monotonic() < deadline_s:
            time.sleep(0.5)
        for module_id, manifest in manifests.items():
            try:
                path = client.download(module_id, folder / "back")
            except TransplantError as error:
                outcome.errors.append(f"{module_id[:12]} cannot be fetched: {error.code()}: {error}")
                continue
            outcome.right += sha256_file(path) == manifest.payload_sha256
            path.unlink()
