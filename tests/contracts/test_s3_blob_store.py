"""What only the S3 store and its cache can get wrong."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest
from fakes.s3 import answering, set_credentials

from transplant.artifact.digest import sha256_hex
from transplant.backends import s3_blob_store
from transplant.backends.blob_cache import BlobCache
from transplant.backends.blob_stores import StorePlace, open_store
from transplant.backends.s3_address import S3Address, parse_s3_url
from transplant.backends.s3_blob_store import S3BlobStore
from transplant.errors import (
    DigestMismatch,
    InvalidSettings,
    NotFound,
    RegistryDamaged,
    StorageFull,
    StoreUnavailable,
)

DATA = b"weights" * 1000
DIGEST = sha256_hex(DATA)
LARGE = os.urandom(1 << 20) * 11  # three parts
LARGE_DIGEST = sha256_hex(LARGE)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    set_credentials(monkeypatch)


@pytest.fixture
def url(s3):
    return s3.new_bucket()


@pytest.fixture
def store(url, tmp_path):
    return open_store(url, str(tmp_path / "cache"))


@pytest.fixture
def large(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    return path


def test_a_large_file_goes_up_in_parts_and_comes_back(s3, url, store, large, tmp_path):
    store.put_file(large, LARGE_DIGEST)
    assert not large.exists()
    assert store.stored_sha256(LARGE_DIGEST) == LARGE_DIGEST
    assert not s3.unfinished(url)
    other = open_store(url, str(tmp_path / "elsewhere"))
    assert other.path_of(LARGE_DIGEST).read_bytes() == LARGE


def test_a_large_file_with_another_digest_is_not_completed(s3, url, store, large):
    with pytest.raises(DigestMismatch):
        store.put_file(large, DIGEST)
    assert large.read_bytes() == LARGE
    assert list(store.digests()) == []
    assert not s3.unfinished(url)


def test_an_upload_holds_a_few_parts_in_memory(url, tmp_path):
    """Far less than the file, up and down again."""
    script = """
import resource, sys
from pathlib import Path
from transplant.artifact.digest import sha256_file
from transplant.backends import s3_blob_store
from transplant.backends.blob_cache import BlobCache
from transplant.backends.s3_address import parse_s3_url
path, url, size = Path(sys.argv[1]), sys.argv[2], 96 << 20
with path.open("wb") as file: file.truncate(size)
sha256 = sha256_file(path)
store = s3_blob_store.S3BlobStore(parse_s3_url(url), BlobCache(path.parent / "c", size))
store.put_bytes(b"warm")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
store.put_file(path, sha256)
store._cache.drop(sha256)
assert store.path_of(sha256).stat().st_size == size
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "huge"), url]
    used_mib = int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)
    assert used_mib < 48, used_mib


def test_what_was_read_once_needs_no_store(store):
    store.put_bytes(DATA)
    kept = store.path_of(DIGEST)
    store._store = None
    assert store.path_of(DIGEST) == kept


def test_other_bytes_in_the_store_are_damage_and_not_kept(s3, url, store, tmp_path):
    store.put_bytes(DATA)
    s3.overwrite(url, DIGEST, b"other")
    assert store.stored_sha256(DIGEST) == sha256_hex(b"other")
    for _ in range(2):
        with pytest.raises(RegistryDamaged, match="other bytes"):
            store.path_of(DIGEST)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["incoming"]
    assert list((tmp_path / "cache" / "incoming").iterdir()) == []


def test_a_cached_file_that_was_damaged_is_fetched_again(url, store, tmp_path):
    store.put_bytes(DATA)
    path = store.path_of(DIGEST)
    path.chmod(0o600)
    path.write_bytes(b"rotten")
    fresh = open_store(url, str(tmp_path / "cache"))  # a process that did not verify it yet
    assert fresh.path_of(DIGEST).read_bytes() == DATA


class TestCache:
    """Bounded, but never at the cost of who reads."""

    @pytest.fixture
    def cache(self, tmp_path):
        return BlobCache(tmp_path / "cache", limit_bytes=250)

    @staticmethod
    def fill(cache, letter):
        data = letter * 100
        return cache.fill(sha256_hex(data), 100, lambda file: file.write(data))

    @staticmethod
    def holds(cache, letter):
        return (cache._folder / sha256_hex(letter * 100)).exists()

    def test_the_least_recently_used_goes_first(self, cache):
        for number, letter in enumerate((b"a", b"b")):
            path = self.fill(cache, letter)
            os.utime(path, (number, number))
        del path
        assert cache.lease(sha256_hex(b"a" * 100)) is not None  # used again
        gc.collect()
        self.fill(cache, b"c")
        assert [self.holds(cache, letter) for letter in (b"a", b"b", b"c")] == [True, False, True]

    def test_what_is_in_use_stays_however_full(self, cache):
        held = [self.fill(cache, letter) for letter in (b"a", b"b", b"c", b"d")]
        assert all(self.holds(cache, letter) for letter in (b"a", b"b", b"c", b"d"))
        del held[:]
        gc.collect()
        self.fill(cache, b"e")
        assert sum(self.holds(cache, letter) for letter in (b"a", b"b", b"c", b"d", b"e")) == 2

    def test_what_another_process_uses_stays(self, cache, tmp_path):
        self.fill(cache, b"a")
        gc.collect()
        script = """
import sys
from pathlib import Path
from transplant.backends.blob_cache import BlobCache
held = BlobCache(Path(sys.argv[1]), 250).lease(sys.argv[2])
print("leased" if held else "gone", flush=True)
sys.stdin.read()
"""
        command = [sys.executable, "-c", script, str(tmp_path / "cache"), sha256_hex(b"a" * 100)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, text=True, **pipes) as reader:
            assert reader.stdout.readline() == "leased\n"
            for letter in (b"b", b"c", b"d"):
                self.fill(cache, letter)
            assert self.holds(cache, b"a")
            reader.kill()
        gc.collect()
        for letter in (b"e", b"f"):
            self.fill(cache, letter)
        assert not self.holds(cache, b"a")

    def test_what_a_killed_process_left_is_cleared(self, cache, tmp_path):
        (tmp_path / "cache" / "incoming" / "half").write_bytes(b"half")
        self.fill(cache, b"a")
        assert list((tmp_path / "cache" / "incoming").iterdir()) == []


