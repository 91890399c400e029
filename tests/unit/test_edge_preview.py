"""The picture of a site's segmentations: drawn with what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from PIL import Image

from edge.datasets.site_dataset import SiteDataset, Split
from edge.preview import draw_preview
from transplant.errors import DatasetInvalid
from transplant.nets.architecture_table import default_architecture
from transplant.nets.teacher_net import TeacherNet
from transplant.nets.transplant_net import TransplantNet
from transplant.types import NetVersion, Route, Task

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def teacher() -> TeacherNet:
    net = TeacherNet(default_architecture("vgg_small", 32), list(Task))
    net.initialise(0)
    return net


def _data(masks: bool) -> SiteDataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.tensor([0, 1, 0, 1, 1, 1], dtype=torch.uint8)
    shown = torch.zeros(6, 32, 32, dtype=torch.uint8)
    shown[labels == 1, 8:20, 8:20] = 1
    return SiteDataset("digit-1", Split.TEST, images, labels, shown if masks else None)


def _net(teacher: TeacherNet, task: Task) -> TransplantNet:
    route = Route("digit-1", task, "f" * 64, None, "a" * 64, "k")
    modules = {"f" * 64: teacher.category_module, "a" * 64: teacher.task_modules[task.value]}
    return TransplantNet(NetVersion(1, None, (route,)), modules)


def test_a_site_without_a_route_gets_the_picture_without_that_row(teacher: TeacherNet, tmp_path: Path):
    draw_preview(teacher, _net(teacher, Task.SEGMENTATION), "digit-1", _data(True), tmp_path / "all.png")
    draw_preview(teacher, _net(teacher, Task.CLASSIFICATION), "digit-1", _data(True), tmp_path / "few.png")
    with Image.open(tmp_path / "all.png") as full, Image.open(tmp_path / "few.png") as few:
        assert full.width == few.width
        assert full.height > few.height


def test_data_without_masks_is_a_plain_error(teacher: TeacherNet, tmp_path: Path):
    with pytest.raises(DatasetInvalid, match="no masks"):
        draw_preview(teacher, _net(teacher, Task.SEGMENTATION), "digit-1", _data(False), tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()
