"""Renewal: who gets a new certificate for what, and what the operator's commands leave behind."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.clock import FakeClock
from typer.testing import CliRunner

from central.cli import app
from central.identity.authority import SERVER_NAME
from central.identity.files import IdentityFolder
from central.identity.peer import peer_of
from central.identity.provision import provision_authority
from central.identity.renewal import Renewals
from central.registry.registry import Registry
from central.registry.values import Certificate
from transplant.backends.system_clock import SystemClock
from transplant.errors import CertificateInvalid, InvalidSettings, NotAllowed, QuotaExceeded, TooLarge
from transplant.rpc.channel import Kit, load_kit
from transplant.rpc.renewal import renewable_from, signing_request
from transplant.types import Identity, Role

DOG = Identity(Role.SITE, "dog-site")
OLD_DAYS = 0.02  # half an hour, and valid since an hour before: the last third of its life has begun


@pytest.fixture
def registry(tmp_path):
    opened = Registry(f"sqlite:///{tmp_path}/registry.sqlite")
    opened.create()
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path):
    folder = IdentityFolder(tmp_path / "identity")
    provision_authority(folder, [], 3)
    return folder


def issue(registry, folder, days=OLD_DAYS, identity=DOG):
    issued = folder.authority().issue_client(identity, days)
    end = issued.certificate.not_valid_after_utc
    with registry.write() as books:
        books.sites.add_certificate(
            Certificate(issued.serial, identity.role, identity.name, end, revoked=False)
        )
    return issued


def kit_of(folder, issued, name=DOG.name):
    ca = folder.ca.read_bytes()
    return Kit(Role.SITE, name, "localhost:1", SERVER_NAME, ca, issued.certificate_pem, issued.key_pem)


def renewals(registry, folder, clock=None, *, automatic=True):
    return Renewals(registry, clock or SystemClock(), folder, automatic=automatic)


def test_an_old_certificate_gets_a_new_one_for_the_same_identity_and_another_key(registry, folder):
    issued = issue(registry, folder)
    _, request = signing_request(kit_of(folder, issued))
    certificate, ca = renewals(registry, folder).renew(issued.certificate_pem, request)
    assert ca == folder.ca.read_bytes()
    made = x509.load_pem_x509_certificate(certificate)
    peer = peer_of(certificate)
    assert peer.identity == DOG
    assert peer.serial != issued.serial
    assert made.public_key() == x509.load_pem_x509_csr(request).public_key()
    assert made.public_key() != issued.certificate.public_key()
    old = issued.certificate
    assert abs((made.not_valid_after_utc - old.not_valid_after_utc).total_seconds()) < 120
    assert made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value == (
        old.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    )
    with registry.read() as books:
        assert not books.sites.certificate(peer.serial).revoked
        assert not books.sites.certificate(issued.serial).revoked
        entry = books.audit.last(1)[0]
    assert (entry.actor, entry.action) == ("site dog-site", "CertificateRenewed")
    assert json.loads(entry.detail)["replaces"] == issued.serial


def test_the_operator_decides_and_youth_is_no_reason(registry, folder):
    issued = issue(registry, folder)
    _, request = signing_request(kit_of(folder, issued))
    with pytest.raises(NotAllowed, match="ask for a new kit"):
        renewals(registry, folder, automatic=False).renew(issued.certificate_pem, request)
    young = issue(registry, folder, days=30)
    clock = FakeClock(datetime.now(UTC))
    with pytest.raises(NotAllowed, match="can be renewed from"):
        renewals(registry, folder, clock).renew(young.certificate_pem, request)
    clock.advance((renewable_from(young.certificate_pem) - clock.now()).total_seconds())
    assert renewals(registry, folder, clock).renew(young.certificate_pem, request)


def test_who_never_takes_what_it_is_given_is_given_no_more(registry, folder):
    issued = issue(registry, folder)
    _, request = signing_request(kit_of(folder, issued))
    for _ in range(3):
        renewals(registry, folder).renew(issued.certificate_pem, request)
    with pytest.raises(QuotaExceeded, match="3 newer certificates"):
        renewals(registry, folder).renew(issued.certificate_pem, request)


def csr(uri="transplant://site/dog-site", key=None, uris=None):
    key = key or ec.generate_private_key(ec.SECP256R1())
    names = [x509.UniformResourceIdentifier(each) for each in uris or [uri]]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def tampered():
    request = x509.load_pem_x509_csr(csr()).public_bytes(Encoding.DER)
    broken = bytearray(request)
    broken[-1] ^= 1
    return x509.load_der_x509_csr(bytes(broken)).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("request_of", "error"),
    [
        (lambda: b"", InvalidSettings),
        (lambda: b"-----BEGIN NOTHING-----", InvalidSettings),
        (lambda: b"x" * 9000, TooLarge),
        (tampered, InvalidSettings),
        (lambda: csr("transplant://site/cat-site"), NotAllowed),
        (lambda: csr("transplant://operator/dog-site"), NotAllowed),
        (lambda: csr(uris=["transplant://site/dog-site", "transplant://operator/boss"]), NotAllowed),
        (lambda: csr(key=rsa.generate_private_key(65537, 2048)), InvalidSettings),
        (lambda: csr(key=ec.generate_private_key(ec.SECP384R1())), InvalidSettings),
    ],
)
def test_a_request_for_anything_else_is_refused_and_nothing_is_issued(registry, folder, request_of, error):
    issued = issue(registry, folder)
    with pytest.raises(error):
        renewals(registry, folder).renew(issued.certificate_pem, request_of())
    with registry.read() as books:
        assert [each.serial for each in books.sites.certificates()] == [issued.serial]


def test_without_the_ca_key_at_hand_it_says_so(registry, folder):
    issued = issue(registry, folder)
    _, request = signing_request(kit_of(folder, issued))
    folder.ca_key.unlink()
    with pytest.raises(CertificateInvalid, match=r"ca\.key is missing"):
        renewals(registry, folder).renew(issued.certificate_pem, request)


class Console:
    """The operator's command line over one home."""

    def __init__(self, tmp_path):
        self.home, self.out = tmp_path / "home", tmp_path / "kit"
        self("ca", "--host", "center.example.org")
        self("site", "dog-site", "--category", "dog", "--category", "wolf", *self._kit())

    def _kit(self):
        return ("--center", "center.example.org:7443", "--out", str(self.out))

    def __call__(self, command, *arguments):
        result = CliRunner().invoke(
            app, ["provision", command, *arguments, "--home", str(self.home)], catch_exceptions=False
        )
        assert result.exit_code == 0, result.output
        return result.output

    def refused(self, *arguments):
        result = CliRunner().invoke(app, ["provision", *arguments, "--home", str(self.home)])
        return result.exception

    def listed(self):
        document = json.loads(self("list", "--json"))
        return {identity["name"]: identity for identity in document["identities"]}, document


