"""What a process finds in its environment before it imports Ray, and what the driver never imports."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from central.runners.ray_session import session_environment


@pytest.fixture(autouse=True)
def _no_ray_around(monkeypatch):
    for name in list(os.environ):
        if name.startswith("RAY_"):
            monkeypatch.delenv(name)


def test_a_ray_of_ones_own_is_quiet_and_has_a_secret():
    first, second = session_environment(), session_environment()
    assert first["RAY_USAGE_STATS_ENABLED"] == "0"
    assert first["RAY_AUTH_MODE"] == "token"
    assert len(first["RAY_AUTH_TOKEN"]) == 64
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]


@pytest.mark.parametrize("said", ["RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_what_the_operator_says_about_authentication_stays(monkeypatch, said):
    monkeypatch.setenv(said, "theirs")
    assert set(session_environment()) == {"RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"}


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("central.cli", {"torch", "ray", "alembic"}),
        ("central.runners.ray_driver", {"torch"}),
        ("central.runners.ray_session", {"torch", "ray"}),
    ],
)
def test_what_is_started_often_is_imported_quickly(module, unwanted):
    code = f"import sys, {module}; print(sorted({unwanted!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
