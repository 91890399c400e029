"""The journey's judgements on made-up evidence: bars, changes, foreign opens, the folder it may empty."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks.journey.change_proof import Sighting, differences
from benchmarks.journey.figures import Figure, missed_bars, read_site_report, report_document
from benchmarks.journey.open_proof import HARNESS, prove_opens
from benchmarks.journey.pictures import draw_bars, draw_net, wilson_interval
from benchmarks.journey.plan import JourneyPlan, checked_plan, default_categories, prepare_folder
from benchmarks.journey.table import byte_text, markdown_table
from transplant.errors import BenchmarkFailed, InvalidName, InvalidSettings
from transplant.types import NetVersion, Route, Task

if TYPE_CHECKING:
    from pathlib import Path

ERROR = Figure(
    "digit-1", "digit-1", "classification", "error", 4.0, 10.0, 50.0, 400, 1000, 9000, founder=False
)
IOU = replace(ERROR, task="segmentation", metric="iou", teacher=70.0, transplanted=40.0, floor=0.0)


# --- bars ----------------------------------------------------------------------------------------


def test_both_directions_are_measured_from_the_floor():
    assert ERROR.closed == pytest.approx(40 / 46)
    assert IOU.closed == pytest.approx(40 / 70)
    assert missed_bars([ERROR, IOU]) == []


@pytest.mark.parametrize("figure", [replace(ERROR, transplanted=27.5), replace(IOU, transplanted=34.0)])
def test_less_than_half_way_is_a_miss_and_says_so(figure: Figure):
    (sentence,) = missed_bars([figure])
    assert "the bar is 50 %" in sentence
    assert missed_bars([replace(figure, founder=True)]) == []


def test_a_teacher_that_learned_nothing_shows_nothing():
    (sentence,) = missed_bars([replace(ERROR, teacher=50.0, transplanted=50.0)])
    assert "nothing is shown" in sentence


def test_the_report_has_the_agreed_fields():
    document = report_document([ERROR], unchanged=True, versions=3, seconds=12.34)
    assert set(document) == {"routes", "unchanged", "versions", "seconds"}
    names = "site category task metric teacher transplanted floor bytes_shipped raw_bytes_kept"
    assert set(document["routes"][0]) == set(names.split())


def test_a_sites_report_is_read_or_named(tmp_path: Path):
    measures = {"error": 5.0}
    route = {
        "task": "classification",
        "teacher": measures,
        "transplanted": measures,
        "floor": {"error": 50.0},
    }
    content = {
        "site": "a", "category": "digit-1", "version": 2, "bytes_shipped": 1, "raw_bytes_kept": 2,
        "routes": [route | {"sample_count": 10}],
    }  # fmt: skip
    path = tmp_path / "report.json"
    path.write_text(json.dumps(content))
    assert read_site_report(path, "digit-0").figures[0].floor == 50.0
    path.write_text(json.dumps(content | {"routes": [{"task": "classification"}]}))
    with pytest.raises(BenchmarkFailed, match="not a site's report"):
        read_site_report(path, "digit-0")
    with pytest.raises(BenchmarkFailed, match="did not finish"):
        read_site_report(tmp_path / "none.json", "digit-0")


# --- nothing changed -------------------------------------------------------------------------------

FIRST = Sighting(
    1, "d1", {"f0": "a", "g0": "b"}, {"digit-0/classification": "x"}, {"digit-0/classification": "w"}
)
SECOND = Sighting(
    2,
    "d2",
    {"f0": "a", "g0": "b", "f1": "c"},
    {"digit-0/classification": "x", "digit-1/classification": "y"},
    {"digit-0/classification": "w", "digit-1/classification": "v"},
)


def test_growth_is_no_change():
    assert differences([FIRST, SECOND, FIRST, SECOND]) == []


@pytest.mark.parametrize(
    ("later", "sentence"),
    [
        (replace(SECOND, modules=dict(SECOND.modules, f0="z")), "other bytes"),
        (replace(SECOND, routes=dict(SECOND.routes, **{"digit-0/classification": "z"})), "other logits"),
        (replace(SECOND, wiring=dict(SECOND.wiring, **{"digit-0/classification": "z"})), "other modules"),
        (replace(SECOND, routes={"digit-1/classification": "y"}), "is gone"),
        (replace(FIRST, digest="z"), "another document"),
    ],
)
def test_every_kind_of_change_is_seen(later: Sighting, sentence: str):
    assert any(sentence in found for found in differences([FIRST, later]))


# --- who opened what -------------------------------------------------------------------------------


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    for owner in ("center", "cat", "dog", HARNESS):
        (tmp_path / "opens" / owner).mkdir(parents=True)
        _opened(tmp_path, owner, tmp_path / owner / "own.bin")
    return tmp_path


def _opened(root: Path, owner: str, path: Path) -> None:
    with (root / "opens" / owner / "1.jsonl").open("a") as file:
        file.write(json.dumps({"pid": 1, "argv0": "x", "path": str(path)}) + "\n")


def _proof(root: Path):
    homes = {name: root / name for name in ("center", "cat", "dog")}
    return prove_opens(root / "opens", homes, {str(root / "pack"): frozenset({"cat", "dog"})})


def test_own_files_and_the_shared_pack_are_fine(logs: Path):
    _opened(logs, "cat", logs / "pack" / "sheet.jpg")
    _opened(logs, HARNESS, logs / "cat" / "report.json")
    proof = _proof(logs)
    assert proof.holds
    assert proof.opens["cat"] == 2


@pytest.mark.parametrize(
    ("owner", "path"),
    [
        ("center", "cat/data/1.png"),
        ("dog", "cat/own.bin"),
        ("center", "pack/sheet.jpg"),
        ("center", "cat/report.json"),
    ],
)
def test_a_foreign_open_is_found(logs: Path, owner: str, path: str):
    _opened(logs, owner, logs / path)
    assert _proof(logs).foreign == (f"{owner} opened {logs / path}",)


def test_silence_proves_nothing(logs: Path):
    (logs / "opens" / "center" / "1.jsonl").unlink()
    with pytest.raises(BenchmarkFailed, match="was not running"):
        _proof(logs)


def test_the_cut_last_line_of_a_killed_process_is_no_fault(logs: Path):
    with (logs / "opens" / "dog" / "1.jsonl").open("a") as file:
        file.write('{"pid": 1, "pa')
    assert _proof(logs).holds


# --- the folder ------------------------------------------------------------------------------------

PLAN = JourneyPlan("scenes", ("digit-0", "digit-1"))


def test_a_folder_of_somebody_else_is_never_touched(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BenchmarkFailed, match="no journey made it"):
        prepare_folder(tmp_path, PLAN, fresh=True)
    assert (tmp_path / "thesis.tex").exists()


def test_a_journey_goes_on_or_starts_again(tmp_path: Path):
    out = tmp_path / "out"
    assert prepare_folder(out, PLAN, fresh=False) is False
    (out / "sites").mkdir()
    (out / "sites" / "half").write_text("done")
    assert prepare_folder(out, PLAN, fresh=False) is True
    with pytest.raises(BenchmarkFailed, match="other settings"):
        prepare_folder(out, replace(PLAN, seed=1), fresh=False)
    assert prepare_folder(out, replace(PLAN, seed=1), fresh=True) is False
    assert [path.name for path in out.iterdir()] == ["journey.json"]


def test_a_plan_that_cannot_run_is_refused_at_once():
    with pytest.raises(InvalidSettings):
        default_categories("my-photos")
    with pytest.raises(InvalidSettings):
        checked_plan(replace(PLAN, categories=("digit-0",)))
    with pytest.raises(InvalidName):
        checked_plan(replace(PLAN, categories=("digit-0", "../etc")))
    with pytest.raises(InvalidSettings, match="modules or outputs"):
        checked_plan(replace(PLAN, ship="nothing"))


# --- what people see -------------------------------------------------------------------------------


def test_sizes_are_for_people():
    assert [byte_text(size) for size in (12, 2048, 5 << 20, 3 << 30)] == [
        "12 B",
        "2.0 KiB",
        "5.0 MiB",
        "3.00 GiB",
    ]


def test_the_table_has_the_comparison_only_where_there_is_one():
    beside = {("digit-1", "classification", "error"): 12.5}
    assert "direct" not in markdown_table([ERROR])
    assert "| 12.50 |" in markdown_table([ERROR, IOU], beside, "direct")


def test_the_interval_holds_the_value_and_narrows():
    low, high = wilson_interval(10.0, 100)
    assert low < 10.0 < high
    assert wilson_interval(10.0, 1000)[1] < high
    assert wilson_interval(0.0, 10)[0] == 0.0


def test_the_pictures_are_drawn(tmp_path: Path):
    founder = Route("digit-0", Task.CLASSIFICATION, "f" * 64, None, "a" * 64, "k0")
    guest = Route("digit-1", Task.CLASSIFICATION, "e" * 64, "b" * 64, "a" * 64, "k1")
    draw_net([NetVersion(1, None, (founder,)), NetVersion(2, "d", (founder, guest))], tmp_path / "net.png")
    draw_bars([ERROR, IOU], tmp_path / "bars.png", {("digit-1", "segmentation", "iou"): 30.0}, "100 labels")
    assert (tmp_path / "net.png").stat().st_size > 5000
    assert (tmp_path / "bars.png").stat().st_size > 5000
