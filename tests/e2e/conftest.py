"""A small federation of real processes: three sites, a few epochs, a few steps, gates that let all pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from benchmarks.journey.federation import Federation
from benchmarks.journey.plan import JourneyPlan, prepare_folder
from edge.datasets.scenes import ScenesData
from edge.datasets.site_dataset import Split
from transplant.rpc.channel import load_kit
from transplant.rpc.client import CentralClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from transplant.types import MergeSummary, NetVersion

TINY = JourneyPlan(
    "scenes",
    ("digit-0", "digit-1", "digit-2"),
    epochs=2,
    steps=40,
    synthetic_images=160,
    nudged_share=0.1,
    runner="ray",
)

# What is learned in two epochs would not pass a real gate; these tests are about processes. Checkpoints
# come often, so that a merge that was killed has one to go on from.
LENIENT = {
    "TRANSPLANT_CENTRAL_CHECKPOINT_EVERY": "5",
    "TRANSPLANT_CENTRAL_MINIMUM_AGREEMENT": "0",
    "TRANSPLANT_CENTRAL_MINIMUM_CLOSED": "-1000000",
}

# What a site draws where nothing lies there is for learning; these are for having something to learn from.
# There must be more of them than a teacher weighs, for a site ships less than it keeps.
SCENES = {Split.TRAIN: 320, Split.VALIDATION: 80, Split.TEST: 640}

# A site answers for so many images; a pool is drawn by the site and by the merge.
SMALL_PROBES = {
    "TRANSPLANT_CENTRAL_PROBE_POOL": "512",
    "TRANSPLANT_CENTRAL_PROBE_COUNT": "256",
    "TRANSPLANT_CENTRAL_PROBE_MORE": "1",
}


@dataclass(frozen=True)
class Ended:
    """What a federation came to, as the center tells it."""

    plan: JourneyPlan
    out: Path
    modules: frozenset[str]
    versions: Sequence[NetVersion]
    merges: Sequence[MergeSummary]

    @property
    def routes(self) -> dict[tuple[str, str], tuple[str, str | None, str]]:
        """Return (category, task) -> the three module ids of the newest version."""
        return {
            (route.category, route.task.value): (route.category_module, route.adapter, route.task_module)
            for route in self.versions[-1].routes
        }


def outcome(federation: Federation) -> Ended:
    """Ask the center, with the witness's kit."""
    with CentralClient(load_kit(federation.kit("witness"))) as client:
        return Ended(
            federation.plan,
            federation.out,
            frozenset(module.module_id for module in client.list_modules()),
            client.list_versions(),
            client.list_merges(),
        )


def prepared(plan: JourneyPlan, out: Path) -> Federation:
    """Return a federation that has its certificates, and its sites their data; nothing runs yet."""
    prepare_folder(out, plan, fresh=False)
    federation = Federation(plan, out, draw=False)
    for category in plan.categories:
        ScenesData(category, federation.site_home(category), plan.seed, SCENES).load(Split.TRAIN)
    federation.provision()
    return federation


@pytest.fixture(scope="session")
def tiny() -> JourneyPlan:
    """Return the plan of the small federation."""
    return TINY


@pytest.fixture(scope="session")
def prepare() -> Callable[[JourneyPlan, Path], Federation]:
    """Return the function that makes a federation ready to start."""
    return prepared


@pytest.fixture(scope="session")
def outcome_of() -> Callable[[Federation], Ended]:
    """Return the function that asks a federation's center how it ended."""
    return outcome


@pytest.fixture(scope="session")
def lenient() -> Iterator[None]:
    """Open the gates of every center that is started meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in LENIENT.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def undisturbed(lenient: None, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Run the small federation once, and let nothing happen to it."""
    del lenient
    return _left_alone(TINY, tmp_path_factory.mktemp("undisturbed") / "journey")


@pytest.fixture(scope="session")
def outputs_only(lenient: None, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Run it once, smaller still, with a site that keeps its task modules, and let nothing happen to it."""
    del lenient
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL_PROBES.items():
            patch.setenv(name, value)
        plan = replace(TINY, categories=TINY.categories[:2], ship="outputs")
        return _left_alone(plan, tmp_path_factory.mktemp("outputs") / "journey", timeout_s=420)


def _left_alone(plan: JourneyPlan, out: Path, timeout_s: float = 240) -> Ended:
    with prepared(plan, out) as federation:
        federation.start()
        federation.run(lambda happened: _nothing(happened), timeout_s=timeout_s)
        return outcome(federation)


def _nothing(happened: list[str]) -> None:
    assert happened == [], "nobody kills here, and yet a process ended"
