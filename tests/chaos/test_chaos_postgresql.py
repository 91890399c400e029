"""The same chaos with the registry on PostgreSQL, which is restarted meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.chaos.plan import FaultKind
from benchmarks.chaos.run import Size, run_chaos

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.postgresql import PostgresServer


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.postgres
@pytest.mark.timeout(300)
def test_a_database_that_restarts_loses_nothing(tmp_path: Path, postgres: PostgresServer):
    name = postgres.create_database()
    size = Size(
        sites=3, faults=14, seed=1, modules=8, merging=1, mean_gap_s=0.3, disk_mib=0, drain_s=120.0,
        registry_url=postgres.url(name), restart_database=postgres.restart,
    )  # fmt: skip
    outcome = run_chaos(size, tmp_path, lambda _said: None)
    assert [each.sentence() for each in outcome.violations] == []
    assert outcome.faults[FaultKind.RESTART_DATABASE] >= 1
    assert outcome.versions >= 1
