"""One interface for every origin of data, and the plain sentences for what can be wrong with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fakes.tiny_data import SquareData, square_pictures, write_folder
from PIL import Image

from edge.datasets.folder import FolderData
from edge.datasets.open_data import DataSpec, RememberedData, open_data, parse_spec
from edge.datasets.site_dataset import VOID, SiteDataset, Split, from_arrays
from edge.datasets.voc import VocData
from transplant.errors import DatasetInvalid, DatasetNotFound, InvalidSettings
from transplant.types import Task


def _dataset(**changes):
    images, labels, masks = square_pictures(4, 0)
    parts = {"images_NHWC": images, "labels": labels, "masks": masks} | changes
    return from_arrays("square", Split.TRAIN, **parts)


def test_sizes_tasks_and_fingerprint():
    data = _dataset()
    assert data.raw_bytes == 4 * (3 * 32 * 32 + 1 + 32 * 32)
    assert data.tasks == (Task.CLASSIFICATION, Task.SEGMENTATION)
    assert _dataset(masks=None).tasks == (Task.CLASSIFICATION,)
    assert data.fingerprint == _dataset().fingerprint != _dataset(masks=None).fingerprint


def test_samples_that_are_void_everywhere_teach_no_segmentation():
    _, _, masks = square_pictures(4, 0)
    masks[[0, 2]] = VOID
    masks[1, :3] = VOID
    images, targets = _dataset(masks=masks).examples(Task.SEGMENTATION)
    assert len(images) == len(targets) == 2
    assert len(_dataset(masks=masks).examples(Task.CLASSIFICATION)[0]) == 4
    with pytest.raises(DatasetInvalid, match="void everywhere"):
        _dataset(masks=np.full_like(masks, VOID)).examples(Task.SEGMENTATION)
    with pytest.raises(DatasetInvalid, match="no masks"):
        _dataset(masks=None).examples(Task.SEGMENTATION)


def test_batches_cover_everything_in_order():
    data = _dataset()
    batches = list(data.batches(Task.CLASSIFICATION, 3))
    assert [len(targets) for _, targets in batches] == [3, 1]
    assert torch.equal(torch.cat([images for images, _ in batches]), data.images)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("images", torch.zeros(4, 3, 32, 32), "images must be uint8"),
        ("images", torch.zeros(0, 3, 32, 32, dtype=torch.uint8), "no images"),
        ("labels", torch.full((4,), 2, dtype=torch.uint8), "labels must be"),
        ("masks", torch.zeros(4, 16, 16, dtype=torch.uint8), "masks must be"),
        ("masks", torch.full((4, 32, 32), 7, dtype=torch.uint8), "mask values"),
    ],
)
def test_parts_that_do_not_fit_are_refused(part, value, message):
    data = _dataset()
    parts = {"images": data.images, "labels": data.labels, "masks": data.masks} | {part: value}
    with pytest.raises(DatasetInvalid, match=message):
        SiteDataset("square", Split.TRAIN, **parts)


@pytest.mark.parametrize("coding", [1, 255])
def test_a_folder_gives_the_same_masks_in_both_codings(tmp_path, coding):
    data = FolderData("square", write_folder(tmp_path / "own", mask_value=coding), 32)
    splits = {split: data.load(split) for split in Split}
    assert [len(splits[split]) for split in Split] == [20, 4, 6]
    train = splits[Split.TRAIN]
    assert train.masks is not None
    assert set(train.masks.unique().tolist()) == {0, 1}
    assert torch.equal((train.masks == 1).flatten(1).any(1).to(torch.uint8), train.labels)
    assert abs(float(train.labels.float().mean()) - 0.5) < 0.01


def test_255_beside_1_is_void(tmp_path):
    folder = write_folder(tmp_path / "own", mask_value=1)
    mask = np.zeros((32, 32), np.uint8)
    mask[:8], mask[8:10] = 1, 255
    Image.fromarray(mask).save(folder / "masks" / "p1.png")
    seen = torch.cat([FolderData("square", folder, 32).load(split).masks for split in Split])
    assert set(seen.unique().tolist()) == {0, 1, VOID}


def test_an_image_without_mask_is_named(tmp_path):
    folder = write_folder(tmp_path / "own")
    (folder / "masks" / "p1.png").unlink()
    (folder / "masks" / "p2.png").unlink()  # labelled 0: needs none
    with pytest.raises(DatasetInvalid, match=r"p1\.png shows square but has no mask"):
        FolderData("square", folder, 32).load(Split.TRAIN)
    assert FolderData("square", folder, 32, with_masks=False).load(Split.TRAIN).masks is None


def test_every_bad_row_is_told_at_once_with_its_line(tmp_path):
    folder = write_folder(tmp_path / "own")
    rows = (folder / "labels.csv").read_text().splitlines()
    rows[2], rows[4], rows[6] = "p1.png,2", "p3.png", "../p5.png,1"
    rows += ["p0.png,0", "gone.png,1"]
    (folder / "labels.csv").write_text("\n".join(rows))
    with pytest.raises(DatasetInvalid) as told:
        FolderData("square", folder, 32).load(Split.TRAIN)
    for part in (
        "line 3: label '2'", "line 5: 1 columns", "line 7: '../p5.png'", "line 32: p0.png stands",
        "line 33: gone.png is not", "no row for images/p1.png",
    ):  # fmt: skip
        assert part in str(told.value)


@pytest.mark.parametrize(
    ("break_it", "error", "message"),
    [
        (lambda f: (f / "images" / "p3.png").write_bytes(b"no picture"), DatasetInvalid, r"p3\.png"),
        (lambda f: (f / "labels.csv").unlink(), DatasetNotFound, r"labels\.csv"),
        (lambda f: (f / "labels.csv").write_text("name;x\n"), DatasetInvalid, "line 1: the header"),
        (lambda f: (f / "labels.csv").write_bytes(b"\xff\xfe\x00"), DatasetInvalid, "UTF-8"),
        (lambda f: (f / "images").rename(f / "pictures"), DatasetNotFound, "images"),
        (
            lambda f: Image.new("L", (8, 8)).save(f / "masks" / "p3.png"),
            DatasetInvalid,
            r"p3\.png is \(8, 8\) pixels",
        ),
        (
            lambda f: Image.new("L", (32, 32), 77).save(f / "masks" / "p3.png"),
            DatasetInvalid,
            r"p3\.png holds the values \[77\]",
        ),
    ],
)
def test_a_broken_folder_is_explained(tmp_path, break_it, error, message):
    folder = write_folder(tmp_path / "own")
    break_it(folder)
    data = FolderData("square", folder, 32)
    with pytest.raises(error, match=message):
        [data.load(split) for split in Split]


def test_the_split_can_be_told(tmp_path):
    folder = write_folder(tmp_path / "own", count=6)
    told = ["train", "train", "validation", "validation", "test", "test"]
    rows = ["file,label,split", *(f"p{at}.png,{at % 2},{split}" for at, split in enumerate(told))]
    (folder / "labels.csv").write_text("\n".join(rows))
    assert [len(FolderData("square", folder, 32).load(split)) for split in Split] == [2, 2, 2]


def test_specs():
    assert parse_spec("scenes") == DataSpec("scenes")
    assert str(parse_spec("folder:/a:b").path) == "/a:b"
    for wrong in ("", "scene", "folder", "folder:", "scenes:x", "voc"):
        with pytest.raises(InvalidSettings, match="is none of scenes"):
            parse_spec(wrong)


@pytest.mark.parametrize(
    ("spec", "category"), [("voc_mammals", "cat"), ("cifar10", "frog"), ("voc:x", "cat")]
)
def test_a_wrong_root_is_named(tmp_path, spec, category):
    data = open_data(parse_spec(spec), category, home=tmp_path, data_root=tmp_path / "nowhere", seed=0)
    with pytest.raises(DatasetNotFound, match=r"nowhere|VOC 2012"):
        data.load(Split.TRAIN)


@pytest.mark.parametrize("spec", ["voc_mammals", "cifar10", "voc:x", "scenes"])
def test_unknown_categories_are_refused_before_anything_is_read(tmp_path, spec):
    with pytest.raises(InvalidSettings, match="unicorn"):
        open_data(parse_spec(spec), "unicorn", home=tmp_path, data_root=tmp_path, seed=0)


def test_a_split_is_read_once():
    origin = SquareData()
    data = RememberedData(origin)
    assert data.load(Split.TEST) is data.load(Split.TEST)
    assert data.raw_bytes == 3 * 32 * (3 * 1024 + 1 + 1024)
    assert sorted(origin.loads) == sorted(Split)


def _voc_root(root):
    base = root / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (base / name).mkdir(parents=True)
    images, _, masks = square_pictures(80, 0)
    names = [f"2012_{at:06d}" for at in range(80)]
    for at, name in enumerate(names):
        Image.fromarray(images[at]).resize((64, 48)).save(base / "JPEGImages" / f"{name}.jpg")
        coded = Image.fromarray(np.where(masks[at] == 1, 8, 0).astype(np.uint8))
        coded.resize((64, 48), Image.Resampling.NEAREST).save(base / "SegmentationClass" / f"{name}.png")
    (base / "ImageSets" / "Segmentation" / "train.txt").write_text("\n".join(names[:60]) + "\n")
    (base / "ImageSets" / "Segmentation" / "val.txt").write_text("\n".join(names[60:]) + "\n")
    return root


def test_voc_is_read_through_torchvision(tmp_path):
    data = VocData("cat", _voc_root(tmp_path), 32, 0)
    test = data.load(Split.TEST)
    assert len(test) == 20
    assert int(test.labels.sum()) == 10
    images, masks = test.examples(Task.SEGMENTATION)
    assert len(images) == 10
    assert float((masks == 1).float().mean()) > 0.5  # cut to the object
    train = data.load(Split.TRAIN)
    assert len(train) + len(data.load(Split.VALIDATION)) <= 60
