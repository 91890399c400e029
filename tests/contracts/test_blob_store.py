"""What every blob store promises, run on every backend."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.s3 import set_credentials

from transplant.artifact.digest import sha256_hex
from transplant.backends.blob_stores import open_store
from transplant.backends.local_blob_store import LocalBlobStore
from transplant.backends.memory_blob_store import MemoryBlobStore
from transplant.errors import DigestMismatch, NotFound, StorageFull

if TYPE_CHECKING:
    from transplant.ports.blob_store import BlobStore

DATA = b"weights" * 1000
DIGEST = sha256_hex(DATA)


@pytest.fixture(params=["local", "memory", "s3"])
def store(request, tmp_path, monkeypatch) -> BlobStore:
    if request.param == "memory":
        return MemoryBlobStore()
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    set_credentials(monkeypatch)
    server = request.getfixturevalue("s3")
    return open_store(server.new_bucket(), str(tmp_path / "cache"))


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


def test_takes_a_file_over(store, source):
    store.put_file(source, DIGEST)
    assert store.has(DIGEST)
    assert store.path_of(DIGEST).read_bytes() == DATA
    assert store.size_bytes(DIGEST) == len(DATA)
    assert list(store.digests()) == [DIGEST]
    assert not source.exists()


def test_taking_the_same_file_twice_is_harmless(store, source):
    store.put_file(source, DIGEST)
    store.put_file(source, DIGEST)  # after a crash between the rename and the caller's record
    source.write_bytes(DATA)
    store.put_file(source, DIGEST)
    assert not source.exists()
    assert store.path_of(DIGEST).read_bytes() == DATA


def test_refuses_a_file_with_another_digest_and_leaves_it(store, source):
    with pytest.raises(DigestMismatch):
        store.put_file(source, "0" * 64)
    assert source.read_bytes() == DATA
    assert list(store.digests()) == []


def test_a_missing_file_is_not_found(store, tmp_path):
    with pytest.raises(NotFound):
        store.put_file(tmp_path / "nothing", DIGEST)


def test_bytes_come_back(store):
    assert store.put_bytes(DATA) == DIGEST
    assert store.put_bytes(DATA) == DIGEST
    assert store.path_of(DIGEST).read_bytes() == DATA


def test_the_empty_blob_is_a_blob(store):
    digest = store.put_bytes(b"")
    assert store.size_bytes(digest) == 0
    assert store.path_of(digest).read_bytes() == b""


def test_the_stored_bytes_can_be_read_again(store):
    digest = store.put_bytes(DATA)
    assert store.stored_sha256(digest) == digest


def test_digests_come_in_rising_order(store):
    digests = [store.put_bytes(bytes([number])) for number in range(20)]
    assert list(store.digests()) == sorted(digests)


def test_what_is_not_there_is_not_found(store):
    assert not store.has(DIGEST)
    for method in (store.path_of, store.size_bytes, store.stored_sha256):
        with pytest.raises(NotFound):
            method(DIGEST)


def test_deleting_is_idempotent(store):
    store.put_bytes(DATA)
    store.delete(DIGEST)
    store.delete(DIGEST)
    assert not store.has(DIGEST)
    store.put_bytes(DATA)
    assert store.path_of(DIGEST).read_bytes() == DATA


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 65, "0" * 63 + "/", "0" * 64 + "\n"]
)
def test_only_a_digest_names_a_blob(store, source, name):
    for method in (store.has, store.path_of, store.size_bytes, store.stored_sha256, store.delete):
        with pytest.raises(NotFound):
            method(name)
    with pytest.raises(NotFound):
        store.put_file(source, name)


def test_many_writers_of_one_blob(store):
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(store.put_bytes(DATA))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [DIGEST] * 8
    assert store.path_of(DIGEST).read_bytes() == DATA


class TestLocal:
    """What only the directory can get wrong."""

    @pytest.fixture
    def root(self, tmp_path) -> Path:
        return tmp_path / "store"

    def test_another_process_sees_it(self, root):
        LocalBlobStore(root).put_bytes(DATA)
        assert LocalBlobStore(root).path_of(DIGEST).read_bytes() == DATA

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_disk_leaves_nothing_behind(self, root, source, monkeypatch, number):
        store = LocalBlobStore(root)

        def full(_descriptor):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageFull, match="no room left"):
            store.put_bytes(DATA)
        with pytest.raises(StorageFull, match="no room left"):
            store.put_file(source, DIGEST)
        monkeypatch.undo()
        assert list(store.digests()) == []
        assert list((root / "incoming").iterdir()) == []
        assert source.read_bytes() == DATA

    def test_a_crash_before_the_rename_leaves_the_old_state(self, root, monkeypatch):
        store = LocalBlobStore(root)

        def killed(_source, _target):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                store.put_bytes(DATA)
        assert not store.has(DIGEST)
        assert store.put_bytes(DATA) == DIGEST

    def test_leftovers_of_a_killed_writer_are_cleared(self, root):
        store = LocalBlobStore(root)
        (root / "incoming" / "half").write_bytes(b"half")
        assert list(store.digests()) == []
        assert store.clear_incoming() == 0  # somebody may be at it
        assert store.clear_incoming(untouched_s=0.0) == 1
        assert list((root / "incoming").iterdir()) == []

    def test_a_file_from_another_volume_is_copied(self, root, source, monkeypatch):
        store = LocalBlobStore(root)
        replace = Path.replace

        def other_volume(self, target):
            if self == source:
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            return replace(self, target)

        monkeypatch.setattr(Path, "replace", other_volume)
        store.put_file(source, DIGEST)
        assert store.path_of(DIGEST).read_bytes() == DATA
        assert not source.exists()
