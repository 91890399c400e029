"""Commands beside a center find what it serves with: its store, and the policy that it plans by."""

from __future__ import annotations

import json
import sys

import pytest
from fakes.turned_center import World

from central import cli
from central.backup.restore import restore_backup
from central.net.served_settings import served_settings
from central.settings import read_settings
from transplant.types import Task


@pytest.fixture
def served(tmp_path):
    """Return a home whose center was served with a store elsewhere and a founder, given as flags."""
    home = tmp_path / "home"
    world = World(home, store_url=str(tmp_path / "elsewhere"), founder="dog")
    world.bring("dog", 1)
    world.rounds()
    world.bring("cat", 2, (Task.SEGMENTATION,))
    world.registry.close()
    (home / "settings.json").write_bytes(world.settings.document())
    return home


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["transplant-central", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().out

    return run


def test_a_served_net_is_read_from_the_store_that_the_center_serves_with(served, run, monkeypatch, tmp_path):
    found = []

    def source(settings, _guide_images):
        found.append(settings.store_url)
        raise KeyboardInterrupt

    monkeypatch.setattr("central.serving.net_source.CenterSource", source)
    for flags in ((), ("--store-url", tmp_path / "other")):
        run("serve-net", "--home", served, *flags)
    assert found == [str(tmp_path / "elsewhere"), str(tmp_path / "other")]


def test_status_plans_as_the_center_does(tmp_path, run):
    world = World(tmp_path / "home", founder="dog")
    world.bring("cat", 2)
    world.registry.close()
    (world.home / "settings.json").write_bytes(world.settings.document())
    _, words = run("status", "--home", world.home, "--json")
    (left,) = json.loads(words)["tasks_waiting"]
    assert "serve with another --founder than dog" in left["reason"]


def test_a_check_and_a_backup_look_into_the_store_that_the_center_serves_with(served, run, tmp_path):
    _, words = run("fsck", "--home", served, "--json")
    assert json.loads(words)["checked"]["blobs"] > 0
    assert "blob-missing" not in words
    assert run("backup", "--home", served, "--out", tmp_path / "backup")[0] == 0
    moved = read_settings({"home": tmp_path / "moved", "store_url": str(tmp_path / "third")})
    restore_backup(tmp_path / "backup", moved)
    assert served_settings(tmp_path / "moved", None).store_url == str(tmp_path / "third")
    back = read_settings({"home": tmp_path / "back"})
    restore_backup(tmp_path / "backup", back)
    assert served_settings(tmp_path / "back", None).store_url == ""
