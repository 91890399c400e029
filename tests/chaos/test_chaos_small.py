"""The other chaos commands, small: workers of Ray are killed, a load is sent, a net grows under fire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.waiting import wait

from benchmarks.chaos.growth import Victim, run_growth_chaos
from benchmarks.chaos.inject import ray_workers
from benchmarks.chaos.load import percentile, run_load
from benchmarks.chaos.plan import FaultKind
from benchmarks.chaos.run import Size, run_chaos
from benchmarks.speed.growth.material import GrowthSize
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


class WorkersOnly(Size):
    """A run that hurts nobody but Ray's workers."""

    def kinds(self) -> Collection[FaultKind]:
        """Return the only fault."""
        return {FaultKind.KILL_WORKER}


def silent(_said: str) -> None:
    """Say nothing."""


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_a_killed_worker_of_ray_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def workers_at_last(mark: str) -> list[int]:
        """Wait for a worker, as a longer run would: Ray takes a while to start."""
        wait(lambda: ray_workers(mark), 120.0)
        return ray_workers(mark)

    monkeypatch.setattr("benchmarks.chaos.inject.ray_workers", workers_at_last)
    size = WorkersOnly(
        sites=2, faults=1, seed=1, modules=3, merging=2, mean_gap_s=0.1, disk_mib=0, drain_s=120.0, ray=True
    )
    outcome = run_chaos(size, tmp_path, silent)
    assert [each.sentence() for each in outcome.violations] == []
    assert outcome.faults == {FaultKind.KILL_WORKER: 1}
    assert outcome.missed == []
    assert outcome.server_starts == 2  # the second for the checker: no worker takes its center along
    assert outcome.versions >= 2


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_a_small_load_is_registered_without_an_error(tmp_path: Path):
    outcome = run_load(6, 18, tmp_path, silent)
    assert outcome.timings.errors == []
    assert outcome.registered == len(outcome.timings.commit_s) == len(outcome.timings.declare_s) == 18
    assert 0 < percentile(outcome.timings.declare_s, 50) <= percentile(outcome.timings.declare_s, 99)
    assert outcome.sending_s > 0
    assert 0 < outcome.resident_bytes <= outcome.peak_bytes


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_a_net_that_grows_under_fire_is_the_same_net(tmp_path: Path):
    size = GrowthSize(2, (Task.CLASSIFICATION,), steps=12, synthetic_images=64, checkpoint_every=2)
    outcome = run_growth_chaos(size, 1, 1, 1, tmp_path, silent)
    assert outcome.faults == []
    assert outcome.same
    assert outcome.kills == {Victim.CENTER: 1}
    assert outcome.center_starts == 2
    assert outcome.merges == 2
