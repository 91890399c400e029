"""Whose keys a federated run lets in: registered before it, shut out during it."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from fakes.center_home import home_with_kits

from central.home import identity_folder
from central.refine import superlink
from central.refine.federated_run import FederatedRun, Rounds, RunFolder, RunState
from central.refine.superlink import SuperLink
from transplant.errors import MergeEngineUnavailable, RegistryUnavailable, TransplantError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return home_with_kits(tmp_path / "home", ("site-ada", "site-bob"), "cat")


FLWR = """#!/bin/sh
echo "+ $$ $*" >> {folder}/calls
{work}
echo "- $$" >> {folder}/calls
echo '{{"success": true, "node-id": '$$'}}'
"""


def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path, work: str) -> SuperLink:
    """Return a SuperLink that is none: it runs, and calls of `flwr` go to a script that notes them."""
    script = tmp_path / "flwr"
    script.write_text(FLWR.format(folder=tmp_path, work=work))
    script.chmod(0o755)
    monkeypatch.setattr(superlink, "program", lambda _name: script)
    link = SuperLink(tmp_path / "run", identity_folder(home), "127.0.0.1:0")
    (tmp_path / "run" / "flower").mkdir(parents=True)
    monkeypatch.setattr(link, "_process", SimpleNamespace(running=True, last_words=lambda: ""))
    monkeypatch.setattr(link, "_gate", SimpleNamespace(address="127.0.0.1:9"))
    return link


def certificate(home: Path, name: str) -> bytes:
    return (home / "kits" / name / "cert.pem").read_bytes()


def test_keys_are_registered_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path):
    link = pretended(tmp_path, monkeypatch, home, "sleep 0.1")
    keys = [(f"site-{number}", certificate(home, "site-ada")) for number in range(10)]
    assert sorted(link.register(keys).values()) == sorted(site for site, _ in keys)
    at_once, most = 0, 0
    for line in (tmp_path / "calls").read_text().splitlines():
        at_once += 1 if line.startswith("+") else -1
        most = max(most, at_once)
    assert 1 <= most <= 4


def test_a_call_that_does_not_end_is_the_engines_failure_and_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
):
    link = pretended(tmp_path, monkeypatch, home, "exec sleep 600")
    monkeypatch.setattr(superlink, "_READY_S", 0.5)
    keys = [(f"site-{number}", certificate(home, "site-ada")) for number in range(6)]
    with pytest.raises(MergeEngineUnavailable, match="key 0 of site site-0"):
        link.register(keys)
    begun = (tmp_path / "calls").read_text().split("\n")[:-1]
    assert 1 <= len(begun) <= 4
    for line in begun:
        with pytest.raises(ProcessLookupError):
            os.kill(int(line.split()[1]), 0)


def test_a_site_that_is_revoked_during_a_run_is_shut_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
):
    link = pretended(tmp_path, monkeypatch, home, ":")
    monkeypatch.setattr(superlink, "_KEYS_S", 0.0)
    keys = [(name, certificate(home, name)) for name in ("site-ada", "site-bob")]
    nodes = link.register(keys)
    (bob,) = [node for node, site in nodes.items() if site == "site-bob"]
    run = FederatedRun("d" * 64, "refine", {}, nodes, {}, Rounds())
    folder = RunFolder(tmp_path / "run")
    now: list[object] = [RegistryUnavailable("it is busy"), keys, keys[:1], keys[:1]]

    def keys_then() -> list[tuple[str, bytes]]:
        told = now.pop(0)
        if isinstance(told, TransplantError):
            raise told
        return cast("list[tuple[str, bytes]]", told)

    record = link.run(run, lambda _: None, lambda: not now, keys_then)
    assert record.state is RunState.STOPPED
    assert folder.shut_nodes() == {bob}
    calls = (tmp_path / "calls").read_text()
    assert calls.count("supernode unregister") == 1
    assert f"supernode unregister {bob} " in calls
