"""Every RPC there is, times everybody who must not call it: refused, with the right status.

The RPCs come from the descriptors, so that a new one without a rule, or without a line in the table of other
sites' ids below, fails here.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fakes.artifacts import sealed
from fakes.every_rpc import OWN, channel_of, every_rpc, send
from fakes.pki import Authority as OtherAuthority
from fakes.real_center import real_center
from fakes.refusals import TALLIES, unrefused
from fakes.registry_entries import add_merge
from fakes.served_clock import center_with_clock
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from central.home import identity_folder, open_registry
from central.identity.provision import revoke_certificates
from central.servicers.rights import RIGHTS
from transplant.rpc import convert
from transplant.rpc.channel import MESSAGE_BYTES, load_kit
from transplant.types import Identity, ModuleKind, Role, Task
from transplant.v1 import catalog_pb2, intake_pb2, manifest_pb2, merge_pb2, probe_pb2, validation_pb2

EVERY = every_rpc()
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
DENIED, UNKNOWN = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
NOT_FOUND, TOO_LARGE = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED
NO_CONNECTION = grpc.StatusCode.UNAVAILABLE
NOBODYS = "no right to call"
EMPTY = "an answer with nothing in it"


class World:
    """A real center with reflection on, a merge and an unpublished module of site dog, and channels."""

    def __init__(self, center, clock, stack):
        self.center, self.clock, self._stack = center, clock, stack
        self.address = center.serving.address
        self.folder = identity_folder(center.home)
        self.ca = self.folder.ca.read_bytes()
        self.authority = self.folder.authority()
        self.registry = open_registry(center.settings)
        stack.callback(self.registry.close)
        self.channels = {}
        center.kit("site-dog", categories=("dog",))
        with self.registry.write() as books:
            self.merge_key = add_merge(books).task.key
            self.f, _ = sealed(seed=7, site="site-dog", category="dog")
            self.g, _ = sealed(
                ModuleKind.TASK,
                Task.SEGMENTATION,
                seed=8,
                site="site-dog",
                category="dog",
                parents=(self.f.module_id,),
            )
            for manifest in (self.f, self.g):
                books.modules.add(manifest, clock.now())
        self.declared, _ = sealed(seed=9, site="site-dog", category="dog")
        self.upload_id = center.client("site-dog").declare(self.declared).upload_id

    def channel(self, cert=None, key=None, ca=None):
        if cert not in self.channels:
            opened = channel_of(self.address, ca or self.ca, cert, key)
            self.channels[cert] = self._stack.enter_context(opened)
        return self.channels[cert]

    def kit_channel(self, name, role):
        kit = load_kit(self.center.kit(name, role, ("cat",) if role is Role.SITE else ()))
        return self.channel(kit.cert, kit.key)

    def issued_channel(self, issued):
        return self.channel(issued.certificate_pem, issued.key_pem)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("central.merge.reconcile.Reconciler.run", lambda _self, stop: stop.wait())
        home = tmp_path_factory.mktemp("center")
        center, clock = stack.enter_context(center_with_clock(home, reflection=True, renewal="automatic"))
        yield World(center, clock, stack)


@pytest.fixture(scope="module")
def by_role(world):
    """One channel a role, each with every right that the role has."""
    return {role: world.kit_channel(f"good-{role.value}", role) for role in Role}


def refusals(channel, statuses, part="", rpcs=EVERY):
    """Call every RPC of the center and return those that were not refused as they must be."""
    return unrefused("center", channel, rpcs, statuses, part)


def test_every_rpc_has_a_rule_and_every_rule_an_rpc():
    assert {rpc.name for rpc in EVERY} == RIGHTS.keys()
    assert len({rpc.name for rpc in EVERY if rpc.name.startswith(OWN)}) >= 19


def test_who_has_the_right_is_let_in(by_role):
    """Without this, a server that refuses everybody would pass all that follows."""
    for rpc in EVERY:
        for role in RIGHTS[rpc.name]:
            status, details, _ = send(by_role[role], rpc, timeout_s=0.4)
            assert status not in {UNKNOWN, NO_CONNECTION, grpc.StatusCode.UNIMPLEMENTED}, rpc
            assert NOBODYS not in details, rpc


@pytest.mark.parametrize("role", Role)
def test_a_role_without_the_right_is_refused(by_role, role):
    without = [rpc for rpc in EVERY if role not in RIGHTS[rpc.name]]
    assert without
    assert refusals(by_role[role], {DENIED}, NOBODYS, without) == {}


def test_without_a_certificate_there_is_no_connection(world):
    with channel_of(world.address, world.ca) as channel:
        assert refusals(channel, {NO_CONNECTION}) == {}


def test_a_certificate_of_another_ca_gets_no_connection(world):
    kit = OtherAuthority("transplant CA").kit(world.address, "site-dog")
    with channel_of(world.address, world.ca, kit.cert, kit.key) as channel:
        assert refusals(channel, {NO_CONNECTION}) == {}


def test_a_certificate_that_had_expired_gets_no_connection(world):
    issued = world.authority.issue_client(Identity(Role.SITE, "site-dog"), days=-0.01)
    with channel_of(world.address, world.ca, issued.certificate_pem, issued.key_pem) as channel:
        assert refusals(channel, {NO_CONNECTION}) == {}


def test_a_certificate_that_expired_on_an_open_connection_is_refused(world):
    channel = world.kit_channel("soon-over", Role.OPERATOR)
    health = next(rpc for rpc in EVERY if rpc.name.endswith("Health/Check"))
    assert send(channel, health)[0] is grpc.StatusCode.OK
    world.clock.advance(2 * 86400)
    try:
        assert refusals(channel, {UNKNOWN}, "expired on") == {}
    finally:
        world.clock.advance(-2 * 86400)


def test_a_revoked_certificate_is_refused_on_an_open_connection_and_on_a_new_one(world):
    channel = world.kit_channel("revoked", Role.OPERATOR)
    health = next(rpc for rpc in EVERY if rpc.name.endswith("Health/Check"))
    assert send(channel, health)[0] is grpc.StatusCode.OK
    revoke_certificates(world.registry, world.clock, Role.OPERATOR, "revoked", None)
    assert refusals(channel, {UNKNOWN}, "was revoked") == {}
    kit = load_kit(world.center.home / "kits" / "operator-revoked")
    with channel_of(world.address, kit.ca, kit.cert, kit.key) as fresh:
        assert refusals(fresh, {UNKNOWN}, "was revoked") == {}


def test_a_certificate_of_our_ca_that_the_registry_does_not_know_is_refused(world):
    issued = world.authority.issue_client(Identity(Role.OPERATOR, "made-elsewhere"), days=1)
    assert refusals(world.issued_channel(issued), {UNKNOWN}, "has not issued") == {}


@pytest.mark.parametrize(
    "names",
    [
        ["transplant://janitor/site-dog"],
        ["https://site/site-dog"],
        ["transplant://site/site-dog", "transplant://operator/boss"],
    ],
)
def test_a_certificate_without_one_identity_is_refused(world, names):
    key = ec.generate_private_key(ec.SECP256R1())
    uris = [x509.UniformResourceIdentifier(name) for name in names]
    use = x509.ExtendedKeyUsageOID.CLIENT_AUTH
    cert = world.authority._sign(key.public_key(), "x", uris, use, timedelta(days=1))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    channel = world.channel(cert.public_bytes(Encoding.PEM), pem)
    assert refusals(channel, {UNKNOWN}, "no transplant identity") == {}


def let_in(rpc):
    """Return a role whose message is read at all: without the right a stream ends before that."""
    return next(iter(RIGHTS[rpc.name]), Role.OPERATOR)


def test_a_message_over_the_limit_is_refused_before_it_is_read(by_role):
    oversized = bytes(MESSAGE_BYTES + 1)
    for rpc in EVERY:
        assert send(by_role[let_in(rpc)], rpc, oversized)[0] is TOO_LARGE, rpc


def test_a_message_that_grows_over_the_limit_is_refused(by_role):
    """8 MiB of zeros are 8 KiB on the wire."""
    growing = bytes(8 << 20)
    for rpc in EVERY:
        assert send(by_role[let_in(rpc)], rpc, growing, gzip=True)[0] is TOO_LARGE, rpc


# What a site gets that names what is another's. None: the request has no id of anybody's in it.
OTHERS = {
    "Intake/Declare": lambda w: (
        intake_pb2.DeclareRequest(manifest=convert.manifest_to_proto(w.declared)),
        DENIED,
    ),
    "Intake/Upload": lambda w: (
        intake_pb2.UploadRequest(upload_id=w.upload_id, data=b"x", crc32c=0),
        NOT_FOUND,
    ),
    "Intake/Commit": lambda w: (
        intake_pb2.CommitRequest(upload_id=w.upload_id, sha256=w.declared.payload_sha256),
        NOT_FOUND,
    ),
    "Intake/UploadStatus": lambda w: (intake_pb2.UploadStatusRequest(upload_id=w.upload_id), NOT_FOUND),
    "Catalog/ListModules": lambda _: (catalog_pb2.ListModulesRequest(category="dog"), EMPTY),
    "Catalog/GetManifest": lambda w: (catalog_pb2.GetManifestRequest(module_id=w.f.module_id), NOT_FOUND),
    "Catalog/Download": lambda w: (catalog_pb2.DownloadRequest(module_id=w.f.module_id), NOT_FOUND),
    "Catalog/ListVersions": None,
    "Catalog/GetVersion": None,
    "Catalog/WatchEvents": None,  # without ids: which events a site sees is tested with the catalog
    "Merge/RequestMerge": lambda w: (
        merge_pb2.RequestMergeRequest(category_module=w.f.module_id, task_modules=[w.g.module_id]),
        NOT_FOUND,
    ),
    "Merge/ListMerges": lambda _: (merge_pb2.ListMergesRequest(category="dog"), EMPTY),
    "Merge/WatchMerge": lambda w: (merge_pb2.WatchMergeRequest(merge_key=w.merge_key), NOT_FOUND),
    "Merge/CancelMerge": lambda w: (merge_pb2.CancelMergeRequest(merge_key=w.merge_key), NOT_FOUND),
    "Validation/FetchCandidates": lambda _: (validation_pb2.FetchCandidatesRequest(), EMPTY),
    "Validation/ReportVerdict": lambda w: (verdict_on(w.merge_key), NOT_FOUND),
    "Probe/ListProbeRequests": lambda _: (probe_pb2.ListProbeRequestsRequest(category="dog"), DENIED),
    "Identity/Describe": None,
    "Identity/Renew": None,  # a request for another's certificate is tested with renewal
}


def verdict_on(merge_key):
    metrics = [manifest_pb2.Metric(name="error", value=10.0)]
    return validation_pb2.ReportVerdictRequest(
        merge_key=merge_key, teacher=metrics, transplanted=metrics, floor=metrics, sample_count=10
    )


def test_what_is_another_sites_is_refused_or_not_there(world):
    own = {rpc.name: rpc for rpc in EVERY if rpc.name.startswith(OWN)}
    assert own.keys() == {OWN + name for name in OTHERS}
    cat = world.kit_channel("site-cat", Role.SITE)
    wrong = {}
    for name, attempt in OTHERS.items():
        if attempt is None:
            continue
        request, expected = attempt(world)
        status, details, answers = send(cat, own[OWN + name], request.SerializeToString())
        if expected is EMPTY:
            refused = status is grpc.StatusCode.OK and answers == [b""]
        else:
            refused = status is expected and answers == []
        TALLIES["center"].add(refused=refused)
        if not refused:
            wrong[name] = (status.name, details, answers)
    assert wrong == {}
    dog = world.center.client("site-dog")  # and to whom it belongs it is still there
    assert dog.upload_status(world.upload_id).durable_offset == 0
    assert dog.get_manifest(world.f.module_id) == world.f


def test_reflection_is_off_unless_it_was_asked_for_and_then_the_operators(tmp_path):
    reflection = next(rpc for rpc in EVERY if rpc.name == REFLECTION)
    with real_center(tmp_path) as center:
        kit = load_kit(center.kit("boss", Role.OPERATOR))
        with channel_of(center.serving.address, kit.ca, kit.cert, kit.key) as channel:
            assert send(channel, reflection)[0] is grpc.StatusCode.UNIMPLEMENTED


def test_the_operator_is_told_the_services_and_anybody_known_their_health(by_role):
    reflection = next(rpc for rpc in EVERY if rpc.name == REFLECTION)
    asked = reflection_pb2.ServerReflectionRequest(list_services="*").SerializeToString()
    status, _, answers = send(by_role[Role.OPERATOR], reflection, asked)
    assert status is grpc.StatusCode.OK
    told = reflection_pb2.ServerReflectionResponse.FromString(answers[0])
    services = {service.name for service in told.list_services_response.service}
    assert services == {rpc.name.split("/")[1] for rpc in EVERY}
    health = next(rpc for rpc in EVERY if rpc.name.endswith("Health/Check"))
    for role in Role:
        status, _, answers = send(by_role[role], health)
        assert (
            health_pb2.HealthCheckResponse.FromString(answers[0]).status
            == health_pb2.HealthCheckResponse.SERVING
        )
