"""The one-command promises: make, the constraints, CI and the `data` marker do what they say."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]

TARGETS = ("venv", "stubs", "stubs-check", "format", "lint", "test", "test-fast", "fuzz", "demo", "clean")


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def _dependencies(repository: Path) -> dict[str, str]:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(line for group in project["optional-dependencies"].values() for line in group),
    ]
    return {re.split(r"[\[<>=]", line)[0].lower(): line for line in wanted}


def _constraints(repository: Path) -> dict[str, str]:
    lines = (repository / "deploy" / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_help_lists_every_target(repository: Path):
    shown = _make(repository, "help").stdout
    assert [target for target in TARGETS if f"make {target} " not in shown] == []


def test_an_old_python_is_a_plain_error(repository: Path, tmp_path: Path):
    shutil.copy(repository / "Makefile", tmp_path)
    shutil.copy(repository / "pyproject.toml", tmp_path)
    (tmp_path / "deploy").mkdir()
    shutil.copy(repository / "deploy" / "constraints.txt", tmp_path / "deploy")
    done = _make(tmp_path, "demo", "PYTHON=false")
    assert done.returncode != 0
    assert "error: Python 3.11 or newer is needed" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_each_direct_dependency_is_pinned_and_nothing_else(repository: Path):
    assert set(_constraints(repository)) == set(_dependencies(repository))


def test_no_pin_names_a_local_build(repository: Path):
    assert [pin for pin in _constraints(repository).values() if "+" in pin] == []


def test_what_is_installed_is_what_is_pinned(repository: Path):
    pins = _constraints(repository)
    installed = {
        name: version(name).partition("+")[0] for name in ("torch", "ray", "grpcio", "protobuf", "flwr")
    }
    assert installed == {name: pins[name] for name in installed}


def test_ci_runs_what_make_offers_and_requires_the_data(repository: Path):
    script = (repository / ".ci" / "run").read_text()
    assert "set -euo pipefail" in script
    assert "TRANSPLANT_REQUIRE_DATA=1" in script
    for target in ("lint", "stubs-check", "test"):
        assert re.search(rf"^step make .*\b{target}$", script, re.MULTILINE), target


@pytest.mark.parametrize(("required", "outcome"), [("1", {"failed": 1, "skipped": 1}), ("0", {"skipped": 2})])
def test_a_skipped_data_test_fails_where_the_data_is_required(
    repository: Path,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    required: str,
    outcome: dict[str, int],
):
    monkeypatch.setenv("TRANSPLANT_REQUIRE_DATA", required)
    pytester.makeconftest((repository / "tests" / "conftest.py").read_text())
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.data
        def test_on_the_packs():
            pytest.skip("no packs here")

        def test_of_something_else():
            pytest.skip("not on this system")
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(**outcome)


def test_every_console_script_is_a_real_command(repository: Path):
    scripts = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(scripts) == {"transplant-central", "transplant-edge", "transplant-bench"}
    for target in scripts.values():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))
