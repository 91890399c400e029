"""Damage of every kind is planted in a grown center, one at a time: it is found, and nothing else is."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from fakes import damaged_registry, damaged_rights, damaged_store
from fakes.grown_center import grown_home
from fakes.patient import DAMAGES, Patient

from central import cli
from central.fsck.finding import KINDS, Severity
from central.fsck.inspect_center import inspect_center
from central.home import identity_folder, open_registry
from central.identity.provision import (
    provision_authority,
    provision_kit,
    revoke_certificates,
    withdraw_site,
)
from central.identity.renewal import renew_kit, renew_server
from central.registry.audit_book import CONSOLE, Action
from central.settings import read_settings
from transplant.backends.system_clock import SystemClock
from transplant.errors import DamageFound, InvalidSettings
from transplant.types import Identity, Role


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
    assert (report.blobs, report.modules, report.versions) == (8, 8, 2)
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
    files = {plant.__module__ for _, plant in DAMAGES.values()}
    assert files == {each.__name__ for each in (damaged_registry, damaged_rights, damaged_store)}
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


def test_rights_that_came_and_went_at_the_console_are_no_damage(tmp_path):
    folder, settings = identity_folder(tmp_path / "home"), read_settings({"home": tmp_path / "home"})
    provision_authority(folder, (), 1)
    registry, clock = open_registry(settings), SystemClock()
    (tmp_path / "home" / "store").mkdir()
    count = itertools.count()
    names = [f"kind-{number:02}" for number in range(90)]  # more than one entry of the log holds

    def kit(role, name, *categories):
        about = {"center": "localhost:1", "days": 1, "out": tmp_path / f"kit-{next(count)}"}
        provision_kit(
            registry, clock, folder.authority(), Identity(role, name), categories=categories, **about
        )

    kit(Role.SITE, "north", *names)
    kit(Role.SITE, "north", "kind-00", "cow")
    kit(Role.READER, "ann")
    withdraw_site(registry, "north", names[5:75])
    about = {"center": "localhost:1", "days": 1, "out": tmp_path / "renewed"}
    renew_kit(registry, folder.authority(), Identity(Role.SITE, "north"), **about)
    renew_server(registry, folder, (), 1)
    revoke_certificates(registry, clock, Role.READER, "ann", None)
    kit(Role.READER, "ann")
    with registry.read() as books:
        (serial,) = [each.serial for each in books.sites.certificates(Role.READER) if not each.revoked]
    revoke_certificates(registry, clock, None, None, serial)
    assert inspect_center(settings).findings == ()
    with registry.write() as books:  # past the console
        books.sites.admit("north", ("kind-30",), clock.now())
    registry.close()
    (finding,) = inspect_center(settings).findings
    assert (finding.kind, "kind-30" in finding.detail) == ("site-rights", True)


def test_what_an_earlier_release_cut_short_in_the_log_is_no_damage(tmp_path):
    settings, clock = read_settings({"home": tmp_path / "home"}), SystemClock()
    registry = open_registry(settings)
    (tmp_path / "home" / "store").mkdir()
    names = [f"kind-{number:02}" for number in range(60)]
    with registry.write() as books:
        books.sites.admit("north", names, clock.now())
        books.audit.append(CONSOLE, Action.SITE_ADMITTED, "north", categories=names)  # as it wrote it
    assert inspect_center(settings).findings == ()
    with registry.write() as books:
        books.sites.admit("north", ("ape",), clock.now())  # what stands before the cut is still known
    registry.close()
    assert [finding.kind for finding in inspect_center(settings).findings] == ["site-rights"]
