"""Certificates: what is issued, what is read back, what is refused."""

from __future__ import annotations

import json
import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.clock import FakeClock
from fakes.pki import Authority as OtherAuthority

from central.identity.authority import SERVER_NAME, identity_uri, new_authority
from central.identity.files import IdentityFolder
from central.identity.peer import Peer, peer_of
from central.identity.provision import provision_authority, provision_kit
from central.registry.registry import Registry
from central.registry.values import Certificate
from central.servicers.access import AccessInterceptor
from transplant.backends.system_clock import SystemClock
from transplant.errors import CertificateInvalid, InvalidName, InvalidSettings, NotAllowed, NotAuthenticated
from transplant.rpc.channel import load_kit
from transplant.types import Identity, Role

DOG = Identity(Role.SITE, "dog-site")


@pytest.fixture
def registry(tmp_path):
    opened = Registry(f"sqlite:///{tmp_path}/registry.sqlite")
    opened.create()
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path):
    return IdentityFolder(tmp_path / "identity")


def provision(registry, folder, out, identity=DOG, categories=("dog",), center="localhost:7443"):
    provision_kit(
        registry,
        SystemClock(),
        folder.authority(),
        identity,
        categories=categories,
        center=center,
        days=3,
        out=out,
    )


def test_a_kit_is_complete_private_and_known_to_the_registry(registry, folder, tmp_path):
    assert provision_authority(folder, ["center.example.org", "192.0.2.7"], 3)
    provision(registry, folder, tmp_path / "kit")
    kit = load_kit(tmp_path / "kit")
    assert (kit.role, kit.name, kit.center, kit.server_name) == (
        Role.SITE,
        "dog-site",
        "localhost:7443",
        SERVER_NAME,
    )
    assert json.loads((tmp_path / "kit" / "kit.json").read_text()).keys() == {
        "role",
        "name",
        "center",
        "server_name",
    }
    peer = peer_of(kit.cert)
    assert peer.identity == DOG
    with registry.read() as books:
        assert books.sites.certificate(peer.serial) is not None
        assert books.sites.categories("dog-site") == {"dog"}
    private = [tmp_path / "kit" / "key.pem", folder.ca_key, folder.server_key]
    assert [stat.S_IMODE(path.stat().st_mode) for path in private] == [0o600] * 3
    assert stat.S_IMODE((tmp_path / "kit").stat().st_mode) == 0o700


def test_the_server_certificate_names_its_hosts(folder):
    provision_authority(folder, ["center.example.org", "192.0.2.7"], 3)
    server = x509.load_pem_x509_certificate(folder.server.read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [SERVER_NAME, "localhost", "center.example.org"]
    assert "192.0.2.7" in map(str, names.get_values_for_type(x509.IPAddress))
    server.verify_directly_issued_by(x509.load_pem_x509_certificate(folder.ca.read_bytes()))


def test_a_ca_is_never_replaced(folder):
    provision_authority(folder, [], 3)
    before = folder.ca.read_bytes(), folder.ca_key.read_bytes(), folder.server.read_bytes()
    assert not provision_authority(folder, ["new.example.org"], 3)
    after = folder.ca.read_bytes(), folder.ca_key.read_bytes(), folder.server.read_bytes()
    assert after[:2] == before[:2]
    assert after[2] != before[2]
    folder.ca.unlink()
    with pytest.raises(CertificateInvalid, match="put it back"):
        provision_authority(folder, [], 3)


def test_what_is_missing_or_mixed_up_is_said(folder, tmp_path):
    with pytest.raises(CertificateInvalid, match="provision ca"):
        folder.authority()
    with pytest.raises(CertificateInvalid, match="provision ca"):
        folder.server_credentials()
    provision_authority(folder, [], 3)
    other = IdentityFolder(tmp_path / "other")
    provision_authority(other, [], 3)
    folder.ca_key.write_bytes(other.ca_key.read_bytes())
    with pytest.raises(CertificateInvalid, match="is not the key of"):
        folder.authority()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"categories": ()}, InvalidSettings),
        ({"categories": ("Not A Name",)}, InvalidName),
        ({"center": "localhost"}, InvalidSettings),
        ({"center": "localhost:0"}, InvalidSettings),
        ({"identity": Identity(Role.SITE, "../escape")}, InvalidName),
        ({"identity": Identity(Role.SITE, "central")}, InvalidSettings),
    ],
)
def test_a_kit_with_a_mistake_is_not_made(registry, folder, tmp_path, changes, error):
    provision_authority(folder, [], 3)
    with pytest.raises(error):
        provision(registry, folder, tmp_path / "kit", **changes)
    assert not (tmp_path / "kit").exists()
    with registry.read() as books:
        assert books.sites.all() == {}


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["https://site/dog-site"],
        ["transplant://king/dog-site"],
        ["transplant://site/"],
        ["transplant://site/a/b"],
        ["transplant://site/Dog"],
        ["transplant://site/a", "transplant://operator/a"],
    ],
)
def test_a_certificate_without_one_identity_is_nobody(uris):
    names = [x509.UniformResourceIdentifier(uri) for uri in uris] or [x509.DNSName("localhost")]
    issued = OtherAuthority().issue(names)
    with pytest.raises(NotAuthenticated):
        peer_of(issued.cert)


def test_bytes_that_are_no_certificate_are_nobody():
    with pytest.raises(NotAuthenticated):
        peer_of(b"-----BEGIN NOTHING-----")


def test_every_call_is_checked_against_registry_clock_and_table(registry):
    clock = FakeClock()
    access = AccessInterceptor(registry, clock)
    authority = new_authority()
    issued = authority.issue_client(DOG, 3)
    peer = peer_of(issued.certificate.public_bytes(Encoding.PEM))
    assert identity_uri(peer.identity) == "transplant://site/dog-site"
    method = "/transplant.v1.Intake/Declare"
    with pytest.raises(NotAuthenticated, match="has not issued"):
        access.check(method, peer)
    certificate = Certificate(issued.serial, DOG.role, DOG.name, peer.expires_at, revoked=False)
    with registry.write() as books:
        books.sites.add_certificate(certificate)
    with pytest.raises(NotAllowed, match="withdrawn"):
        access.check(method, peer)
    with registry.write() as books:
        books.sites.admit("dog-site", ["dog"], clock.now())
    access.check(method, peer)
    for unknown in ("/transplant.v1.Intake/DropEverything", "", "/transplant.v1.Intake/declare"):
        with pytest.raises(NotAllowed):
            access.check(unknown, peer)
    with pytest.raises(NotAuthenticated, match="has not issued"):  # another name under a known serial
        access.check(method, Peer(Identity(Role.OPERATOR, "boss"), peer.serial, peer.expires_at))
    with registry.write() as books:
        books.sites.revoke(Role.SITE, "dog-site", clock.now())
    with pytest.raises(NotAuthenticated, match="revoked"):
        access.check(method, peer)
    clock.advance((peer.expires_at - clock.now()).total_seconds() + 1)
    with pytest.raises(NotAuthenticated, match="expired"):
        access.check(method, peer)
