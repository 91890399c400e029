"""A center is destroyed, comes back from its backup elsewhere, and goes on."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest
from fakes.grown_center import answer_candidates, grow
from fakes.real_center import RealCenter, real_center
from fakes.waiting import wait

from central.backup.restore import restore_backup
from central.backup.take import take_backup
from central.fsck.inspect_center import inspect_center
from central.settings import read_settings
from transplant.types import MergeState


@contextmanager
def serving_again(home, settings):
    center = RealCenter(home, settings)
    center.start()
    try:
        yield center
    finally:
        center.stop()


def everything(center, tmp_path) -> dict[str, bytes]:
    """Return every version as it is published, and every module of it as a site downloads it."""
    client = center.client("site-dog")
    found = {}
    for version in client.list_versions():
        found[f"version {version.number}"] = repr(version).encode()
        for module_id in version.module_ids():
            path = client.download(module_id, tmp_path)
            found[module_id] = path.read_bytes() + path.with_suffix(".json").read_bytes()
    return found


@pytest.mark.slow
def test_a_destroyed_center_comes_back_and_goes_on(tmp_path):
    home, kits, outbox = (tmp_path / name for name in ("home", "kits", "outbox"))
    with real_center(home, founder="dog") as center:
        assert grow(center, "dog", "cat") == 3
        before = everything(center, tmp_path / "before")
        assert inspect_center(center.settings).findings == ()
        center.bring("cow", seed=3)
        taken = take_backup(center.settings, tmp_path / "backup.tar", with_identity=True)  # while it learns
        assert inspect_center(center.settings).damage == ()
        assert taken.version == 3
    kits, outbox = (shutil.copytree(home / name, tmp_path / name) for name in ("kits", "outbox"))
    shutil.rmtree(home)

    new = read_settings(center.settings.model_dump() | {"home": tmp_path / "new"})
    report = restore_backup(tmp_path / "backup.tar", new)
    assert report.findings == ()
    shutil.copytree(kits, new.home / "kits")
    shutil.copytree(outbox, new.home / "outbox")
    with serving_again(new.home, new) as center:
        assert everything(center, tmp_path / "after") == before
        cow = center.client("site-cow")

        def joined():
            answer_candidates(cow)
            return all(merge.state is MergeState.PUBLISHED for merge in cow.list_merges("cow"))

        wait(joined)
        assert cow.get_version().number > 3
        assert inspect_center(new).damage == ()
