"""Certificates change while everything runs: the server's at the next handshake, a site's by itself."""

from __future__ import annotations

import logging
import shutil

import pytest
from fakes.pki import Authority as OtherAuthority
from fakes.served_clock import center_with_clock, later

from central.home import identity_folder, open_registry
from central.identity.peer import peer_of
from central.identity.renewal import renew_kit, renew_server
from edge.renewal import AGAIN_S, KitRenewal
from transplant.errors import NotAllowed
from transplant.rpc.channel import load_kit
from transplant.rpc.client import CentralClient
from transplant.rpc.retry import RetryPolicy
from transplant.rpc.tls_probe import handshake, split_address
from transplant.types import Identity, Role

QUICK = RetryPolicy(deadline_s=5)
LATE_S = 20 * 3600  # of a certificate of one day: the last third of its life


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with center_with_clock(tmp_path_factory.mktemp("center"), renewal="automatic") as (center, clock):
        yield center, clock


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    with center_with_clock(tmp_path_factory.mktemp("by-hand")) as (center, clock):
        yield center, clock


def renewed(center):
    registry = open_registry(center.settings)
    renew_server(registry, identity_folder(center.home), (), 2)
    with registry.read() as books:
        entry = books.audit.last(1)[0]
    registry.close()
    assert (entry.actor, entry.action, entry.subject) == ("console", "CertificateRenewed", "server")


def serial_at(kit, directory, address):
    return handshake(kit, directory, *split_address(address), 5.0).serial_number


def test_a_renewed_server_certificate_is_used_without_a_restart(served):
    center, _ = served
    directory = center.kit("site-dog", categories=("dog",))
    kit, address = load_kit(directory), center.serving.address
    before = serial_at(kit, directory, address)
    with CentralClient(kit, address, policy=QUICK) as old:
        old.describe()
        renewed(center)
        assert serial_at(kit, directory, address) != before
        with CentralClient(kit, address, policy=QUICK) as new:
            assert new.describe().identity == old.describe().identity  # the open connection goes on


def test_a_pair_that_does_not_fit_is_not_taken_and_the_old_one_goes_on(served):
    center, _ = served
    directory = center.kit("site-cat", categories=("cat",))
    kit, address = load_kit(directory), center.serving.address
    folder = identity_folder(center.home)
    before = serial_at(kit, directory, address)
    key = folder.server_key.read_bytes()
    folder.server_key.write_bytes(OtherAuthority().server().key)
    assert serial_at(kit, directory, address) == before
    folder.server_key.write_bytes(key)
    renewed(center)
    assert serial_at(kit, directory, address) != before


def test_a_site_renews_itself_in_the_last_third_and_goes_on(served):
    center, clock = served
    directory = center.kit("site-elk", categories=("elk",))
    before = load_kit(directory)
    with CentralClient(before, center.serving.address, policy=QUICK) as client:
        renewal = KitRenewal(directory, client, clock)
        assert not renewal.turn()
        with pytest.raises(NotAllowed, match="can be renewed from"):
            client.renew(directory)
        with later(clock, LATE_S):
            assert renewal.turn()
            after = load_kit(directory)
            assert after.key != before.key
            assert client.kit == after
            described = client.describe()
            assert described.serial == peer_of(after.cert).serial != peer_of(before.cert).serial
            assert described.identity == Identity(Role.SITE, "site-elk")
            with CentralClient(before, center.serving.address, policy=QUICK) as old:
                assert old.describe().serial == peer_of(before.cert).serial  # good until it expires


def test_where_the_operator_renews_the_log_says_so_and_the_new_kit_is_taken(by_hand, caplog):
    center, clock = by_hand
    directory = center.kit("site-dog", categories=("dog",))
    before = load_kit(directory)
    with CentralClient(before, center.serving.address, policy=QUICK) as client, later(clock, LATE_S):
        renewal = KitRenewal(directory, client, clock)
        with caplog.at_level(logging.WARNING, "edge.renewal"):
            assert not renewal.turn()
            assert not renewal.turn()  # it does not ask at every turn
        assert len(caplog.records) == 1
        assert "ask the center's operator for a new kit" in caplog.text
        with pytest.raises(NotAllowed, match="ask for a new kit"):
            client.renew(directory)
        registry, authority = open_registry(center.settings), identity_folder(center.home).authority()
        who = client.describe().identity
        renew_kit(registry, authority, who, center=before.center, days=1, out=directory)
        registry.close()
        with later(clock, AGAIN_S):
            assert renewal.turn()
        assert client.kit.cert != before.cert
        assert client.describe().serial == peer_of(client.kit.cert).serial


def test_a_kit_of_somebody_else_is_not_taken(by_hand, caplog):
    center, clock = by_hand
    directory, other = (center.kit(f"site-{name}", categories=(name,)) for name in ("owl", "fox"))
    with (
        CentralClient(load_kit(directory), center.serving.address, policy=QUICK) as client,
        later(clock, LATE_S),
    ):
        renewal = KitRenewal(directory, client, clock)
        shutil.copytree(other, directory, dirs_exist_ok=True)
        with caplog.at_level(logging.WARNING, "edge.renewal"):
            assert not renewal.turn()
        assert "holds the kit of site site-fox" in caplog.text
        assert client.describe().identity.name == "site-owl"
