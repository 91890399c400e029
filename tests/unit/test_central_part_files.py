"""Partial uploads: what is durable, and what a crash leaves."""

from __future__ import annotations

import errno
import hashlib
import os
import threading

import pytest

from central.usecases import part_files
from central.usecases.part_files import AHEAD_BYTES, SYNC_BYTES, PartFiles
from transplant.artifact.chunks import CHUNK_BYTES, WINDOW_BYTES, chunk_of
from transplant.errors import ChunkOutOfOrder, NotFound, StorageFull


@pytest.fixture
def parts(tmp_path):
    return PartFiles(tmp_path / "uploads")


def test_bytes_become_durable_while_more_come_in(parts, monkeypatch):
    assert CHUNK_BYTES <= SYNC_BYTES < AHEAD_BYTES
    assert AHEAD_BYTES + CHUNK_BYTES < WINDOW_BYTES  # or a sender would wait for ever
    held, synced = threading.Event(), threading.Event()
    fdatasync = os.fdatasync

    def slow(descriptor):
        assert held.wait(20)
        fdatasync(descriptor)
        synced.set()

    monkeypatch.setattr(os, "fdatasync", slow)
    writer = parts.take_over("u")
    block = bytes(CHUNK_BYTES)
    for index in range(SYNC_BYTES // CHUNK_BYTES + 3):  # the last three come in during the sync
        writer.write(chunk_of(index * CHUNK_BYTES, block))
    assert (writer.durable, parts.durable_offset("u")) == (0, 0)
    held.set()
    assert synced.wait(20)
    assert writer.sync() == parts.durable_offset("u") == SYNC_BYTES + 3 * CHUNK_BYTES
    parts.release("u", writer)


def test_writing_waits_where_it_runs_too_far_ahead_of_the_disk(parts, monkeypatch):
    monkeypatch.setattr(part_files, "SYNC_BYTES", 4)
    monkeypatch.setattr(part_files, "AHEAD_BYTES", 8)
    writer = parts.take_over("u")
    for index in range(50):
        writer.write(chunk_of(4 * index, b"four"))
        assert 4 * index + 4 - writer.durable < 8
    parts.release("u", writer)


def test_a_disk_that_fills_up_under_a_sync_is_told_to_the_writer(parts, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = parts.take_over("u")
    writer.write(chunk_of(0, b"durable"))
    writer.sync()
    monkeypatch.setattr(os, "fdatasync", full)
    writer.write(chunk_of(7, b"lost"))
    with pytest.raises(StorageFull, match=r"no room left to write .*u\.part"):
        writer.sync()
    monkeypatch.undo()
    parts.release("u", writer)
    # The kernel reports a failed write-back once: syncing again would succeed without the bytes.
    assert parts.durable_offset("u") == 7
    assert parts.path("u").read_bytes() == b"durable"


def test_what_came_in_one_piece_is_not_read_again(parts, monkeypatch):
    writer = parts.take_over("u")
    writer.write(chunk_of(0, b"ab"))
    writer.write(chunk_of(2, b"c"))
    parts.release("u", writer)
    monkeypatch.setattr(part_files, "sha256_file", None)
    assert parts.sha256("u") == hashlib.sha256(b"abc").hexdigest()
    parts.remove("u")
    with pytest.raises(NotFound, match="no bytes of the upload u"):
        parts.sha256("u")


def test_what_was_resumed_is_read_from_its_start(parts, tmp_path):
    for offset, data in ((0, b"ab"), (2, b"cd")):
        writer = parts.take_over("u")
        writer.write(chunk_of(offset, data))
        parts.release("u", writer)
    assert parts.sha256("u") == hashlib.sha256(b"abcd").hexdigest()
    assert PartFiles(tmp_path / "uploads").sha256("u") == hashlib.sha256(b"abcd").hexdigest()


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