@pytest.fixture
def console(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return Console(tmp_path)


def states(identity):
    return [certificate["state"] for certificate in identity["certificates"]]


def test_the_operator_renews_lists_and_revokes_one(console):
    first = load_kit(console.out)
    console("renew", "site", "dog-site", "--out", str(console.out))
    second = load_kit(console.out)
    assert (second.name, second.center, second.ca) == (first.name, first.center, first.ca)
    assert second.cert != first.cert
    dog = console.listed()[0]["dog-site"]
    assert (dog["role"], dog["categories"], states(dog)) == ("site", ["dog", "wolf"], ["valid", "valid"])
    console("revoke", "--serial", peer_of(first.cert).serial.upper())
    dog = console.listed()[0]["dog-site"]
    by_serial = {each["serial"]: each["state"] for each in dog["certificates"]}
    assert by_serial == {peer_of(first.cert).serial: "revoked", peer_of(second.cert).serial: "valid"}
    assert "revoked" in console("list")
    console("revoke", "site", "dog-site")
    assert states(console.listed()[0]["dog-site"]) == ["revoked", "revoked"]
    assert "was revoked" in str(console.refused("renew", "site", "dog-site", "--out", str(console.out)))


def test_the_operator_renews_the_server_and_its_names_stay(console):
    folder = IdentityFolder(console.home / "identity")
    before, ca = folder.server.read_bytes(), folder.ca.read_bytes()
    told = console("renew", "server", "--host", "192.0.2.9", "--days", "9")
    assert "center.example.org" in told
    assert folder.ca.read_bytes() == ca
    made = x509.load_pem_x509_certificate(folder.server.read_bytes())
    assert made.serial_number != x509.load_pem_x509_certificate(before).serial_number
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {SERVER_NAME, "localhost", "center.example.org"} == set(names.get_values_for_type(x509.DNSName))
    assert {"127.0.0.1", "::1", "192.0.2.9"} == set(map(str, names.get_values_for_type(x509.IPAddress)))


def test_the_operator_withdraws_categories(console):
    assert "may bring wolf" in console("withdraw", "dog-site", "--category", "dog")
    assert console.listed()[0]["dog-site"]["categories"] == ["wolf"]
    assert "nothing else to withdraw" in str(console.refused("withdraw", "dog-site", "--category", "dog"))
    assert "not let in" in console("withdraw", "dog-site")
    assert console.listed()[0]["dog-site"]["categories"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("renew", "site", "nobody", "--out", "kit"),
        ("renew", "site", "dog-site"),
        ("renew", "server", "--out", "kit"),
        ("renew", "king", "dog-site", "--out", "kit"),
        ("revoke",),
        ("revoke", "site"),
        ("revoke", "--serial", "abc"),
        ("revoke", "site", "dog-site", "--serial", "abc"),
        ("withdraw", "nobody"),
    ],
)
def test_a_mistyped_command_changes_nothing(console, arguments):
    before = console.listed()
    error = console.refused(*(str(console.out) if each == "kit" else each for each in arguments))
    assert isinstance(error, InvalidSettings)
    assert console.listed() == before
