"""Kill -9 of the center and of sites at awkward moments: the end is the same as if nothing had happened."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from transplant.errors import TransplantError
from transplant.rpc.channel import load_kit
from transplant.rpc.client import CentralClient
from transplant.rpc.retry import RetryPolicy
from transplant.types import MergeState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.journey.children import Child
    from benchmarks.journey.federation import Federation
    from benchmarks.journey.plan import JourneyPlan
    from tests.e2e.conftest import Ended

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(480)]


class Assassin:
    """Waits for each moment of a list, in order, and kills -9 who is on duty then.

    Its eyes are the disk and the center's own answers, looked at every few milliseconds from a second
    thread; the killing is done from the supervising one.
    """

    def __init__(self, moments: list[tuple[str, Callable[[], bool], Child]]) -> None:
        self.waiting = list(moments)
        self.done: list[str] = []
        self.happened: list[str] = []

    def look(self) -> None:
        """Kill if the moment has come."""
        if self.waiting:
            name, has_come, victim = self.waiting[0]
            if victim.running and has_come():
                victim.kill()
                self.done.append(name)
                self.waiting.pop(0)


class Eyes:
    """Which states merges are in, as a polling thread last saw it; a dead center is no news."""

    def __init__(self, kit: Path) -> None:
        self._client = CentralClient(load_kit(kit), policy=RetryPolicy(deadline_s=0.2), call_s=2.0)
        self.states: Counter[MergeState] = Counter()
        self.steps = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Shut them."""
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._stop.wait(0.05):  # a verdict takes some tenths of a second
            try:
                merges = self._client.list_merges()
            except TransplantError:
                self.states, self.steps = Counter(), 0
                continue
            self.states = Counter(merge.state for merge in merges)
            self.steps = max(
                (merge.step for merge in merges if merge.state is MergeState.LEARNING), default=0
            )


@pytest.fixture
def killed(
    lenient: None,
    tiny: JourneyPlan,
    prepare: Callable[[JourneyPlan, Path], Federation],
    outcome_of: Callable[[Federation], Ended],
    tmp_path: Path,
) -> tuple[Ended, Assassin, Federation]:
    del lenient
    with prepare(tiny, tmp_path / "journey") as federation:
        federation.start()
        eyes = Eyes(federation.kit("witness"))
        first, second = (federation.sites[name] for name in tiny.categories[1:])
        assassin = Assassin(
            [
                ("a site while it trains", lambda: _said(first, "epoch 1/"), first),
                (
                    "the center while a site uploads",
                    lambda: _uploading(federation.center_home),
                    federation.center,
                ),
                ("a site while it uploads", lambda: _queued(federation.site_home(second.name)), second),
                ("the center while it merges", lambda: eyes.steps > 0, federation.center),
                (
                    "a site while its verdict is awaited",
                    lambda: eyes.states[MergeState.VALIDATING] > 0,
                    first,
                ),
                ("the center while it awaits a verdict", lambda: _validating(eyes), federation.center),
            ]
        )
        watch = threading.Event()

        def look_often() -> None:
            while not watch.wait(0.01):
                assassin.look()

        knife = threading.Thread(target=look_often, daemon=True)
        knife.start()
        try:
            federation.run(assassin.happened.extend, timeout_s=240)
            return outcome_of(federation), assassin, federation
        finally:
            watch.set()
            knife.join()
            eyes.close()


def _said(site: Child, words: str) -> bool:
    return site.log.is_file() and words in site.log.read_text(encoding="utf-8", errors="replace")


def _uploading(center_home: Path) -> bool:
    return any(center_home.rglob("*.part"))


def _queued(site_home: Path) -> bool:
    for path in (site_home / "outbox").glob("*.json"):
        try:
            if json.loads(path.read_text(encoding="utf-8"))["state"] not in {"committed", "registered"}:
                return True
        except (ValueError, FileNotFoundError):
            continue
    return False


def _validating(eyes: Eyes) -> bool:
    return eyes.states[MergeState.VALIDATING] + eyes.states[MergeState.CANDIDATE] > 0


def test_the_end_is_the_same(undisturbed: Ended, killed: tuple[Ended, Assassin, Federation]):
    ended, assassin, federation = killed
    restarts = {child.name: child.restarts for child in (federation.center, *federation.sites.values())}
    assert assassin.waiting == [], f"these moments never came: {[name for name, *_ in assassin.waiting]}"
    told = "\n".join(
        [*assassin.happened, federation.center.log.read_text(encoding="utf-8", errors="replace")]
    )
    assert sum(restarts.values()) == len(assassin.done), told

    # The same modules, the center's adapters among them: checkpoints and seeds, not luck.
    assert ended.modules == undisturbed.modules
    assert ended.routes == undisturbed.routes

    # Each route was published exactly once.
    assert Counter(merge.state for merge in ended.merges) == {MergeState.PUBLISHED: len(ended.routes)}
    assert [version.number for version in ended.versions] == list(range(1, len(ended.versions) + 1))
    before: set[str] = set()
    for version in ended.versions:
        keys = [route.merge_key for route in version.routes]
        assert len(set(keys)) == len(keys)
        assert before < set(keys)
        before = set(keys)
