"""A small federation of real processes: three sites, a few epochs, a few steps, gates that let all pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from benchmarks.journey.federation import Federation
from benchmarks.journey.plan import JourneyPlan, prepare_folder
from transplant.rpc.channel import load_kit
from transplant.rpc.client import CentralClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from transplant.types import MergeSummary, NetVersion

TINY = JourneyPlan(
    "scenes", ("digit-0", "digit-1", "digit-2"), epochs=2, steps=60, synthetic_images=400, runner="ray"
)

# What is learned in two epochs would not pass a real gate; these tests are about processes. Checkpoints
# come often, so that a merge that was killed has one to go on from.
LENIENT = {
    "TRANSPLANT_CENTRAL_CHECKPOINT_EVERY": "10",
    "TRANSPLANT_CENTRAL_MINIMUM_AGREEMENT": "0",
    "TRANSPLANT_CENTRAL_MINIMUM_CLOSED": "-1000000",
}


@dataclass(frozen=True)
class Ended:
    """What a federation came to, as the center tells it."""

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
            federation.out,
            frozenset(module.module_id for module in client.list_modules()),
            client.list_versions(),
            client.list_merges(),
        )


@pytest.fixture(scope="session")
def tiny() -> JourneyPlan:
    """Return the plan of the small federation."""
    return TINY


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
    out = tmp_path_factory.mktemp("undisturbed") / "journey"
    prepare_folder(out, TINY, fresh=False)
    with Federation(TINY, out, draw=False) as federation:
        federation.provision()
        federation.start()
        federation.run(lambda happened: _nothing(happened), timeout_s=240)
        return outcome(federation)


def _nothing(happened: list[str]) -> None:
    assert happened == [], "nobody kills here, and yet a process ended"
