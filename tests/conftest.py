"""What every test shares: one thread a process, data packs, a PostgreSQL server, no silent skips in CI."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import transplant  # noqa: F401 - before a test imports gRPC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes.postgresql import PostgresServer

REPOSITORY = Path(__file__).resolve().parent.parent

# Warnings of others' code about others' code, each as narrow as it can be said; all else is an error.
FOREIGN_WARNINGS = (
    # typer re-exports two names that click 8.5 took off its list.
    r"ignore:'click\.utils\.get_(binary|text)_stream' is deprecated:DeprecationWarning",
)

# Where such a variable is 1, a test with this mark that is skipped has failed.
REQUIRED = {"data": "TRANSPLANT_REQUIRE_DATA", "postgres": "TRANSPLANT_REQUIRE_POSTGRES"}


def pytest_configure(config: pytest.Config) -> None:
    """Filter foreign warnings; keep this process and those that a test starts on one computing thread.

    The tests share two cores, and a sum over several threads is not reproducible. The variables
    must stand before the first import of torch or numpy, hence the late import.
    """
    for line in FOREIGN_WARNINGS:
        config.addinivalue_line("filterwarnings", line)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    import torch

    torch.set_num_threads(1)


def pytest_sessionfinish() -> None:
    """Write down what was asked of servers without a right to it, where a record of it is wanted."""
    if folder := os.environ.get("TRANSPLANT_ACCESS_RECORDS"):
        from fakes.refusals import write_tallies

        write_tallies(Path(folder))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Turn a skipped test into a failure where what it needs is required (CI)."""
    del call
    report: pytest.TestReport = yield
    required = [
        variable
        for mark, variable in REQUIRED.items()
        if item.get_closest_marker(mark) and os.environ.get(variable) == "1"
    ]
    if required and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{required[0]}=1 and this test did not run: {reason}"
    return report


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Return the folder of the real data packs, or skip with a plain reason."""
    root = Path(os.environ.get("TRANSPLANT_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (root / "voc_mammals").is_dir():
        pytest.skip(f"no data packs at {root} (set TRANSPLANT_DATA)")
    return root


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Yield a PostgreSQL server of this test session, or skip with a plain reason."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'transplant[postgresql]')")
    from fakes.postgresql import PostgresMissingError, start_server

    try:
        server = start_server()
    except PostgresMissingError as error:
        pytest.skip(str(error))
    yield server
    server.remove()
