"""Kits: written, read, and refused with the reason."""

from __future__ import annotations

import json

import pytest
from fakes.pki import Authority

from transplant.errors import CertificateInvalid
from transplant.rpc.channel import load_kit, write_kit

AUTHORITY = Authority()


@pytest.fixture
def kit():
    return AUTHORITY.kit("localhost:7443")


def test_there_and_back(kit, tmp_path):
    write_kit(tmp_path / "kit", kit)
    assert load_kit(tmp_path / "kit") == kit
    assert (tmp_path / "kit" / "key.pem").stat().st_mode & 0o777 == 0o600


def test_the_key_is_not_printed(kit):
    assert "PRIVATE KEY" not in repr(kit)


@pytest.mark.parametrize("name", ["ca.pem", "cert.pem", "key.pem", "kit.json"])
def test_a_missing_file_is_named(kit, tmp_path, name):
    write_kit(tmp_path, kit)
    (tmp_path / name).unlink()
    with pytest.raises(CertificateInvalid, match=rf"cannot read .*{name}: No such file"):
        load_kit(tmp_path)


@pytest.mark.parametrize("name", ["ca.pem", "cert.pem", "key.pem"])
def test_a_broken_file_is_refused(kit, tmp_path, name):
    write_kit(tmp_path, kit)
    (tmp_path / name).write_bytes(b"-----BEGIN NOTHING-----")
    with pytest.raises(CertificateInvalid, match="do not fit"):
        load_kit(tmp_path)


def test_a_key_of_another_certificate_is_refused(kit, tmp_path):
    write_kit(tmp_path, kit)
    (tmp_path / "key.pem").write_bytes(AUTHORITY.kit("localhost:1").key)
    with pytest.raises(CertificateInvalid, match=r"is not the key of cert\.pem"):
        load_kit(tmp_path)


@pytest.mark.parametrize("name", ["test CA", "another CA"])
def test_a_certificate_of_another_authority_is_refused(kit, tmp_path, name):
    write_kit(tmp_path, kit)
    (tmp_path / "ca.pem").write_bytes(Authority(name).cert)
    with pytest.raises(CertificateInvalid):
        load_kit(tmp_path)


def test_an_expired_certificate_is_refused(tmp_path):
    write_kit(tmp_path, AUTHORITY.kit("localhost:7443", first_day=-9, last_day=-2))
    with pytest.raises(CertificateInvalid, match=r"cert\.pem in .* expired on"):
        load_kit(tmp_path)


def test_a_certificate_from_the_future_asks_for_the_clock(tmp_path):
    write_kit(tmp_path, AUTHORITY.kit("localhost:7443", first_day=2, last_day=9))
    with pytest.raises(CertificateInvalid, match="is this machine's clock right"):
        load_kit(tmp_path)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"role": "root"}, "role"),
        ({"center": "localhost"}, "center"),
        ({"center": "http://localhost:80/x"}, "center"),
        ({"name": ""}, "name"),
        ({"password": "x"}, "password"),
    ],
)
def test_a_wrong_description_is_named(kit, tmp_path, change, path):
    write_kit(tmp_path, kit)
    document = json.loads((tmp_path / "kit.json").read_text()) | change
    (tmp_path / "kit.json").write_text(json.dumps(document))
    with pytest.raises(CertificateInvalid, match=rf"kit\.json: {path}"):
        load_kit(tmp_path)
