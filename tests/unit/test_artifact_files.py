"""Digests, chunks and files that survive a crash."""

from __future__ import annotations

import errno
import hashlib
import math
import os

import pytest

from transplant.artifact.chunks import CHUNK_BYTES, SENT_BYTES, Chunk, chunk_of, read_chunks, verify_chunk
from transplant.artifact.digest import canonical_json, derive_seed, sha256_file, sha256_hex
from transplant.artifact.durable_file import storage_errors, write_durably
from transplant.errors import ChunkCorrupt, StorageFull
from transplant.types import ByteRange


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 100_000)
    assert sha256_file(path) == sha256_hex(path.read_bytes()) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_canonical_json_is_one_text_per_value():
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'.encode()
    assert canonical_json({"a": 1, "b": 2}) == canonical_json({"b": 2, "a": 1})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_canonical_json_has_no_word_for_what_is_not_a_number(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json([value])


def test_a_seed_depends_on_every_part_and_on_their_borders():
    assert derive_seed("a", "b") == derive_seed("a", "b")
    assert (
        len({derive_seed("a", "b"), derive_seed("ab"), derive_seed("b", "a"), derive_seed("a", "b", "")}) == 4
    )
    assert 0 <= derive_seed("merge") < 1 << 63


def test_the_crc_is_castagnoli():
    assert chunk_of(0, b"123456789").crc32c == 0xE3069283  # the check value of RFC 3720, appendix B.4


def test_a_chunk_is_verified():
    verify_chunk(chunk_of(5, b"x"))
    verify_chunk(chunk_of(0, bytes(CHUNK_BYTES)))


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk(0, b"flipped", chunk_of(0, b"flippee").crc32c),
        chunk_of(0, b""),
        chunk_of(0, bytes(CHUNK_BYTES + 1)),
    ],
    ids=["flipped", "empty", "oversized"],
)
def test_a_bad_chunk_is_refused(chunk):
    with pytest.raises(ChunkCorrupt):
        verify_chunk(chunk)


def test_reading_ranges_in_chunks(tmp_path):
    data = os.urandom(2 * SENT_BYTES + 10)
    path = tmp_path / "payload"
    path.write_bytes(data)
    chunks = list(read_chunks(path, [ByteRange(3, 5), ByteRange(SENT_BYTES, len(data))]))
    assert [(chunk.offset, len(chunk.data)) for chunk in chunks] == [
        (3, 2),
        (SENT_BYTES, SENT_BYTES),
        (2 * SENT_BYTES, 10),
    ]
    for chunk in chunks:
        verify_chunk(chunk)
        assert data[chunk.offset : chunk.end] == chunk.data


def test_a_range_beyond_the_file_is_no_silent_end(tmp_path):
    path = tmp_path / "payload"
    path.write_bytes(b"1234")
    with pytest.raises(EOFError, match="ends at 4"):
        list(read_chunks(path, [ByteRange(0, 5)]))


def test_a_durable_write_replaces_whole_files(tmp_path):
    path = tmp_path / "file"
    write_durably(path, b"old")
    write_durably(path, b"new")
    assert path.read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_durably(path, b"old")

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match=r"no room left to write .*file: No space left on device"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_other_faults_of_the_disk_keep_their_name(tmp_path):
    with pytest.raises(PermissionError), storage_errors(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")
