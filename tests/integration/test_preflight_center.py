"""`transplant-central preflight`: what would keep a center from serving is said before it serves."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from fakes.clock import FakeClock
from fakes.pki import Authority
from PIL import Image
from sqlalchemy import create_engine
from typer.testing import CliRunner

from central.cli import app
from central.home import identity_folder, only_serve, open_registry
from central.identity.provision import provision_authority
from central.preflight.center_checks import preflight
from central.registry.audit_book import CONSOLE, Action
from central.registry.registry import Registry
from central.registry.schema import downgrade_schema
from central.runners.preflight import check_ray
from central.settings import read_settings
from transplant.errors import (
    CertificateInvalid,
    DatasetNotFound,
    InvalidSettings,
    MergeEngineUnavailable,
    RegistryDamaged,
    StorageFull,
)
from transplant.rpc.findings import Level


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    home = tmp_path_factory.mktemp("pristine") / "home"
    open_registry(read_settings({"home": home})).close()
    provision_authority(identity_folder(home), [], 30)
    return home


@pytest.fixture
def home(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "home")


def look(home, **flags):
    return preflight({"home": home, "listen": "127.0.0.1:0", "runner": "local", **flags})


def failure(findings, check):
    found = [each for each in findings.all if each.level is Level.FAILURE]
    assert [each.check for each in found] == [check]
    return found[0]


def test_where_all_is_well_every_check_says_so_and_nothing_is_changed(home):
    before = sorted(path for path in home.rglob("*") if "registry" not in path.name)
    findings = look(home)
    assert {each.level for each in findings.all} == {Level.OK}
    assert list(dict.fromkeys(each.check for each in findings.all)) == [
        "home",
        "disk",
        "certificates",
        "names",
        "keys",
        "port",
        "registry",
        "clock",
        "store",
    ]
    assert findings.exit_code == 0
    assert sorted(path for path in home.rglob("*") if "registry" not in path.name) == before


def test_a_home_that_is_none_is_not_made(tmp_path):
    findings = look(tmp_path / "nowhere")
    assert {each.check for each in findings.all if each.level is Level.FAILURE} == {
        "home",
        "certificates",
        "registry",
    }
    assert findings.exit_code == InvalidSettings.exit_code
    assert not (tmp_path / "nowhere").exists()


def test_settings_that_are_wrong(home, monkeypatch):
    monkeypatch.setenv("TRANSPLANT_CENTRAL_NONSENSE", "1")
    assert "there is no such setting" in failure(look(home), "settings").text


def test_certificates_keys_and_names(home):
    folder = identity_folder(home)
    folder.server_key.chmod(0o640)
    assert "chmod 600" in failure(look(home), "keys").text
    folder.server_key.chmod(0o600)
    folder.ca_key.rename(home / "ca.key")  # kept elsewhere: fine, unless serving needs it
    assert look(home).exit_code == 0
    found = [each for each in look(home, renewal="automatic").all if each.level is Level.FAILURE]
    assert [each.check for each in found] == ["keys"]
    (home / "ca.key").rename(folder.ca_key)
    findings = look(home, listen="127.0.0.2:0")
    assert [each.check for each in findings.all if each.level is Level.WARNING] == ["names"]
    other = Authority()
    folder.server.write_bytes(other.server().cert)
    assert "do not fit" in failure(look(home), "certificates").text
    folder.server.unlink()
    assert failure(look(home), "certificates").error is CertificateInvalid


def test_certificates_that_end(home):
    folder = identity_folder(home)
    soon = folder.authority().issue_server(["localhost"], 0.02)
    folder.write_server(soon)
    findings = look(home, listen="localhost:0")
    warned = [each for each in findings.all if each.level is Level.WARNING]
    assert [each.check for each in warned] == ["certificates"]
    assert "provision renew server" in warned[0].text
    folder.write_server(folder.authority().issue_server(["localhost"], -0.01))
    assert "expired on" in failure(look(home), "certificates").text


def test_a_port_that_is_taken_unless_by_this_very_center(home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        assert "cannot listen on" in failure(look(home, listen=listen), "port").text
        with only_serve(home):
            assert look(home, listen=listen).exit_code == 0
    assert failure(look(home, listen="192.0.2.1:7443"), "port").error is InvalidSettings


def test_a_registry_of_another_release(home):
    (home / "copy").write_bytes((home / "registry.sqlite").read_bytes())
    engine = create_engine(f"sqlite:///{home}/registry.sqlite")
    downgrade_schema(engine, "0002")
    findings = look(home)
    warned = [each for each in findings.all if each.level is Level.WARNING]
    assert [each.check for each in warned] == ["registry"]
    assert "take a backup first" in warned[0].text
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    assert failure(look(home), "registry").error is RegistryDamaged
    (home / "registry.sqlite").unlink()
    assert "there is no registry" in failure(look(home), "registry").text


def test_a_clock_that_is_behind_what_the_registry_has_seen(home):
    registry = Registry(
        f"sqlite:///{home}/registry.sqlite", clock=FakeClock(datetime.now(UTC) + timedelta(days=2))
    )
    with registry.write() as books:
        books.audit.append(CONSOLE, Action.SITE_ADMITTED, "dog")
    registry.close()
    assert "set the clock" in failure(look(home), "registry").text


def test_room_and_store(home, monkeypatch):
    with monkeypatch.context() as patch:
        usage = SimpleNamespace(free=300 << 20)
        patch.setattr("central.preflight.center_checks.shutil.disk_usage", lambda _: usage)
        assert failure(look(home), "disk").error is StorageFull
    (home / "file").touch()
    assert "cannot be written" in failure(look(home, store_url=str(home / "file")), "store").text


def test_ray(monkeypatch):
    def answers(code, out="", err=""):
        return lambda *_, **__: subprocess.CompletedProcess((), code, out, err)

    monkeypatch.setattr(
        "central.runners.preflight.subprocess.run", answers(1, err="x\nModuleNotFoundError: ray")
    )
    with pytest.raises(MergeEngineUnavailable, match="ModuleNotFoundError: ray"):
        check_ray()
    monkeypatch.setattr("central.runners.preflight.subprocess.run", answers(0, "2.60.0\n"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert "starts one of its own" in check_ray()
    with socket.create_server(("127.0.0.1", 0)) as head:
        port = head.getsockname()[1]
        monkeypatch.setenv("RAY_ADDRESS", f"ray://127.0.0.1:{port}")
        assert "somebody answers" in check_ray()
    with pytest.raises(MergeEngineUnavailable, match="no Ray answers"):
        check_ray()


def test_ray_is_imported_in_a_process_of_its_own(monkeypatch):
    monkeypatch.setattr("central.runners.preflight.sys.executable", "/bin/false")
    with pytest.raises(MergeEngineUnavailable, match="cannot be imported"):
        check_ray()
    assert sys.executable


def test_the_command_prints_lines_or_json_and_ends_with_the_errors_code(home):
    runner = CliRunner()
    arguments = ["preflight", "--home", str(home), "--runner", "local", "--listen", "127.0.0.1:0"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "ready: 0 failures, 0 warnings"
    identity_folder(home).server.unlink()
    result = runner.invoke(app, [*arguments, "--json"])
    assert result.exit_code == CertificateInvalid.exit_code
    document = json.loads(result.output)
    assert not document["ready"]
    assert {each["error"] for each in document["findings"]} == {None, "CertificateInvalid"}


def test_public_images_are_looked_at_before_serve_needs_them(home, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    found = failure(look(home, proxy=few), "proxy")
    assert found.error is DatasetNotFound
    assert "at least 16" in found.text
    for number in range(16):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(few / f"{number}.png")
    told = [each.text for each in look(home, proxy=few).all if each.check == "proxy"]
    assert len(told) == 1
    assert "16 public images" in told[0]
