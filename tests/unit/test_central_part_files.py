"""Partial uploads: what is durable, and what a crash leaves."""

from __future__ import annotations

import pytest

from central.usecases.part_files import SYNC_BYTES, PartFiles
from transplant.artifact.chunks import CHUNK_BYTES, WINDOW_BYTES, chunk_of
from transplant.errors import ChunkOutOfOrder


@pytest.fixture
def parts(tmp_path):
    return PartFiles(tmp_path / "uploads")


def test_bytes_become_durable_in_batches(parts):
    assert SYNC_BYTES < WINDOW_BYTES  # or a sender would wait for ever
    writer = parts.take_over("u")
    block = bytes(CHUNK_BYTES)
    for index in range(SYNC_BYTES // CHUNK_BYTES - 1):
        writer.write(chunk_of(index * CHUNK_BYTES, block))
    assert (writer.durable, parts.durable_offset("u")) == (0, 0)
    writer.write(chunk_of(SYNC_BYTES - CHUNK_BYTES, block))
    assert (writer.durable, parts.durable_offset("u")) == (SYNC_BYTES, SYNC_BYTES)
    parts.release("u", writer)


def test_what_was_not_synced_is_cut_off_after_a_crash(parts, tmp_path):
    writer = parts.take_over("u")
    writer.write(chunk_of(0, b"durable"))
    assert writer.sync() == 7
    writer.write(chunk_of(7, b"lost"))
    reborn = PartFiles(tmp_path / "uploads")  # nobody closed the old one
    assert reborn.durable_offset("u") == 7
    again = reborn.take_over("u")
    again.write(chunk_of(7, b"!"))
    reborn.release("u", again)
    assert reborn.path("u").read_bytes() == b"durable!"
    parts.release("u", writer)


@pytest.mark.parametrize(("note", "offset"), [("", 0), ("rubbish", 0), ("0" * 19 + "3", 3), ("9" * 20, 5)])
def test_a_damaged_note_costs_bytes_never_correctness(parts, note, offset):
    parts.path("u").write_bytes(b"12345")
    (parts.root / "u.synced").write_text(note)
    assert parts.durable_offset("u") == offset


def test_a_closed_or_shut_out_writer_writes_nothing(parts):
    first = parts.take_over("u")
    first.write(chunk_of(0, b"abc"))
    second = parts.take_over("u")
    assert second.durable == 3  # what had come in is kept
    with pytest.raises(ChunkOutOfOrder):
        first.write(chunk_of(3, b"d"))
    parts.release("u", first)  # too late to matter
    second.write(chunk_of(3, b"e"))
    parts.release("u", second)
    assert parts.path("u").read_bytes() == b"abce"


@pytest.mark.parametrize("offset", [0, 2, 4])
def test_a_chunk_starts_where_the_file_ends(parts, offset):
    writer = parts.take_over("u")
    writer.write(chunk_of(0, b"abc"))
    with pytest.raises(ChunkOutOfOrder):
        writer.write(chunk_of(offset, b"x"))
    parts.release("u", writer)


def test_removing_leaves_nothing(parts):
    writer = parts.take_over("u")
    writer.write(chunk_of(0, b"abc"))
    assert set(parts.known()) == {"u"}
    parts.remove("u")
    parts.remove("u")
    assert not list(parts.root.iterdir())
    assert parts.durable_offset("u") == 0
