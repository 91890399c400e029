"""`transplant-edge predict` and `export` on a version that is at the site."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from fakes.net_on_disk import net_on_disk
from PIL import Image

from edge.cli import run
from transplant.artifact.export_net import export_net
from transplant.types import RouteReport, Task


@pytest.fixture
def site(tmp_path):
    folder, version = net_on_disk(tmp_path / "home")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    draw = np.random.default_rng(0)
    for name, shape in (("b.png", (40, 30, 3)), ("a.jpg", (32, 32, 3)), ("c.png", (64, 48, 3))):
        Image.fromarray(draw.integers(0, 255, shape, np.uint8)).save(pictures / name)
    (pictures / "notes.txt").write_text("no picture")
    return tmp_path, folder, version


def test_a_folder_is_predicted_as_json_lines(site, capsys):
    root, folder, version = site
    arguments = ["predict", str(root / "pictures"), "--home", str(root / "home"), "--batch", "2"]
    assert run(arguments) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["file"] for line in lines] == ["a.jpg", "b.png", "c.png"]
    with Image.open(root / "pictures" / "c.png") as picture:
        pixels = np.asarray(picture.convert("RGB").resize((32, 32), Image.Resampling.LANCZOS))
    images = torch.from_numpy(pixels.copy()).permute(2, 0, 1).unsqueeze(0)
    told = folder.load_net(version).predict(images, task=Task.CLASSIFICATION)
    assert {row["category"]: row["logit"] for row in lines[2]["answers"]} == pytest.approx(
        dict(zip(told.categories, told.logits_BG[0].tolist(), strict=True)), abs=1e-3
    )
    probabilities = [row["probability"] for row in lines[0]["answers"]]
    assert probabilities == sorted(probabilities, reverse=True)


def test_segmentations_come_as_csv_with_masks_of_the_pictures_size(site):
    root, _, _ = site
    table, masks = root / "out.csv", root / "masks"
    assert run([
        "predict", str(root / "pictures"), "--home", str(root / "home"), "--task", "segmentation",
        "--category", "c1", "--category", "c2", "--format", "csv", "--out", str(table), "--masks", str(masks),
    ]) == 0  # fmt: skip
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert {row["category"] for row in rows} == {"c1", "c2"}
    assert len(list(masks.iterdir())) == 6
    with Image.open(masks / "b.png.c1.png") as mask:
        assert mask.size == (30, 40)
        assert set(np.unique(np.asarray(mask))) <= {0, 255}


def test_a_route_that_another_teacher_supervised_is_marked(tmp_path, capsys):
    folder, version = net_on_disk(tmp_path / "home", supervised="c2")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(pictures / "a.png")
    asked = ["predict", str(pictures), "--home", str(tmp_path / "home"), "--task", "segmentation"]
    assert run(asked) == 0
    (line,) = capsys.readouterr().out.splitlines()
    marks = {row["category"]: row.get("supervised_by") for row in json.loads(line)["answers"]}
    assert marks == {"c0": None, "c1": None, "c2": "c0"}
    assert run([*asked, "--format", "csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {row["category"]: row["supervised_by"] for row in rows} == {"c0": "", "c1": "", "c2": "c0"}
    export_net(folder, folder.load_net(version), tmp_path / "out", ["safetensors"])
    card = json.loads((tmp_path / "out" / "card.json").read_bytes())
    assert {r["category"]: r["supervised_by"] for r in card["routes"] if r["task"] == "segmentation"} == {
        "c0": "", "c1": "", "c2": "c0",
    }  # fmt: skip


def test_a_budget_learns_its_guides_once_and_runs_so_many_routes(site, capsys):
    root, folder, version = site
    arguments = ["predict", str(root / "pictures"), "--home", str(root / "home"), "--budget", "1"]
    for _ in range(2):
        assert run(arguments) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [len(line["answers"]) for line in lines] == [1, 1, 1]
    guides = folder.net / str(version.number) / "guides.safetensors"
    before = guides.stat().st_mtime_ns
    assert run(arguments) == 0
    assert guides.stat().st_mtime_ns == before


def test_probabilities_are_calibrated_by_how_often_their_sites_said_that_routes_err(site, capsys):
    root, folder, version = site
    arguments = ["predict", str(root / "pictures"), "--home", str(root / "home")]

    def rows():
        assert run(arguments) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [row for line in lines for row in line["answers"]]

    assert all(row["probability"] == pytest.approx(sigmoid(row["logit"]), abs=1e-3) for row in rows())
    told = {("c1", Task.CLASSIFICATION): RouteReport(30.0, 4.0), ("c2", Task.SEGMENTATION): RouteReport(10.0)}
    folder.keep_reports(version, told)
    calibrated = {row["category"]: row["probability"] == pytest.approx(sigmoid(row["logit"]), abs=1e-3)
                  for row in rows()}  # fmt: skip
    assert calibrated == {"c0": True, "c1": False, "c2": True}
    out = root / "out"
    assert run(["export", "--home", str(root / "home"), "--out", str(out), "--format", "safetensors"]) == 0
    card = json.loads((out / "card.json").read_bytes())
    warm = {(r["category"], r["task"]): r["temperature"] for r in card["routes"] if r["temperature"] != 1.0}
    assert warm.keys() == {("c1", "classification"), ("c2", "segmentation")}
    assert warm["c1", "classification"] == 4.0


def test_large_images_are_calibrated_only_where_that_is_asked_for(site, monkeypatch):
    root, folder, version = site
    monkeypatch.setattr("edge.predict._GUIDED_PX", 16)  # as if 32 pixels were many
    folder.keep_reports(version, {("c1", Task.CLASSIFICATION): RouteReport(30.0)})
    arguments = ["predict", str(root / "pictures"), "--home", str(root / "home")]
    assert run(arguments) == 0
    assert not folder.has_guides(version)
    assert run([*arguments, "--guide-images", "64"]) == 0
    assert folder.load_net(version).guides["c1", Task.CLASSIFICATION].calibration.temperature != 1.0


def sigmoid(logit):
    return 1 / (1 + np.exp(-logit))


def test_an_export_is_used_without_a_site(site, capsys):
    root, _, _ = site
    out = str(root / "out")
    assert run(["export", "--home", str(root / "home"), "--out", out, "--format", "safetensors"]) == 0
    assert "card.json" in capsys.readouterr().out
    assert run(["predict", str(root / "pictures"), "--net", out]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["predict", "{pictures}", "--home", "{home}", "--task", "depth"],
            64,
            "classification, segmentation",
        ),
        (["predict", "{pictures}", "--home", "{home}", "--format", "xml"], 64, "json, csv"),
        (["predict", "{pictures}", "--home", "{home}", "--masks", "{home}/m"], 64, "--task segmentation"),
        (["predict", "{pictures}", "--home", "{home}", "--net", "{home}"], 64, "not both"),
        (["predict", "{home}", "--home", "{home}"], 66, "no pictures in"),
        (["predict", "{pictures}", "--home", "{home}", "--version", "9"], 68, "version 9"),
        (["predict", "{pictures}", "--home", "{home}", "--category", "cow"], 68, "no route cow"),
    ],
)
def test_mistakes_are_one_line_with_what_to_do(site, capsys, arguments, code, said):
    root, _, _ = site
    places = {"pictures": root / "pictures", "home": root / "home"}
    assert run([argument.format(**places) for argument in arguments]) == code
    assert said in capsys.readouterr().err


def test_a_file_that_is_no_picture_is_named(site, capsys):
    root, _, _ = site
    (root / "pictures" / "bad.png").write_bytes(b"nothing")
    assert run(["predict", str(root / "pictures"), "--home", str(root / "home")]) == 65
    assert "bad.png" in capsys.readouterr().err
