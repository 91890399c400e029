"""`transplant-edge preflight` against a real center: every fault is named, and what to do about it."""

from __future__ import annotations

import json
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import grpc
import pytest
from cryptography import x509
from fakes.pki import Authority
from fakes.served_clock import center_with_clock, later

from central.home import open_registry
from central.identity.provision import revoke_certificates
from edge import cli
from edge.preflight.site_checks import Subject, preflight
from transplant.errors import (
    CenterUnreachable,
    CertificateInvalid,
    DatasetNotFound,
    InvalidSettings,
    NotAllowed,
    NotAuthenticated,
    StorageFull,
)
from transplant.rpc.channel import load_kit, server_credentials, write_kit
from transplant.rpc.findings import Level
from transplant.types import Role


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with center_with_clock(tmp_path_factory.mktemp("center")) as (center, clock):
        yield center, clock


@pytest.fixture
def center(served):
    return served[0]


@pytest.fixture
def kit(center, tmp_path):
    made = center.kit("site-dog", categories=("dog",))
    return shutil.copytree(made, tmp_path / "kit")


def look(center, kit, address=None, **more):
    return preflight(Subject(kit, address or center.serving.address, **more))


def failure(findings, check):
    found = [each for each in findings.all if each.level is Level.FAILURE]
    assert [each.check for each in found] == [check]
    return found[0]


