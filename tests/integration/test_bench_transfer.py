"""The benches of teachers from little data: cells run once, go on where they stopped, and are reported."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks.quality import l2t, l2t_cell
from benchmarks.quality.characters import Characters, source_characters, target_characters
from benchmarks.quality.l2t_inner import lambda_figures
from benchmarks.quality.l2t_methods import METHODS, SALIENT
from benchmarks.quality.l2t_plan import PROFILES, L2TPlan, Profile, depths_of
from benchmarks.quality.layer_transfer import run_layer_transfer
from benchmarks.quality.layer_transfer_plan import PROFILES as LAYER_PROFILES
from benchmarks.quality.layer_transfer_plan import LayerTransferPlan, retained_of
from benchmarks.quality.natural_images import Pictures, moved
from benchmarks.quality.report_page import write_page
from benchmarks.quality.transfer_flags import run_transfer
from benchmarks.records import read_records
from benchmarks.speed.l2t_step import Sizes, run_l2t_step
from transplant.errors import BenchmarkFailed, InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

QUIET = Console(file=io.StringIO(), width=160)


def _layers(plan: LayerTransferPlan, out: Path, root: Path, workers: int = 1) -> int:
    return run_layer_transfer(plan, out, QUIET, data_root=root, workers=workers, threads=1, command="x")


def _lent(plan: L2TPlan, out: Path) -> int:
    return l2t.run_l2t(plan, out, QUIET, data_root=out, workers=1, threads=1, command="x")


def pack(root: Path) -> Path:
    """A pack of 62 classes, 56 images each: a bright bar at a place of its own."""
    folder = root / "chars"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(62), 28)
    for name in ("chars74k_hnd_28", "choice_28", "chars74k_fnt_28"):
        images = generator.integers(0, 40, (len(labels), 28, 28), dtype=np.uint8)
        for row, label in enumerate(labels):
            images[row, label % 8 * 3 : label % 8 * 3 + 4, label // 8 * 3 : label // 8 * 3 + 4] = 255
        np.savez(folder / f"{name}.npz", x=images, y=labels)
    return root


def test_characters_of_source_and_target_never_meet(tmp_path: Path) -> None:
    root = pack(tmp_path)
    source = source_characters("chars", root, 0)
    assert source.images_B1HW.shape == (8000, 1, 32, 32)
    assert torch.bincount(source.labels_B).tolist() == [400] * 20
    few, test = target_characters(root, 0, 1, 3)
    more, same = target_characters(root, 0, 5, 3)
    assert torch.equal(test.images_B1HW, same.images_B1HW)
    assert len(test.labels_B) == 1000
    assert _inside(few, more)
    assert not _inside(Characters(more.images_B1HW[:1], more.labels_B[:1]), test)
    with pytest.raises(InvalidSettings, match="50 of them for the test"):
        target_characters(root, 0, 40, 3)
    with pytest.raises(InvalidSettings, match="fonts"):
        source_characters("scenes", root, 0)


def _inside(part: Characters, whole: Characters) -> bool:
    there = {bytes(image.numpy()) for image in whole.images_B1HW}
    return all(bytes(image.numpy()) in there for image in part.images_B1HW)


def test_layer_transfer_runs_reports_and_goes_on(tmp_path: Path) -> None:
    root, out = pack(tmp_path / "data"), tmp_path / "out"
    plan = LayerTransferPlan(
        "fonts", trials=(0, 1), samples=(1, 2), retained=(0, 4, None), steps=6, source_steps=60
    )
    assert _layers(plan, out, root) == 12
    before = (out / "records.jsonl").read_bytes()
    assert _layers(plan, out, root) == 0
    assert (out / "records.jsonl").read_bytes() == before
    records = read_records(out)
    accuracies = [record for record in records if (record.metric, record.method) == ("accuracy", "retain")]
    assert {(r.retained, r.samples, r.seed) for r in accuracies} == {
        (n, k, t) for n in (0, 4) for k in (1, 2) for t in (0, 1)
    }
    assert all(r.unit == "percent" and 0 <= r.value <= 100 and r.image_count == 1000 for r in accuracies)
    chosen = [record for record in records if record.metric == "retained"]
    assert len(chosen) == 4
    assert all(record.value in range(6) for record in chosen)
    (source,) = [record for record in records if record.method == "source"]
    assert (source.metric, source.image_count) == ("training_accuracy", 8000)
    page = write_page(out, records).read_text(encoding="utf-8")
    assert f"{source.value:.2f} % on the 8000 images of its 20 classes it was trained on" in page
    assert "| samples a class | n = 0 | n = 4 | auto (chose) |" in page
    assert (out / "pictures" / "layer-transfer-fonts.png").stat().st_size > 5000
    assert (out / "pictures" / "layer-transfer-fonts-2.png").is_file()
    with pytest.raises(BenchmarkFailed, match="another --out"):
        _layers(LayerTransferPlan("fonts", steps=7, source_steps=60), out, root)
    with pytest.raises(InvalidSettings, match="--retained"):
        _layers(LayerTransferPlan("fonts", retained=(6,)), out, root)


@pytest.mark.slow
@pytest.mark.alone
def test_cells_of_layer_transfer_side_by_side_are_those_of_one_after_another(tmp_path: Path) -> None:
    root = pack(tmp_path / "data")
    plan = LayerTransferPlan(
        "fonts", trials=(0, 1), samples=(1,), retained=(4, None), steps=6, source_steps=60
    )
    assert _layers(plan, tmp_path / "one", root) == _layers(plan, tmp_path / "two", root, workers=2) == 4
    one, two = (
        {record.key(): (record.value, record.image_count) for record in read_records(tmp_path / name)}
        for name in ("one", "two")
    )
    assert one == two


def test_a_cell_that_cannot_be_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    root = pack(tmp_path / "data")
    plan = LayerTransferPlan("fonts", trials=(0,), samples=(40, 1), retained=(5,), steps=2, source_steps=2)
    with pytest.raises(BenchmarkFailed, match=r"1 cells failed.*\n.*fonts, 40 a class, trial 0, 5 layers"):
        _layers(plan, tmp_path / "out", root)
    assert [r.samples for r in read_records(tmp_path / "out") if r.metric == "accuracy"] == [1]


def _pictures(classes: int, each: int, seed: int) -> Pictures:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat(each)
    images = torch.randint(0, 80, (len(labels), 3, 32, 32), generator=generator, dtype=torch.uint8)
    for row, label in enumerate(labels.tolist()):
        images[row, label % 3, 3 * (label % 10) : 3 * (label % 10) + 4] = 250
    return Pictures(images, labels)


TINY = Profile(8, 4, 3, 8, 2, 8, 2, 0, 0.02, 1e-2, "hessian-vector", 20)


@pytest.mark.parametrize("lenders", [1, 2])
def test_l2t_runs_every_scheme_and_draws_its_figures(
    lenders: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(l2t, "source_pictures", lambda _root, n: (_pictures(n, 4, 0), _pictures(n, 2, 1)))
    monkeypatch.setattr(
        l2t_cell,
        "target_pictures",
        lambda _root, k, seed, _test: (_pictures(10, k, 2 + seed), _pictures(10, 2, 9)),
    )
    methods = tuple(METHODS) if lenders == 1 else (*SALIENT, "lwf+at")
    samples = (1,) if lenders == 1 else (1, 2)
    plan = L2TPlan(TINY, "tiny", seeds=(0,), samples=samples, methods=methods, depths=(8,) * lenders)
    ran = _lent(plan, tmp_path)
    assert ran == len(samples) * len(methods)
    assert _lent(plan, tmp_path) == 0
    records = read_records(tmp_path)
    mine = [record for record in records if record.data == "cifar10"]
    learned = {(record.metric, record.method, record.samples) for record in mine if record.unit == "weight"}
    assert learned == {
        (metric, "l2t-ww", count) for metric in ("lambda_moved", "lambda_spread") for count in samples
    }
    assert all(record.value > 0 for record in mine if record.unit == "weight"), "a step moves lambda"
    assert {record.method for record in mine} == set(methods)
    source = "+".join(["resnet8"] * lenders)
    assert {record.source for record in mine} == {source}
    assert len([record for record in records if record.method == "source"]) == lenders
    page = write_page(tmp_path, records).read_text(encoding="utf-8")
    assert "| l2t-ww |" in page
    assert "| lambda of l2t-ww, 1 at the start |" in page
    drawn = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert f"l2t-tiny-{source}-1-l2t-ww-lambda.png" in drawn
    assert (f"l2t-tiny-{source}.png" in drawn) == (len(samples) > 1)
    assert f"l2t-tiny-{source}-1-l2t-w-one-to-one-saliency.png" in drawn
    with pytest.raises(InvalidSettings, match="l2t-ww"):
        _lent(L2TPlan(TINY, "tiny", methods=("magic",)), tmp_path)


def test_sources_of_two_depths_lend_at_once_beside_the_old_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert depths_of("2", PROFILES["cpu"]) == (20, 20)
    assert depths_of("1", PROFILES["paper"]) == (32,)
    depths = depths_of("resnet14,resnet8", TINY)
    plan = L2TPlan(TINY, "tiny", seeds=(0,), samples=(1,), methods=("l2t-ww",), depths=depths)
    assert plan.source == "resnet14+resnet8"
    monkeypatch.setattr(l2t, "source_pictures", lambda _root, n: (_pictures(n, 4, 0), _pictures(n, 2, 1)))
    monkeypatch.setattr(l2t_cell, "target_pictures", lambda *_: (_pictures(10, 1, 2), _pictures(10, 2, 9)))
    _lent(plan, tmp_path)
    records = read_records(tmp_path)
    assert {r.source for r in records if r.method == "source"} == {"resnet14", "resnet8"}
    assert {r.source for r in records if r.method == "l2t-ww"} == {"resnet14+resnet8"}
    before = {path.name: path.read_bytes() for path in (tmp_path / "teachers").iterdir()}
    assert set(before) == {"resnet14-tiny-0.safetensors", "resnet8-tiny-0.safetensors"}
    alone = L2TPlan(TINY, "tiny", seeds=(0,), samples=(1,), methods=("scratch",), depths=(8,))
    _lent(alone, tmp_path)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "teachers").iterdir()}
    assert "resnet14 (0): " in write_page(tmp_path, records).read_text(encoding="utf-8")


def test_lambda_is_told_from_its_start_and_a_common_drift_from_a_pattern() -> None:
    assert lambda_figures(None) == {}
    start = {"before": [1.0, 1.0, 1.0], "after": [1.0, 1.0, 1.0]}
    assert lambda_figures(start) == {"lambda_moved": 0.0, "lambda_spread": 0.0}
    drifted = lambda_figures(start | {"after": [1.5, 1.5, 1.5]})
    assert drifted == {"lambda_moved": 0.5, "lambda_spread": 0.0}
    learned = lambda_figures(start | {"after": [0.25, 1.0, 1.75]})
    assert learned == {"lambda_moved": 0.5, "lambda_spread": 1.5}


def test_moved_pictures_keep_their_pixels() -> None:
    images = torch.arange(3 * 32 * 32, dtype=torch.float32).view(1, 3, 32, 32).repeat(4, 1, 1, 1) + 1
    shifted = moved(images, torch.Generator().manual_seed(0))
    assert shifted.shape == images.shape
    assert len({bytes(each.numpy()) for each in shifted}) > 1
    known = set(images.unique().tolist()) | {0.0}
    assert set(shifted.unique().tolist()) <= known


def test_the_l2t_step_bench_writes_its_baseline_beside_each_figure(tmp_path: Path) -> None:
    sizes = Sizes(batch=4, width=4, source_depth=8)
    run_l2t_step(tmp_path, QUIET, repetitions=1, command="x", sizes=sizes)
    records = {record.metric: record for record in read_records(tmp_path)}
    for metric in ("l2t_step_cpu", "l2t_hessian_vector_cpu", "l2t_matching_step_cpu"):
        record = records[metric]
        assert record.baseline is not None
        assert record.ratio == pytest.approx(record.value / record.baseline)
    assert records["l2t_meta_cosine"].value > 0.8
    before = (tmp_path / "records.jsonl").read_bytes()
    run_l2t_step(tmp_path, QUIET, repetitions=1, command="x", sizes=sizes)
    assert (tmp_path / "records.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"bench": "layer-transfer", "data": "cifar10"}, "chars, fonts"),
        ({"bench": "l2t", "data": "chars"}, "--data cifar10"),
        ({"bench": "l2t", "profile": "tpu"}, "cpu, paper"),
        ({"bench": "layer-transfer", "data": "chars", "profile": "tpu"}, "cpu, paper"),
        ({"bench": "l2t", "methods": "l2t-ww,,"}, "none of them empty"),
        ({"bench": "l2t", "workers": "0"}, "--workers"),
        ({"bench": "layer-transfer", "data": "chars", "threads": "0"}, "--threads"),
        ({"bench": "l2t", "lenders": "3"}, "resnet32,resnet20"),
        ({"bench": "l2t", "lenders": "resnet32,vgg9"}, "resnet32,resnet20"),
        ({"bench": "l2t", "lenders": "resnet18"}, "resnet32,resnet20"),
    ],
)
def test_flags_that_mean_nothing_are_refused(flags: dict[str, str], said: str, tmp_path: Path) -> None:
    given = {"bench": "l2t", "data": "cifar10", "profile": "cpu", "methods": None, "lenders": "1"}
    given |= {"workers": "1", "threads": "1"} | flags
    with pytest.raises(InvalidSettings, match=said):
        run_transfer(
            given["bench"] or "", given["data"] or "", tmp_path, QUIET, seeds="0", samples=None,
            methods=given["methods"], retained=None, steps=2, profile=given["profile"] or "",
            lenders=given["lenders"] or "", workers=int(given["workers"] or 0),
            threads=int(given["threads"] or 0), data_root=tmp_path, command="x",
        )  # fmt: skip


def test_retained_takes_numbers_and_auto() -> None:
    assert retained_of("0,4,auto") == (0, 4, None)
    with pytest.raises(InvalidSettings, match="auto"):
        retained_of("four")


def test_a_profile_says_how_long_a_target_is_trained_and_belongs_to_its_folder(tmp_path: Path) -> None:
    paper = LayerTransferPlan("chars", profile="paper")
    assert [paper.config(samples, 1).steps for samples in (1, 40)] == [1500, 2400]
    assert [LayerTransferPlan("chars").config(samples, 1).steps for samples in (1, 40)] == [750, 1200]
    sizes = {"samples": (1,), "trials": (0,), "retained": (5,), "steps": 2, "source_steps": 2}
    root = pack(tmp_path / "data")
    _layers(LayerTransferPlan("chars", **sizes), tmp_path, root)
    with pytest.raises(BenchmarkFailed, match="another --out"):
        _layers(LayerTransferPlan("chars", profile="paper", **sizes), tmp_path, root)


def test_the_profile_of_layer_transfer_is_a_flag(tmp_path: Path) -> None:
    root = pack(tmp_path / "data")
    for profile in LAYER_PROFILES:
        run_transfer(
            "layer-transfer", "fonts", tmp_path / profile, QUIET, seeds="0", samples="1", methods=None,
            retained="5", steps=2, profile=profile, lenders="1", workers=1, threads=1, data_root=root,
            command="x",
        )  # fmt: skip
        claimed = json.loads((tmp_path / profile / "quality.json").read_bytes())
        assert claimed["layer-transfer/fonts"]["profile"] == profile
