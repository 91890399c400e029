"""Damage of every kind is planted in a grown center, one at a time: it is found, and nothing else is."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from fakes import damaged_registry, damaged_store
from fakes.grown_center import grown_home
from fakes.patient import DAMAGES, Patient

from central import cli
from central.fsck.finding import KINDS, Severity
from central.fsck.inspect_center import inspect_center
from central.settings import read_settings
from transplant.errors import DamageFound, InvalidSettings


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    home = tmp_path_factory.mktemp("grown") / "home"
    home.mkdir()
    grown_home(home)
    return home


@pytest.fixture
def patient(grown, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(grown, home)
    with closing(sqlite3.connect(home / "registry.sqlite", isolation_level=None)) as db:
        yield Patient(home, db)


def inspect(home):
    return inspect_center(read_settings({"home": home}))


def test_a_healthy_center_has_no_finding_and_is_left_as_it_is(patient):
    before = {path: path.read_bytes() for path in patient.home.rglob("*") if path.is_file()}
    report = inspect(patient.home)
    assert report.findings == ()
    assert (report.blobs, report.modules, report.versions) == (7, 7, 2)
    report.raise_damage()
    after = {path: path.read_bytes() for path in patient.home.rglob("*") if path.is_file()}
    assert {
        path: data for path, data in after.items() if not path.name.startswith("registry.sqlite-")
    } == before


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_nothing_else_is(patient, name):
    kinds, plant = DAMAGES[name]
    plant(patient)
    report = inspect(patient.home)
    assert sorted(finding.kind for finding in report.findings) == kinds, report.document()
    assert bool(report.damage) == any(KINDS[kind].severity is Severity.DAMAGE for kind in kinds)
    if report.damage:
        with pytest.raises(DamageFound):
            report.raise_damage()


def test_every_kind_is_planted():
    assert damaged_registry.__name__ in {plant.__module__ for _, plant in DAMAGES.values()}
    assert {kind for kinds, _ in DAMAGES.values() for kind in kinds} == set(KINDS)


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr("sys.argv", ["transplant-central", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_the_command_tells_what_to_do_and_ends_on_its_own_code(patient, monkeypatch, capsys):
    assert run(monkeypatch, "fsck", "--home", patient.home, "--json") == 0
    assert json.loads(capsys.readouterr().out)["clean"] is True
    damaged_store.a_blob_that_nobody_refers_to(patient)
    assert run(monkeypatch, "fsck", "--home", patient.home) == 0
    assert "blob-orphan" in capsys.readouterr().out
    damaged_store.a_lost_blob(patient)
    assert run(monkeypatch, "fsck", "--home", patient.home, "--json") == DamageFound.exit_code == 72
    output = capsys.readouterr()
    lost, orphan = json.loads(output.out)["findings"]
    assert (lost["kind"], lost["severity"]) == ("blob-missing", "damage")
    assert "push the module again" in lost["remedy"]
    assert (orphan["kind"], orphan["severity"]) == ("blob-orphan", "warning")
    assert "DamageFound: 1 pieces of damage" in output.err


def test_a_home_without_center_is_no_damage(tmp_path):
    with pytest.raises(InvalidSettings, match="no center"):
        inspect(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_another_release_is_no_damage(patient):
    patient.do("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(InvalidSettings, match="release"):
        inspect(patient.home)