def test_where_all_is_well_every_check_says_so(center, kit, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").touch()
    data = f"folder:{tmp_path / 'data'}"
    findings = look(center, kit, home=tmp_path / "a" / "home", category="dog", data=data)
    assert {each.level for each in findings.all} == {Level.OK}
    assert [each.check for each in findings.all] == [
        "kit files",
        "key mode",
        "certificate",
        "name",
        "connection",
        "center's certificate",
        "rights",
        "clock",
        "version",
        "home",
        "disk",
        "data",
    ]
    assert findings.exit_code == 0
    assert findings.lines()[-1] == "ready: 0 failures, 0 warnings"
    assert not (tmp_path / "a").exists()  # looking makes nothing


@pytest.mark.parametrize("name", ["ca.pem", "cert.pem", "key.pem"])
def test_a_file_that_is_missing_is_named_and_the_rest_is_still_looked_at(center, kit, name):
    (kit / name).unlink()
    findings = look(center, kit)
    found = failure(findings, "kit files")
    assert name in found.text
    assert found.error is CertificateInvalid
    assert findings.exit_code == CertificateInvalid.exit_code
    assert "connection" in {each.check for each in findings.all}


def test_a_key_that_others_can_read(center, kit):
    (kit / "key.pem").chmod(0o640)
    assert "chmod 600" in failure(look(center, kit), "key mode").text


def test_a_key_of_another_kit(center, kit):
    other = center.kit("site-cat", categories=("cat",))
    shutil.copy(other / "key.pem", kit)
    assert "is not the key of cert.pem" in failure(look(center, kit), "certificate").text


def test_a_kit_that_is_not_a_sites(center):
    operator = center.kit("boss", Role.OPERATOR)
    assert "of the role operator" in failure(look(center, operator), "certificate").text


def test_a_certificate_that_is_about_to_expire_is_a_warning(served, kit, monkeypatch):
    center, _ = served
    end = x509.load_pem_x509_certificate((kit / "cert.pem").read_bytes()).not_valid_after_utc
    monkeypatch.setattr("edge.preflight.site_checks.renewable_from", lambda _: end.replace(year=2000))
    findings = look(center, kit)
    assert [each.check for each in findings.all if each.level is Level.WARNING] == ["certificate"]
    assert findings.exit_code == 0


def test_an_expired_certificate(center, tmp_path):
    write_kit(tmp_path, Authority().kit("localhost:1", first_day=-9, last_day=-2))
    assert "expired on" in failure(look(center, tmp_path), "certificate").text


@pytest.mark.parametrize(
    "address",
    ["localhost:0", "localhost", "localhost:99999"],
)
def test_an_address_that_is_none(center, kit, address):
    found = failure(look(center, kit, address), "address")
    assert "is not HOST:PORT" in found.text
    assert found.error is CenterUnreachable


def test_a_name_that_is_nobodys(center, kit, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("transplant.rpc.tls_probe.socket.getaddrinfo", unknown)
    found = failure(look(center, kit), "name")
    assert "cannot be resolved" in found.text
    assert found.error is CenterUnreachable


def test_a_port_where_nobody_listens(center, kit):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        assert "is the center serving" in failure(look(center, kit, address), "connection").text


@contextmanager
def grpc_server(issued, ca):
    """Serve nothing at all, with a given certificate."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", server_credentials(ca, issued.cert, issued.key))
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


CA = Authority()


@pytest.mark.parametrize(
    ("issued", "said"),
    [
        (lambda: Authority("test CA").server(), "was not issued by the CA of this kit"),
        (lambda: CA.issue([x509.DNSName("localhost")], -9, -2), "renew server"),
        (lambda: CA.issue([x509.DNSName("localhost")], 2, 9), "clock is behind"),
        (lambda: CA.server(("elsewhere.example.org",)), "is for elsewhere.example.org, not for localhost"),
    ],
)
def test_a_center_whose_certificate_cannot_be_trusted(tmp_path, issued, said):
    write_kit(tmp_path, CA.kit("localhost:1"))
    with grpc_server(issued(), CA.cert) as address:
        found = failure(preflight(Subject(tmp_path, address)), "center's certificate")
    assert said in found.text
    assert found.error is CertificateInvalid


def test_a_port_that_does_not_speak_tls(tmp_path):
    write_kit(tmp_path, CA.kit("localhost:1"))
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    found = failure(preflight(Subject(tmp_path, f"127.0.0.1:{port}")), "center's certificate")
    server.stop(0).wait()
    assert "is this the center's port" in found.text
    assert found.error is CenterUnreachable


def test_a_center_of_an_older_release(tmp_path):
    write_kit(tmp_path, CA.kit("localhost:1"))
    with grpc_server(CA.server(), CA.cert) as address:
        assert (
            "older than this site's program" in failure(preflight(Subject(tmp_path, address)), "rights").text
        )


def test_a_revoked_certificate_and_a_category_that_is_not_the_sites(served, center, tmp_path):
    directory = shutil.copytree(center.kit("site-owl", categories=("owl",)), tmp_path / "owl")
    found = failure(look(center, directory, category="dog"), "rights")
    assert "may bring owl, not dog" in found.text
    assert found.error is NotAllowed
    registry = open_registry(center.settings)
    revoke_certificates(registry, served[1], Role.SITE, "site-owl", None)
    registry.close()
    found = failure(look(center, directory), "rights")
    assert "was revoked" in found.text
    assert found.error is NotAuthenticated


def test_files_of_two_kits(center, kit):
    about = json.loads((kit / "kit.json").read_text())
    (kit / "kit.json").write_text(json.dumps(about | {"name": "site-cat"}))
    assert "of two kits" in failure(look(center, kit), "rights").text


def test_a_clock_that_is_off(served, kit):
    center, clock = served
    with later(clock, 120):
        findings = look(center, kit)
        warned = [each for each in findings.all if each.level is Level.WARNING]
        assert [each.check for each in warned] == ["clock"]
        assert "behind the center's" in warned[0].text
    with later(clock, -1200):
        assert "ahead of the center's" in failure(look(center, kit), "clock").text


def test_a_center_that_speaks_another_protocol(center, kit, monkeypatch):
    monkeypatch.setattr("edge.preflight.site_checks.PROTOCOL", 0)
    assert "the site has to be updated" in failure(look(center, kit), "version").text


def test_a_home_and_data_that_cannot_be_used(center, kit, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    found = failure(look(center, kit, home=tmp_path / "file" / "home"), "home")
    assert "cannot be written" in found.text
    monkeypatch.setattr(
        "edge.preflight.site_checks.shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 20)
    )
    found = failure(look(center, kit, home=tmp_path), "disk")
    assert found.error is StorageFull
    found = failure(look(center, kit, data=f"folder:{tmp_path / 'nowhere'}"), "data")
    assert found.error is DatasetNotFound
    (tmp_path / "empty").mkdir()
    assert "is empty" in failure(look(center, kit, data=f"folder:{tmp_path / 'empty'}"), "data").text
    assert failure(look(center, kit, data="nonsense"), "data").error is InvalidSettings


def test_the_command_prints_json_and_ends_with_the_errors_code(center, kit, capsys):
    assert cli.run(["preflight", "--kit", str(kit), "--center", center.serving.address, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ready"]
    (kit / "key.pem").chmod(0o644)
    code = cli.run(["preflight", "--kit", str(kit), "--center", center.serving.address])
    assert code == CertificateInvalid.exit_code
    told = capsys.readouterr().out
    assert "not ready: 1 failures, 0 warnings" in told
    assert "Traceback" not in told
    assert load_kit(kit).name == "site-dog"
