"""A center whose payloads are in an S3 store: sites, workers, checks and backups find them there."""

from __future__ import annotations

import pytest
from fakes.grown_center import grown_home
from fakes.s3 import s3_server, set_credentials

from central.backup.restore import restore_backup
from central.backup.take import take_backup
from central.fsck.inspect_center import inspect_center
from central.home import open_known_registry, store_place
from central.settings import read_settings
from transplant.errors import InvalidSettings


@pytest.fixture
def s3(monkeypatch):
    set_credentials(monkeypatch)
    with s3_server() as server:
        yield server


def test_a_net_grows_in_a_bucket_and_comes_back_from_a_backup(s3, tmp_path):
    settings = grown_home(
        tmp_path / "home", store_url=s3.new_bucket()
    )  # workers open the store by their orders
    assert not (tmp_path / "home" / "store").exists()
    report = inspect_center(settings)
    assert (report.findings, report.blobs, report.versions) == ((), 8, 2)

    take_backup(settings, tmp_path / "backup")
    local = read_settings({"home": tmp_path / "local"})
    assert restore_backup(tmp_path / "backup", local).findings == ()
    moved = read_settings({"home": tmp_path / "moved", "store_url": s3.new_bucket()})
    assert restore_backup(tmp_path / "backup", moved).findings == ()

    store = store_place(settings).open()
    registry = open_known_registry(settings)
    with registry.read() as books:
        lost, rotten, *_ = (module.payload_sha256 for module in books.modules.list())
    registry.close()
    store.delete(lost)
    s3.overwrite(settings.store_url, rotten, b"other")
    stray = store.put_bytes(b"nobody's")
    assert {(finding.kind, finding.where) for finding in inspect_center(settings).findings} == {
        ("blob-missing", f"blob {lost}"),
        ("blob-damaged", f"blob {rotten}"),
        ("blob-orphan", f"blob {stray}"),
    }


def test_the_settings_keep_the_address_and_no_secret(tmp_path, monkeypatch):
    set_credentials(monkeypatch)
    url = "s3://blobs/center?endpoint=https://minio.example:9000"
    settings = read_settings({"home": tmp_path, "store_url": url, "store_cache_bytes": 1 << 20})
    assert url.encode() in settings.document()
    assert b"AWS" not in settings.document()
    place = store_place(settings)
    assert (place.url, place.cache, place.cache_bytes) == (url, str(tmp_path / "store-cache"), 1 << 20)
    assert store_place(read_settings({"home": tmp_path})).folder == tmp_path / "store"
    elsewhere = read_settings({"home": tmp_path, "store_url": "relative"})
    assert store_place(elsewhere).folder.is_absolute()
    for wrong in ("gs://bucket", "s3://key:secret@bucket"):
        with pytest.raises(InvalidSettings, match="store_url") as caught:
            read_settings({"home": tmp_path, "store_url": wrong})
        assert "key:secret" not in str(caught.value)
