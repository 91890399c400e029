"""Public images of the operator: kept once, named in the merge's key, read by whoever learns it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.plans import BOTH, POLICY, route, situation, tasks, teacher
from fakes.turned_center import World
from PIL import Image
from typer.testing import CliRunner

from central.cli import app
from central.merge import public_images
from central.merge.demand import demand_of
from central.merge.execute import execute, problem_of
from central.merge.public_images import keep_public_images, look_at_public_images, read_public_images
from central.merge.situation import CompleteTeacher
from central.merge.tasks import learner_document, task_from_document
from central.merge.workshop import Workbench
from central.settings import read_settings
from transplant.artifact.manifest import parse_manifest
from transplant.datafree.pipeline import best_source
from transplant.errors import DatasetInvalid, DatasetNotFound
from transplant.nets.learner_config import FEWEST_PUBLIC_IMAGES
from transplant.types import Task

FOUNDED = [route("dog", task) for task in BOTH]
KEPT = "public-images"


def pictures(folder: Path, count: int = FEWEST_PUBLIC_IMAGES + 4, first: int = 0) -> Path:
    """Write pictures of their own colours, some of them below."""
    for number in range(count):
        path = folder / ("below" if number % 2 else ".") / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (first + number, 7, 7)).save(path)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return pictures(tmp_path / "public")


def test_the_digest_is_of_the_pictures_in_the_order_of_their_names(folder, tmp_path):
    found = look_at_public_images(folder)
    assert len(found.paths) == 20
    (folder / "000.png").rename(folder / "0000.png")  # still the first
    (folder / "note.txt").write_text("no picture")
    assert look_at_public_images(folder).digest == found.digest
    assert look_at_public_images(pictures(tmp_path / "other", first=1)).digest != found.digest


def test_pictures_are_kept_once_and_outlive_their_folder(folder, tmp_path):
    digest = keep_public_images(folder, tmp_path / KEPT)
    shutil.rmtree(folder / "below")
    shutil.rmtree(folder)
    images = read_public_images(tmp_path / KEPT / digest, digest, 32)
    assert (images.shape, images.dtype) == ((20, 3, 32, 32), np.uint8)
    assert sorted(images[:, 0, 0, 0].tolist()) == list(range(20))
    stamp = (tmp_path / KEPT / digest).stat().st_mtime_ns
    pictures(folder)
    assert keep_public_images(folder, tmp_path / KEPT) == digest
    assert (tmp_path / KEPT / digest).stat().st_mtime_ns == stamp
    assert [path.name for path in (tmp_path / KEPT).iterdir()] == [digest]


def test_of_many_pictures_some_are_taken_evenly(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(public_images, "MOST_BYTES", 3 * 32 * 32 * 18)
    digest = keep_public_images(folder, tmp_path / KEPT)
    assert len(read_public_images(tmp_path / KEPT / digest, digest, 32)) == 18
    assert len(read_public_images(tmp_path / KEPT / digest, digest, 64)) == FEWEST_PUBLIC_IMAGES
    monkeypatch.setattr(public_images, "MOST", 17)
    taken = [path.parent.name for path in look_at_public_images(folder).paths]
    assert (len(taken), taken.count("below")) == (17, 8)


def test_a_folder_that_is_of_no_use_says_what_to_do(folder, tmp_path):
    with pytest.raises(DatasetNotFound, match="set proxy to a folder"):
        look_at_public_images(tmp_path / "nowhere")
    with pytest.raises(DatasetNotFound, match=r"holds 3 pictures .* at least 16"):
        look_at_public_images(pictures(tmp_path / "few", 3))
    (folder / "004.png").write_bytes(b"not a picture")
    with pytest.raises(DatasetInvalid, match=r"004\.png is not a readable"):
        keep_public_images(folder, tmp_path / KEPT)
    assert not (tmp_path / KEPT).exists()


def test_a_copy_that_is_gone_or_changed_is_told_of(folder, tmp_path):
    digest = keep_public_images(folder, tmp_path / KEPT)
    with pytest.raises(DatasetNotFound, match="every Ray node"):
        read_public_images(tmp_path / "elsewhere" / digest, digest, 32)
    (tmp_path / KEPT / digest / "00000.png").unlink()
    with pytest.raises(DatasetInvalid, match="were changed"):
        read_public_images(tmp_path / KEPT / digest, digest, 32)


def test_other_pictures_are_another_merge_and_none_change_no_key():
    seen = situation([teacher("dog"), teacher("cat")], FOUNDED)
    plain, one, other = (
        [planned.task for planned in tasks(seen, replace(POLICY, proxy=proxy))] for proxy in ("", "a", "b")
    )
    assert [task.proxy for task in plain] == [None, None]
    assert b"proxy" not in plain[0].to_document()
    assert len({task.key for task in (*plain, *one, *other)}) == 6
    assert task_from_document(one[0].to_document()) == one[0]


def test_pictures_are_named_only_where_they_are_learned_on():
    by_answers = CompleteTeacher(
        "f-cat", "site-cat", "cat", "f-cat", (), ((Task.CLASSIFICATION, "answers-cat"),)
    )
    seen = situation([teacher("dog"), by_answers], FOUNDED)
    policy = replace(POLICY, proxy="a")
    assert [planned.task.proxy for planned in tasks(seen, policy)] == [None]
    seen = situation([teacher("dog"), teacher("cat")], FOUNDED)
    closed = replace(policy, learner=learner_document({"method": "closed-form"}))
    assert {planned.task.proxy for planned in tasks(seen, closed)} == {None}
    founding = tasks(situation([teacher("dog")]), policy)
    assert {planned.task.proxy for planned in founding} == {None}


def test_a_center_that_is_given_pictures_learns_on_them(folder, tmp_path):
    world = World(tmp_path / "home", proxy=folder, batch=4, candidates=1)
    try:
        world.grow("dog", 1)
        world.bring("cat", 2)
        world.rounds(2)
        ((key, order),) = world.engine.orders.items()
        task = task_from_document(order.task.encode())
        assert task.key == key
        assert task.proxy == look_at_public_images(folder).digest
        assert Path(order.proxy) == tmp_path / "home" / KEPT / task.proxy
        shutil.rmtree(folder)
        problem, _ = problem_of(order)
        assert best_source(problem) == "proxy"
        assert problem.proxy_images.shape == (20, 3, 32, 32)
        execute(order)
        outcome = Workbench(Path(order.bench)).outcome()
        assert outcome.error == ""
        manifests = [parse_manifest(each.encode()) for each in order.manifests]
        bare = replace(task, proxy=None)
        assert demand_of(task, manifests).memory_bytes > demand_of(bare, manifests).memory_bytes
    finally:
        world.registry.close()


def test_serve_says_at_its_start_that_the_folder_is_of_no_use(tmp_path):
    few = pictures(tmp_path / "few", 2)
    with pytest.raises(DatasetNotFound, match="at least 16"):
        World(tmp_path / "home", proxy=few)


def test_the_setting_is_absolute_and_stands_in_the_document(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = read_settings({"home": tmp_path / "home", "proxy": Path("public")})
    assert settings.proxy == folder
    assert json.loads(settings.document())["proxy"] == str(folder)
    assert json.loads(read_settings({"home": tmp_path}).document())["proxy"] is None


@pytest.mark.parametrize("command", ["serve", "preflight"])
def test_the_commands_take_the_folder(command):
    assert "--proxy" in CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
