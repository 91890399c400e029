"""What sites abandon is cleared while a center serves; what goes on, however slowly, stays."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest
from fakes.artifacts import sealed
from fakes.served_clock import center_with_clock, until
from fakes.turned_center import World, site

from central.registry.audit_book import Action
from central.usecases.commit_upload import commit_upload
from central.usecases.declare import declare
from central.usecases.reap import ABANDONED, reap_abandoned
from transplant.artifact.chunks import chunk_of
from transplant.errors import NotFound, QuotaExceeded

DAYS = ABANDONED.total_seconds()


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "home", disk_reserve_bytes=0)
    world.admit("dog")
    yield world
    world.registry.close()


def send(world, upload_id, payload, start, end):
    """Send a part of a payload; it becomes durable at the center's own time."""
    writer = world.center.parts.take_over(upload_id)
    writer.write(chunk_of(start, payload[start:end]))
    world.center.parts.release(upload_id, writer)
    moment = world.clock.now().timestamp()
    os.utime(world.center.parts.root / f"{upload_id}.synced", (moment, moment))


def test_an_upload_is_as_old_as_its_last_durable_byte(world):
    (slow, payload), (gone, _) = (sealed(seed=seed, site="site-dog", category="dog") for seed in (1, 2))
    ids = [declare(world.center, site("dog"), each).upload_id for each in (slow, gone)]
    send(world, ids[0], payload, 0, 100)
    send(world, ids[1], payload, 0, 100)
    for start in (100, 200, 300):
        world.clock.advance(0.4 * DAYS)
        send(world, ids[0], payload, start, start + 100)
    assert reap_abandoned(world.center) == 1
    assert list(dict.fromkeys(world.center.parts.known())) == [ids[0]]
    with world.registry.read() as books:
        assert [upload.upload_id for upload in books.uploads.all()] == [ids[0]]
        told = [entry.subject for entry in books.audit.entries() if entry.action == Action.UPLOAD_REAPED]
    assert told == [ids[1]]
    send(world, ids[0], payload, 400, len(payload))
    commit_upload(world.center, site("dog"), ids[0], slow.payload_sha256)
    world.clock.advance(2 * DAYS)
    assert reap_abandoned(world.center) == 0  # it waits for admission, however long that takes
    assert world.center.store.has(slow.payload_sha256)


def test_an_upload_without_a_byte_is_as_old_as_its_declaration(world):
    manifest, payload = sealed(seed=1, site="site-dog", category="dog")
    upload_id = declare(world.center, site("dog"), manifest).upload_id
    world.center.parts.release(upload_id, world.center.parts.take_over(upload_id))  # it opened a stream
    world.clock.advance(0.9 * DAYS)
    assert reap_abandoned(world.center) == 0
    world.clock.advance(0.2 * DAYS)
    assert reap_abandoned(world.center) == 1
    with pytest.raises(NotFound, match="declare the module again"):
        commit_upload(world.center, site("dog"), upload_id, manifest.payload_sha256)
    upload_id = declare(world.center, site("dog"), manifest).upload_id
    send(world, upload_id, payload, 0, len(payload))
    assert commit_upload(world.center, site("dog"), upload_id, manifest.payload_sha256) == upload_id


def test_a_payload_that_another_upload_has_brought_stays(world):
    manifest, payload = sealed(seed=1, site="site-dog", category="dog")
    upload_id = declare(world.center, site("dog"), manifest).upload_id
    send(world, upload_id, payload, 0, len(payload))
    world.center.store.put_file(world.center.parts.path(upload_id), manifest.payload_sha256)  # and was killed
    twin = manifest.model_copy(update={"metrics": {"error": 1.0}})
    twin_id = declare(world.center, site("dog"), twin).upload_id
    send(world, twin_id, payload, 0, len(payload))
    commit_upload(world.center, site("dog"), twin_id, twin.payload_sha256)
    world.clock.advance(1.1 * DAYS)
    assert reap_abandoned(world.center) == 1
    assert world.center.store.has(manifest.payload_sha256)


def test_a_center_that_serves_frees_the_quota_of_a_site_that_lost_its_home(tmp_path, monkeypatch):
    monkeypatch.setattr("central.reaper._EVERY_S", 0.02)
    incoming = tmp_path / "store" / "incoming"
    incoming.mkdir(parents=True)
    for name, age_s in (("killed", 2 * 3600.0), ("at-work", 0.0)):
        (incoming / name).write_bytes(b"half")
        moment = datetime.now(UTC).timestamp() - age_s
        os.utime(incoming / name, (moment, moment))
    with center_with_clock(tmp_path, open_uploads=1) as (center, clock):
        assert [path.name for path in incoming.iterdir()] == ["at-work"]
        client = center.client("site-dog")
        lost, wanted = (sealed(seed=seed, site="site-dog", category="dog")[0] for seed in (1, 2))
        upload_id = client.declare(lost).upload_id
        with pytest.raises(QuotaExceeded):
            client.declare(wanted)
        # the certificate has ended by then: the center alone is looked at
        registry = center.serving._registry

        def is_gone():
            with registry.read() as books:
                return books.uploads.get(upload_id) is None

        clock.advance(1.1 * DAYS)
        until(is_gone)
        assert declare(center.serving._center, site("dog"), wanted).upload_id
