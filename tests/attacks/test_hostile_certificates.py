"""Certificates that must not get anybody in, or not as whom they say: a real center, one call each."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fakes.attacks import Attacks, check
from fakes.every_rpc import channel_of
from fakes.pki import Authority as OtherAuthority
from fakes.served_clock import center_with_clock

from central.home import identity_folder, open_registry
from central.identity.provision import revoke_certificates, withdraw_site
from transplant.errors import CenterUnreachable, CertificateInvalid, NotAllowed, NotAuthenticated
from transplant.rpc.channel import load_kit
from transplant.types import Identity, Role
from transplant.v1 import catalog_pb2, intake_pb2, validation_pb2
from transplant.v1.catalog_pb2_grpc import CatalogStub
from transplant.v1.intake_pb2_grpc import IntakeStub
from transplant.v1.validation_pb2_grpc import ValidationStub

CALL_S = 20
DOG = Identity(Role.SITE, "site-dog")
CLIENT, SERVER = x509.ExtendedKeyUsageOID.CLIENT_AUTH, x509.ExtendedKeyUsageOID.SERVER_AUTH
CLOSED = grpc.StatusCode.UNAVAILABLE  # the handshake fails: there is no connection and no call
attacks = Attacks()


class World:
    """A center that has issued site-dog's certificate, and its CA's key in the hands of the test."""

    def __init__(self, center, clock, stack):
        self.center, self.clock, self.stack = center, clock, stack
        self.folder = identity_folder(center.home)
        self.ca, self.authority = self.folder.ca.read_bytes(), self.folder.authority()
        self.kit = load_kit(center.kit("site-dog", categories=("dog",)))
        self.registry = open_registry(center.settings)
        stack.callback(self.registry.close)
        self.call(self.kit.cert, self.kit.key)  # the honest one gets in

    def channel(self, cert=None, key=None, ca=None):
        address = self.center.serving.address
        return self.stack.enter_context(channel_of(address, ca or self.ca, cert, key))

    def call(self, cert=None, key=None, ca=None):
        """Ask for the list of modules, which everybody may."""
        stub = CatalogStub(self.channel(cert, key, ca))
        return stub.ListModules(catalog_pb2.ListModulesRequest(), timeout=CALL_S)

    def signed(self, *names, use=CLIENT, days=1.0):
        """Return a certificate of this CA with these names in it, as no provisioning would make it."""
        key = ec.generate_private_key(ec.SECP256R1())
        uris = [x509.UniformResourceIdentifier(name) for name in names]
        made = self.authority._sign(key.public_key(), "x", uris, use, timedelta(days=days))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return made.public_bytes(Encoding.PEM), pem

    def fresh_kit(self, name, role=Role.SITE):
        return load_kit(self.center.kit(name, role, ("fox",) if role is Role.SITE else ()))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with ExitStack() as stack:
        home = tmp_path_factory.mktemp("center")
        yield World(*stack.enter_context(center_with_clock(home)), stack)


@attacks(CenterUnreachable, CLOSED)
def no_certificate(w):
    """A caller who shows none."""
    w.call()


@attacks(CenterUnreachable, CLOSED)
def a_foreign_ca(w):
    """Another CA of the same name, and a certificate that says site-dog."""
    kit = OtherAuthority("transplant CA").kit("127.0.0.1:1", "site-dog")
    w.call(kit.cert, kit.key)


@attacks(CertificateInvalid, CLOSED, message="do not trust each other")
def a_center_of_a_foreign_ca(w):
    """The other way round: a site that was given another CA does not talk to this center."""
    w.call(w.kit.cert, w.kit.key, OtherAuthority().cert)


@attacks(CenterUnreachable, CLOSED)
def signed_by_itself(w):
    """A certificate that vouches for itself."""
    other = OtherAuthority()
    kit = other.kit("127.0.0.1:1", "site-dog")
    w.call(kit.cert + other.cert, kit.key)


@attacks(CenterUnreachable, CLOSED)
def expired(w):
    """One that has expired since."""
    issued = w.authority.issue_client(DOG, days=-0.01)
    w.call(issued.certificate_pem, issued.key_pem)


@attacks(CenterUnreachable, CLOSED)
def the_servers_own_use(w):
    """One that is for servers only."""
    w.call(*w.signed("transplant://site/site-dog", use=SERVER))


@attacks(NotAuthenticated, message="expired on")
def expired_on_an_open_connection(w):
    """The connection is older than the end of its certificate."""
    stub = CatalogStub(w.channel(w.kit.cert, w.kit.key))
    stub.ListModules(catalog_pb2.ListModulesRequest(), timeout=CALL_S)
    w.clock.advance(2 * 86400)
    try:
        stub.ListModules(catalog_pb2.ListModulesRequest(), timeout=CALL_S)
    finally:
        w.clock.advance(-2 * 86400)


@attacks(NotAuthenticated, message="was revoked")
def revoked(w):
    """One that the operator has revoked."""
    kit = w.fresh_kit("site-fox")
    revoke_certificates(w.registry, w.clock, Role.SITE, "site-fox", None)
    w.call(kit.cert, kit.key)


@attacks(NotAuthenticated, message="was revoked")
def revoked_on_an_open_connection(w):
    """The same, where the connection was there before."""
    kit = w.fresh_kit("site-wolf")
    stub = CatalogStub(w.channel(kit.cert, kit.key))
    stub.ListModules(catalog_pb2.ListModulesRequest(), timeout=CALL_S)
    revoke_certificates(w.registry, w.clock, Role.SITE, "site-wolf", None)
    stub.ListModules(catalog_pb2.ListModulesRequest(), timeout=CALL_S)


@attacks(NotAuthenticated, message="has not issued")
def never_issued_here(w):
    """A certificate of this CA that the registry has never seen: its key was misused."""
    issued = w.authority.issue_client(DOG, days=1)
    w.call(issued.certificate_pem, issued.key_pem)


@attacks(NotAllowed, message="was withdrawn")
def of_a_site_that_was_withdrawn(w):
    """A good certificate of a site that may bring nothing any more."""
    kit = w.fresh_kit("site-cow")
    withdraw_site(w.registry, "site-cow", [])
    w.call(kit.cert, kit.key)


@attacks(NotAllowed, message="has no right to call")
def a_reader_who_declares(w):
    """A role that may read and not bring."""
    kit = w.fresh_kit("curious", Role.READER)
    IntakeStub(w.channel(kit.cert, kit.key)).Declare(intake_pb2.DeclareRequest(), timeout=CALL_S)


@attacks(NotAllowed, message="has no right to call")
def an_operator_who_judges(w):
    """Not even the operator gives a verdict on data that is not here."""
    kit = w.fresh_kit("boss", Role.OPERATOR)
    stub = ValidationStub(w.channel(kit.cert, kit.key))
    stub.ReportVerdict(validation_pb2.ReportVerdictRequest(), timeout=CALL_S)


NAMES = {
    "no_name_at_all": (),
    "another_scheme": ("https://site/site-dog",),
    "a_role_of_nobody": ("transplant://janitor/site-dog",),
    "a_role_in_capitals_and_spaces": ("transplant://SITE%20/site-dog",),
    "two_identities": ("transplant://site/site-dog", "transplant://operator/boss"),
    "a_path_for_a_name": ("transplant://site/../operator/boss",),
    "a_name_in_capitals": ("transplant://site/Site-Dog",),
    "a_name_with_an_end": ("transplant://site/site-dog%00",),
    "no_name_after_the_role": ("transplant://site/",),
    "an_endless_name": ("transplant://site/" + "a" * 4000,),
    "a_user_before_the_role": ("transplant://site@operator/../boss",),
}


def signed_with(name, uris):
    def case(w):
        """A certificate of this CA whose names are no identity of ours, or more than one."""
        w.call(*w.signed(*uris))

    case.__name__ = name
    return case


for name, uris in NAMES.items():
    attacks(NotAuthenticated, message="no transplant identity")(signed_with(name, uris))


@pytest.mark.parametrize("attack", attacks.table, ids=str)
def test_ends_in_its_error(world, attack):
    check(attack, world)
