"""What a backup keeps and what comes back of it; a backup that is not whole restores nothing."""

from __future__ import annotations

import json
import shutil
import tarfile

import pytest
from fakes.grown_center import grown_home

from central import cli
from central.backup import archives
from central.backup.manifest import manifest_document, parse_manifest
from central.backup.restore import restore_backup
from central.backup.take import take_backup
from central.fsck.inspect_center import inspect_center
from central.settings import read_settings
from transplant.artifact.digest import canonical_json, sha256_hex
from transplant.errors import BackupInvalid, CertificateInvalid, InvalidSettings, RegistryDamaged


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    home = tmp_path_factory.mktemp("grown") / "home"
    home.mkdir()
    return grown_home(home)


@pytest.fixture
def center(grown, tmp_path):
    """A copy of a grown center that the test may damage."""
    shutil.copytree(grown.home, tmp_path / "center")
    return read_settings({"home": tmp_path / "center"})


@pytest.fixture
def new(tmp_path):
    return read_settings({"home": tmp_path / "new"})


def tree(root):
    return {
        str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_what_a_center_knew_is_restored(center, new, tmp_path, name):
    out = tmp_path / name
    manifest = take_backup(center, out)
    restored = restore_backup(out, new)
    assert restored.document() == {
        "clean": True,
        "damaged": False,
        "serving": False,
        "checked": {"blobs": 8, "modules": 8, "versions": manifest.version},
        "findings": [],
    }
    waiting = [row for row in manifest.files if row.startswith("blobs/")]
    assert len(waiting) == 9, "the payload that waits for admission is kept, too"
    assert not (new.home / "identity").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_private_keys_are_kept_only_when_asked_for_and_only_for_the_owner(center, new, tmp_path):
    manifest = take_backup(center, tmp_path / "plain")
    assert manifest.named("identity/") == {}
    key = (center.home / "identity" / "ca.key").read_bytes()
    assert key not in b"".join(p.read_bytes() for p in (tmp_path / "plain").rglob("*") if p.is_file())
    take_backup(center, tmp_path / "backup", with_identity=True)
    take_backup(center, tmp_path / "backup.tar", with_identity=True)
    for path in [tmp_path / "backup.tar", *(tmp_path / "backup").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    restore_backup(tmp_path / "backup", new)
    identity = new.home / "identity"
    assert identity.stat().st_mode & 0o777 == 0o700
    assert ((identity / "ca.key").read_bytes(), (identity / "ca.key").stat().st_mode & 0o777) == (key, 0o600)
    assert (identity / "ca.pem").stat().st_mode & 0o777 == 0o644


@pytest.mark.postgres
def test_a_center_moves_from_postgresql_to_sqlite_and_back(postgres, tmp_path):
    url, empty = (postgres.url(postgres.create_database()) for _ in range(2))
    settings = grown_home(tmp_path / "home", registry_url=url)
    assert inspect_center(settings).findings == ()
    take_backup(settings, tmp_path / "backup")
    moved = read_settings({"home": tmp_path / "moved"})
    assert restore_backup(tmp_path / "backup", moved).findings == ()
    take_backup(moved, tmp_path / "again.tar")
    back = read_settings({"home": tmp_path / "back", "registry_url": empty})
    report = restore_backup(tmp_path / "again.tar", back)
    assert (report.findings, report.versions) == ((), 2)
    with pytest.raises(InvalidSettings, match="not empty"):
        restore_backup(tmp_path / "again.tar", read_settings({"home": tmp_path / "x", "registry_url": url}))


def test_an_identity_that_is_not_there_cannot_be_kept(center, tmp_path):
    shutil.rmtree(center.home / "identity")
    with pytest.raises(CertificateInvalid):
        take_backup(center, tmp_path / "backup.tar", with_identity=True)
    assert not (tmp_path / "backup.tar").exists()


class TestFolder:
    """An earlier backup is renewed in place."""

    @pytest.fixture
    def out(self, center, tmp_path):
        take_backup(center, tmp_path / "backup")
        return tmp_path / "backup"

    def test_what_is_there_is_not_copied_again_and_what_is_no_longer_named_goes(self, center, out):
        before = tree(out / "objects")
        manifest = take_backup(center, out)  # the log has one more entry: that a backup was taken
        after = tree(out / "objects")
        assert set(after) == {f"{sha256[:2]}/{sha256}" for sha256 in manifest.digests()}
        assert len(set(before) - set(after)) == len(set(after) - set(before)) == 1
        assert all(before[name] == after[name] for name in set(before) & set(after))

    def test_a_damaged_object_is_copied_anew(self, center, out, new):
        for path in out.glob("objects/*/*"):
            path.write_bytes(b"rotten")
        take_backup(center, out)
        assert restore_backup(out, new).findings == ()

    def test_a_crash_leaves_the_earlier_one_whole(self, center, out, new, monkeypatch):
        def killed(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(archives, "write_durably", killed)
            with pytest.raises(KeyboardInterrupt):
                take_backup(center, out)
        assert restore_backup(out, new).findings == ()

    def test_a_folder_with_other_things_is_refused(self, center, tmp_path):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "letter").write_text("dear")
        with pytest.raises(InvalidSettings, match="letter"):
            take_backup(center, tmp_path / "mine")


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_no_backup_of_a_damaged_store(center, tmp_path, name):
    lost, rotten = list((center.home / "store").glob("??/*"))[:2]
    data = rotten.read_bytes()
    rotten.write_bytes(data[:-1] + b"x")
    with pytest.raises(RegistryDamaged, match="fsck"):
        take_backup(center, tmp_path / name)
    rotten.write_bytes(data)
    lost.unlink()
    with pytest.raises(RegistryDamaged, match="fsck"):
        take_backup(center, tmp_path / name)
    assert not (tmp_path / name / "backup.json").exists()
    assert not (tmp_path / "backup.tar").exists()


class TestNotWhole:
    """Nothing is restored from what is not a whole backup."""

    @pytest.fixture
    def out(self, center, tmp_path):
        take_backup(center, tmp_path / "backup")
        return tmp_path / "backup"

    @staticmethod
    def refused(out, new, told):
        with pytest.raises(BackupInvalid, match=told):
            restore_backup(out, new)
        assert not new.home.exists()
        assert [path.name for path in new.home.parent.iterdir() if path.name.startswith(".")] == []

    def test_any_file_that_was_changed_or_is_lost(self, out, new):
        manifest = parse_manifest((out / "backup.json").read_bytes())
        for sha256 in manifest.digests():
            path = out / "objects" / sha256[:2] / sha256
            data = path.read_bytes()
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if data else b"x")
            self.refused(out, new, "changed")
            path.unlink()
            self.refused(out, new, "lost")
            path.write_bytes(data)
        assert restore_backup(out, new).findings == ()

    def test_a_manifest_that_was_changed(self, out, new):
        path = out / "backup.json"
        path.write_text(path.read_text().replace('"version": 2', '"version": 3'))
        self.refused(out, new, "changed")
        path.write_text("{}")
        self.refused(out, new, "no backup")
        path.unlink()
        self.refused(out, new, "no complete backup")

    @pytest.mark.parametrize("name", ["../../etc/passwd", "identity/../x", "/x", "identity/a\n", "blobs/x"])
    def test_a_name_that_leads_elsewhere(self, out, new, name):
        document = json.loads((out / "backup.json").read_bytes())
        body = document["backup"]
        body["files"][name] = body["files"][
            "settings.json" if "settings.json" in body["files"] else "registry/sites.jsonl"
        ]
        document["sha256"] = sha256_hex(canonical_json(body))
        (out / "backup.json").write_text(json.dumps(document))
        self.refused(out, new, "no backup")

    def test_a_table_that_is_left_out(self, out, new):
        manifest = parse_manifest((out / "backup.json").read_bytes())
        files = {name: file for name, file in manifest.files.items() if name != "registry/sites.jsonl"}
        (out / "backup.json").write_bytes(manifest_document(manifest.model_copy(update={"files": files})))
        self.refused(out, new, "sites")

    def test_a_tar_file_that_ends_early(self, center, new, tmp_path):
        out = tmp_path / "backup.tar"
        take_backup(center, out)
        out.write_bytes(out.read_bytes()[:5000])
        self.refused(out, new, "no complete backup")
        out.write_bytes(b"nonsense")
        self.refused(out, new, "no complete backup")
        with tarfile.open(out, "w"):
            pass
        self.refused(out, new, "no complete backup")


def test_a_home_with_anything_in_it_is_left_alone(center, new, tmp_path):
    take_backup(center, tmp_path / "backup")
    new.home.mkdir()
    restore_backup(tmp_path / "backup", new)  # empty: fine
    before = tree(new.home)
    with pytest.raises(InvalidSettings, match="not empty"):
        restore_backup(tmp_path / "backup", new)
    assert tree(new.home) == before


def test_the_commands(center, tmp_path, monkeypatch, capsys):
    def run(*arguments) -> int:
        monkeypatch.setattr("sys.argv", ["transplant-central", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code

    out = tmp_path / "backup.tar"
    assert run("backup", "--home", center.home, "--out", out, "--with-identity") == 0
    assert "version 2" in capsys.readouterr().out
    assert run("restore", "--from", out, "--home", tmp_path / "new") == 0
    assert "0 damaged" in capsys.readouterr().out
    assert run("restore", "--from", out, "--home", tmp_path / "new") == InvalidSettings.exit_code
    assert run("restore", "--from", tmp_path, "--home", tmp_path / "newer") == BackupInvalid.exit_code
    assert run("fsck", "--home", tmp_path / "new") == 0
    assert run("audit", "verify", "--home", tmp_path / "new") == 0
