"""The whole path at full size is run by hand; its pieces are looked at here."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from benchmarks.speed.vgg16_path import PROCESSES, PathCase, PathRun, draw_pictures, tree_peaks
from central.cli import app as central_app
from edge.cli import app as edge_app
from edge.datasets.folder import FolderData
from edge.datasets.site_dataset import Split
from transplant.types import Task

if TYPE_CHECKING:
    from pathlib import Path

SMALL = PathCase(Task.SEGMENTATION, "vgg_small", 32)


def test_a_teacher_of_full_size_is_half_a_gigabyte() -> None:
    assert PathCase(Task.CLASSIFICATION).teacher_bytes == pytest.approx(537e6, rel=0.001)
    keys = {PathCase(task).record(process).key() for task in Task for process in PROCESSES}
    assert len(keys) == 2 * len(PROCESSES)


def test_drawn_pictures_are_a_site_of_both_tasks(tmp_path: Path) -> None:
    draw_pictures(tmp_path, SMALL, 0)
    data = FolderData("first", tmp_path, 32)
    counts = {split: len(data.load(split)) for split in Split}
    assert counts == {Split.TRAIN: 6, Split.VALIDATION: 2, Split.TEST: 2}
    train = data.load(Split.TRAIN)
    assert sorted(train.labels.tolist()) == [0, 0, 0, 1, 1, 1]
    assert int((train.masks == 1).flatten(1).any(1).sum()) == 3


def test_commands_are_those_of_the_two_sides(tmp_path: Path) -> None:
    with PathRun(SMALL, tmp_path / "run") as path:
        for app, command in ((central_app, path.center_command()), (edge_app, path.site_command("first"))):
            known = CliRunner().invoke(app, [command[3], "--help"], env={"COLUMNS": "300"}).output
            flags = [word for word in command[4:] if word.startswith("--")]
            assert flags
            assert not [flag for flag in flags if flag not in known]
    assert not (tmp_path / "run").exists()


def test_peaks_are_of_a_process_and_of_those_below_it() -> None:
    below = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    child = subprocess.Popen([sys.executable, "-c", below], stdin=subprocess.PIPE, start_new_session=True)
    try:
        while len(peaks := tree_peaks(child.pid)) < 2:
            assert child.poll() is None
        assert child.pid in peaks
        assert os.getpid() not in peaks
        assert all(peak >= 0 for peak in peaks.values())
    finally:
        child.communicate(b"\n")
    assert tree_peaks(child.pid) == {}