class TestTrouble:
    """Every answer of a store has a type that says whether to try again."""

    @staticmethod
    def at(endpoint, tmp_path):
        return S3BlobStore(S3Address("bucket", "", endpoint), BlobCache(tmp_path / "cache", 1), retries=0)

    def test_a_missing_bucket_is_no_empty_store(self, s3, tmp_path):
        with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
            open_store(f"s3://nowhere?endpoint={s3.endpoint}", str(tmp_path))

    def test_nobody_there(self, tmp_path):
        with answering(200, b"") as endpoint:
            store = self.at(endpoint, tmp_path)
        for call in (store.has, store.path_of, store.stored_sha256, store.delete):
            with pytest.raises(StoreUnavailable, match="does not answer"):
                call(DIGEST)
        with pytest.raises(StoreUnavailable):
            store.put_bytes(DATA)

    @pytest.mark.parametrize(
        ("status", "code", "error"),
        [
            (507, "InsufficientStorage", StorageFull),
            (403, "QuotaExceeded", StorageFull),
            (500, "InternalError", StoreUnavailable),
            (503, "SlowDown", StoreUnavailable),
            (403, "AccessDenied", StoreUnavailable),
            (401, "InvalidAccessKeyId", StoreUnavailable),
            (404, "NoSuchBucket", StoreUnavailable),
        ],
    )
    def test_what_a_store_answers(self, tmp_path, status, code, error):
        source = tmp_path / "source"
        source.write_bytes(DATA)
        with answering(status, f"<Error><Code>{code}</Code></Error>".encode()) as endpoint:
            with pytest.raises(error, match=code):
                self.at(endpoint, tmp_path).put_file(source, DIGEST)
            with pytest.raises(error, match=code):
                self.at(endpoint, tmp_path).put_bytes(DATA)
        assert source.read_bytes() == DATA

    def test_a_blob_that_goes_away_between_two_questions(self, store, monkeypatch):
        monkeypatch.setattr(S3BlobStore, "size_bytes", lambda *_: 7)
        with pytest.raises(NotFound):
            store.path_of(DIGEST)


class TestAddress:
    """A URL that can be shown and saved."""

    def test_what_it_says(self):
        told = parse_s3_url("s3://blobs.example/a/b?endpoint=http://127.0.0.1:9000/&region=eu-west-1")
        assert told == S3Address("blobs.example", "a/b", "http://127.0.0.1:9000", "eu-west-1")
        assert parse_s3_url("s3://blobs/") == S3Address("blobs")
        assert str(told) == "s3://blobs.example/a/b"

    @pytest.mark.parametrize(
        "url",
        [
            "s3://",
            "s3:///prefix",
            "s3://B",
            "s3://key:secret@bucket",
            "s3://bucket?access_key_id=x",
            "s3://bucket?region=a&region=b",
            "s3://bucket#x",
            "s3://bucket/../other",
            "s3://bucket/a//b",
            "s3://bucket?endpoint=minio:9000",
            "s3://bucket?endpoint=http://key:secret@minio",
            "gs://bucket",
            "http://bucket",
        ],
    )
    def test_what_is_none(self, url, tmp_path):
        with pytest.raises(InvalidSettings) as caught:
            open_store(url, str(tmp_path))
        assert "secret" not in str(caught.value).replace("SECRET", "")

    def test_a_folder_is_one_too(self, tmp_path):
        place = StorePlace(str(tmp_path / "store"))
        assert place.folder == tmp_path / "store"
        assert place.open().put_bytes(DATA) == DIGEST
        assert StorePlace("s3://bucket").folder is None

    def test_a_store_elsewhere_needs_a_cache(self):
        with pytest.raises(InvalidSettings, match="cache"):
            open_store("s3://bucket")

    def test_the_client_may_be_missing(self, monkeypatch, tmp_path):
        monkeypatch.setitem(sys.modules, s3_blob_store.__name__, None)
        with pytest.raises(InvalidSettings, match=r"transplant\[s3\]"):
            open_store("s3://bucket", str(tmp_path))
