"""A site with a good certificate whose chunks and digests lie, at a real center."""

from __future__ import annotations

import grpc
import pytest
from fakes.artifacts import sealed
from fakes.attacks import Attacks, check
from fakes.hostile_site import CALL_S, message

from transplant.artifact.chunks import CHUNK_BYTES, chunk_of
from transplant.artifact.digest import sha256_hex
from transplant.errors import (
    ChunkCorrupt,
    ChunkOutOfOrder,
    DigestMismatch,
    NotFound,
    TooLarge,
    UploadIncomplete,
)
from transplant.types import Architecture, ModuleKind, Task

attacks = Attacks()


# --- chunks ----------------------------------------------------------------------------------------------


@attacks(ChunkOutOfOrder, message="starts at 200, the upload ends at 100")
def a_gap(w):
    """A hundred bytes are left out."""
    upload_id, payload = w.opened()
    w.upload(upload_id, (0, payload[:100]), (200, payload[200:300]))


@attacks(ChunkOutOfOrder, message="starts at 50, the upload ends at 100")
def an_overlap(w):
    """A chunk begins inside the one before it, to write over what was verified."""
    upload_id, payload = w.opened()
    w.upload(upload_id, (0, payload[:100]), (50, payload[50:150]))


@attacks(ChunkOutOfOrder, message="starts at 0, the upload ends at 100")
def a_replay_in_the_stream(w):
    """The same good chunk twice."""
    upload_id, payload = w.opened()
    w.upload(upload_id, (0, payload[:100]), (0, payload[:100]))


@attacks(ChunkOutOfOrder, message="starts at 0, the upload ends at 100")
def a_replay_in_a_new_stream(w):
    """What is durable is sent again, with other bytes and an honest checksum."""
    upload_id, payload = w.opened()
    w.upload(upload_id, (0, payload[:100]))
    w.upload(upload_id, (0, bytes(100)))


@attacks(ChunkOutOfOrder)
def the_end_first(w):
    """The last bytes come first."""
    upload_id, payload = w.opened()
    w.upload(upload_id, (len(payload) - 10, payload[-10:]))


@attacks(TooLarge, message="bytes were declared")
def more_than_was_declared(w):
    """One byte more than the manifest says."""
    upload_id, payload = w.opened()
    w.upload(upload_id, (0, payload + b"x"))


@attacks(TooLarge, message="bytes were declared")
def an_offset_beyond_everything(w):
    """An offset that would wrap around in 64 bits."""
    upload_id, _ = w.opened()
    w.upload(upload_id, ((1 << 64) - 1, b"x"))


@attacks(ChunkOutOfOrder, message="one stream carries the chunks of one upload")
def two_uploads_in_one_stream(w):
    """A stream goes over to another upload of the same site."""
    (first, payload), (second, other) = w.opened(), w.opened()
    requests = [message(first, 0, payload[:100]), message(second, 100, other[100:200])]
    list(w.intake.Upload(iter(requests), timeout=CALL_S))


@attacks(ChunkOutOfOrder, message="one stream carries the chunks of one upload")
def from_ones_own_into_anothers(w):
    """A stream that began with the site's own upload goes over to another site's."""
    upload_id, payload = w.opened()
    requests = [message(upload_id, 0, payload[:100]), message(w.cats_upload, 0, b"x")]
    list(w.intake.Upload(iter(requests), timeout=CALL_S))


@attacks(ChunkCorrupt, message="does not fit its bytes")
def a_wrong_checksum(w):
    """A checksum of nothing."""
    upload_id, payload = w.opened()
    w.upload(upload_id, (0, payload[:100], 0))


@attacks(ChunkCorrupt, message="does not fit its bytes")
def a_flipped_bit(w):
    """One bit is another than when the checksum was taken."""
    upload_id, payload = w.opened()
    flipped = bytes([payload[0] ^ 1]) + payload[1:100]
    w.upload(upload_id, (0, flipped, chunk_of(0, payload[:100]).crc32c))


@attacks(ChunkCorrupt, message="a chunk has 1 to")
def an_empty_chunk(w):
    """Chunks of nothing would keep a stream busy for ever."""
    upload_id, _ = w.opened()
    w.upload(upload_id, (0, b""))


@attacks(ChunkCorrupt, message="a chunk has 1 to")
def an_oversized_chunk(w):
    """One byte more than a chunk may have, in an upload that is large enough."""
    upload_id = w.declare(_large(w)).upload_id
    w.upload(upload_id, (0, bytes(CHUNK_BYTES + 1)))


@attacks(TooLarge, message="larger than max")
def a_message_over_the_limit(w):
    """More than gRPC takes at all. The client's own limit is the first to say so."""
    upload_id, _ = w.opened()
    w.upload(upload_id, (0, bytes(5 << 20)))


def _large(w):
    w.seed += 1
    big = Architecture(
        "vgg_small", (("image_px", (32,)), ("channels", (128,)), ("widths", (256, 256)), ("hidden", (1024,)))
    )
    parents = (w.module.module_id,)
    return sealed(
        ModuleKind.TASK, Task.CLASSIFICATION, big, w.seed, site="site-dog", category="dog", parents=parents
    )[0]


# --- digests and commits ----------------------------------------------------------------------------------


@attacks(UploadIncomplete, message="bytes from 0 of")
def a_commit_of_nothing(w):
    """A module is committed before a byte of it is here."""
    upload_id, payload = w.opened()
    w.commit(upload_id, sha256_hex(payload))


@attacks(UploadIncomplete, message="bytes from 100 of")
def a_commit_of_a_part(w):
    """And with a part of it."""
    upload_id, payload = w.opened()
    w.upload(upload_id, (0, payload[:100]))
    w.commit(upload_id, sha256_hex(payload[:100]))


@attacks(DigestMismatch, message="the payload's sha256 is")
def other_bytes_of_the_same_length(w):
    """Every chunk is honest, and together they are another file."""
    upload_id, payload = w.opened()
    w.upload(upload_id, (0, bytes(len(payload))))
    w.commit(upload_id, sha256_hex(payload))


@attacks(NotFound, message="no upload")
def bytes_after_they_were_refused(w):
    """What did not fit its digest is thrown away, upload and all."""
    upload_id, payload = w.opened()
    w.upload(upload_id, (0, bytes(len(payload))))
    with pytest.raises(grpc.RpcError):
        w.commit(upload_id, sha256_hex(payload))
    w.upload(upload_id, (0, payload))


@attacks(DigestMismatch, message="the commit says")
def a_commit_with_another_digest(w):
    """The commit names other bytes than the seal."""
    upload_id, payload = w.opened()
    w.upload(upload_id, (0, payload))
    w.commit(upload_id, "0" * 64)


@attacks(DigestMismatch, message="the commit says")
def a_commit_with_a_path_for_a_digest(w):
    """The digest is where the bytes go in the store: it is compared, never used."""
    upload_id, payload = w.opened()
    w.upload(upload_id, (0, payload))
    w.commit(upload_id, "../../../../tmp/x")


@pytest.mark.parametrize("attack", attacks.table, ids=str)
def test_ends_in_its_error(attacker, attack):
    check(attack, attacker)


def test_no_file_lies_where_none_belongs(attacker):
    """Comes last: what was refused left nothing but the uploads that are open still."""
    uploads = {path.stem for path in (attacker.center.home / "uploads").iterdir()}
    assert all(len(stem) == 64 for stem in uploads)
    assert "x" not in {path.name for path in attacker.center.home.iterdir()}
