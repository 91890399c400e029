"""Every RPC of the server of predictions, times all who must not call it: refused, with the right status.

The RPCs come from the descriptors, as they do for the center (`test_access_matrix`).
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import grpc
import pytest
from fakes.clock import FakeClock
from fakes.every_rpc import channel_of, every_prediction_rpc, send
from fakes.pki import Authority as OtherAuthority
from fakes.real_center import FAST, RealCenter
from fakes.refusals import unrefused

from central.home import identity_folder, open_registry
from central.identity.provision import provision_authority, revoke_certificates, withdraw_site
from central.serving.asks import MOST_BYTES, Description
from central.serving.grpc_front import RIGHTS, SERVICE, GrpcFront
from central.serving.net_source import CenterSource
from central.settings import read_settings
from transplant.rpc.channel import load_kit
from transplant.types import Identity, Role, Task

EVERY = every_prediction_rpc()
WATCH = "/grpc.health.v1.Health/Watch"  # it would hold a thread for ever: nobody may
DENIED, UNKNOWN = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
NO_CONNECTION, TOO_LARGE = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED


class Answers:
    """Answers what needs no net."""

    def ask(self, ask):
        raise AssertionError(f"nobody asks anything here: {ask}")

    def describe(self):
        return Description(3, "0" * 64, {Task.CLASSIFICATION: ("dog",)})


class World:
    """A home with a CA, and a server of predictions before its registry."""

    def __init__(self, home):
        provision_authority(identity_folder(home), (), 1)
        self.center = RealCenter(home, read_settings({"home": home, **FAST}))
        self.registry = open_registry(self.center.settings)
        self.ca = identity_folder(home).ca.read_bytes()
        self.clock = FakeClock(datetime.now(UTC))

    @contextmanager
    def serving(self, rights=RIGHTS):
        """Yield the address of a server with these rights."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("central.serving.net_source.SystemClock", lambda: self.clock)
            patch.setattr("central.serving.net_source.RIGHTS", rights)
            source = CenterSource(self.center.settings, guide_images=0)
            front = GrpcFront(Answers(), "127.0.0.1:0", *source.access())
        front.start()
        try:
            yield front.address
        finally:
            front.stop()
            source.close()

    def kit(self, name, role=Role.READER):
        return load_kit(self.center.kit(name, role, ("dog",) if role is Role.SITE else ()))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("home"))
    yield made
    made.registry.close()


@pytest.fixture(scope="module")
def address(world):
    with world.serving() as address:
        yield address


def refusals(channel, status, part="", rpcs=EVERY):
    """Call every RPC of the server of predictions and return those that were not refused as they must be."""
    return unrefused("predictions", channel, rpcs, {status}, part)


def test_every_rpc_has_a_rule_and_every_rule_an_rpc():
    assert {rpc.name for rpc in EVERY} == RIGHTS.keys() | {WATCH}
    assert len([rpc for rpc in EVERY if rpc.name.startswith(f"/{SERVICE}/")]) >= 2


@pytest.mark.parametrize("role", Role)
def test_who_has_the_right_is_let_in(world, address, role):
    """Without this, a server that refuses everybody would pass all that follows."""
    kit = world.kit(f"good-{role.value}", role)
    with channel_of(address, world.ca, kit.cert, kit.key) as channel:
        for rpc in EVERY:
            status, details, answers = send(channel, rpc)
            if role not in RIGHTS.get(rpc.name, ()):
                assert (status, "no right to call" in details) == (DENIED, True), rpc
            elif rpc.name.endswith("/Predict"):
                assert (status, details.endswith("task: say which")) == (
                    grpc.StatusCode.INVALID_ARGUMENT,
                    True,
                )
            else:
                assert (status, len(answers)) == (grpc.StatusCode.OK, 1), rpc


def test_a_role_without_the_right_is_refused(world):
    kit = world.kit("wrong", Role.SITE)
    with (
        world.serving(dict.fromkeys(RIGHTS, frozenset({Role.READER, Role.OPERATOR}))) as address,
        channel_of(address, world.ca, kit.cert, kit.key) as channel,
    ):
        assert refusals(channel, DENIED, "no right to call") == {}


def test_a_site_that_was_withdrawn_is_refused(world, address):
    kit = world.kit("withdrawn", Role.SITE)
    withdraw_site(world.registry, "withdrawn", ())
    with channel_of(address, world.ca, kit.cert, kit.key) as channel:
        rpcs = [rpc for rpc in EVERY if rpc.name in RIGHTS]
        assert refusals(channel, DENIED, "was withdrawn", rpcs) == {}


@pytest.mark.parametrize("who", ["nobody", "another CA's", "expired"])
def test_without_a_good_certificate_there_is_no_connection(world, address, who):
    with ExitStack() as stack:
        if who == "nobody":
            pair = (None, None)
        elif who == "expired":
            authority = identity_folder(world.center.home).authority()
            issued = authority.issue_client(Identity(Role.READER, "late"), days=-0.01)
            pair = (issued.certificate_pem, issued.key_pem)
        else:
            foreign = OtherAuthority("transplant CA").kit(address, "site-dog")
            pair = (foreign.cert, foreign.key)
        channel = stack.enter_context(channel_of(address, world.ca, *pair))
        assert refusals(channel, NO_CONNECTION) == {}


def test_a_certificate_that_expired_or_was_revoked_is_refused_on_an_open_connection(world, address):
    kit = world.kit("soon-over")
    with channel_of(address, world.ca, kit.cert, kit.key) as channel:
        assert send(channel, EVERY[0])[0] is not UNKNOWN
        world.clock.advance(2 * 86400)
        try:
            assert refusals(channel, UNKNOWN, "expired on") == {}
        finally:
            world.clock.advance(-2 * 86400)
        assert send(channel, EVERY[0])[0] is not UNKNOWN
        revoke_certificates(world.registry, world.clock, Role.READER, "soon-over", None)
        assert refusals(channel, UNKNOWN, "was revoked") == {}


def test_a_certificate_of_our_ca_that_the_registry_does_not_know_is_refused(world, address):
    authority = identity_folder(world.center.home).authority()
    issued = authority.issue_client(Identity(Role.OPERATOR, "made-elsewhere"), days=1)
    with channel_of(address, world.ca, issued.certificate_pem, issued.key_pem) as channel:
        assert refusals(channel, UNKNOWN, "has not issued") == {}


def test_a_message_over_the_limit_is_refused_before_it_is_read(world, address):
    kit = world.kit("large")
    with channel_of(address, world.ca, kit.cert, kit.key) as channel:
        for rpc in EVERY:
            assert send(channel, rpc, bytes(MOST_BYTES + (2 << 20)))[0] is TOO_LARGE, rpc
