"""Claims are proved wrong by records, never by their absence, and never proved right by it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from benchmarks.claims.claim import Claim, read_claims
from benchmarks.claims.cli import records_of
from benchmarks.claims.judge import Verdict, judge
from benchmarks.cli import app
from benchmarks.records import Record, RecordBook
from transplant.errors import BenchmarkFailed, InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path


def _claim(**written: Any) -> Claim:
    where = {"metric": "error", "method": "ours"} | written.pop("where", {})
    return Claim.model_validate({"says": "it holds", "where": where, "better": "lower"} | written)


def _record(value: float, method: str = "ours", seed: int = 0, **more: Any) -> Record:
    return Record("exp2", "error", value, "percent", method=method, seed=seed, **more)


def test_a_bar_is_met_missed_or_open() -> None:
    claim = _claim(at_most=10, seeds=2)
    assert judge(claim, []).verdict is Verdict.OPEN
    assert judge(claim, [_record(9), _record(10.5, seed=1)]).verdict is Verdict.MET
    assert judge(claim, [_record(9), _record(12, seed=1)]).verdict is Verdict.MISSED
    one = judge(claim, [_record(9)])
    assert one.verdict is Verdict.OPEN
    assert "needs 2 seeds" in one.lines[0]
    assert judge(claim, [_record(11)]).verdict is Verdict.MISSED, "a bar missed with one seed is missed"


def test_a_ratio_is_that_to_the_baseline_where_the_record_says_none() -> None:
    claim = _claim(of="ratio", at_most=1.1, over="worst")
    assert judge(claim, [_record(21, baseline=20)]).verdict is Verdict.MET
    assert judge(claim, [_record(23, baseline=20)]).verdict is Verdict.MISSED
    assert judge(claim, [_record(23, baseline=20, ratio=1.0)]).verdict is Verdict.MET
    assert judge(claim, [_record(23)]).verdict is Verdict.OPEN


def test_the_worst_record_counts_where_a_claim_says_so() -> None:
    records = [_record(1), _record(12, seed=1)]
    assert judge(_claim(at_most=10), records).verdict is Verdict.MET
    assert judge(_claim(at_most=10, over="worst"), records).verdict is Verdict.MISSED
    higher = _claim(at_least=5, over="worst", better="higher")
    assert judge(higher, records).verdict is Verdict.MISSED


def test_every_group_must_hold_and_none_may_lack() -> None:
    claim = _claim(where={"samples": [10, 20]}, each=["samples"], at_most=10)
    both = [_record(9, samples=10), _record(9, samples=20)]
    assert judge(claim, both).verdict is Verdict.MET
    assert judge(claim, both[:1]).verdict is Verdict.OPEN
    assert judge(claim, [both[0], _record(11, samples=20)]).verdict is Verdict.MISSED


@pytest.mark.parametrize(("better", "values"), [("lower", (12.0, 11.0)), ("higher", (88.0, 89.0))])
def test_what_is_lost_is_measured_from_the_teacher(better: str, values: tuple[float, float]) -> None:
    teacher = 10.0 if better == "lower" else 90.0
    records = [_record(value, seed=n, teacher=teacher) for n, value in enumerate(values)]
    mean = _claim(of="lost", better=better, at_most=1.5)
    assert judge(mean, records).verdict is Verdict.MET
    assert (
        judge(_claim(of="lost", better=better, at_most=1.5, over="worst"), records).verdict is Verdict.MISSED
    )
    assert judge(mean, [_record(10)]).verdict is Verdict.OPEN, "without a teacher there is nothing to say"


def test_rivals_are_met_on_the_cells_that_both_have() -> None:
    claim = _claim(ahead_of=[{"where": {"method": ["one", "two"]}}])
    ours = [_record(9, category="cat"), _record(30, category="bird")]
    one, two = _record(10, "one", category="cat"), _record(8, "two", category="cat")
    assert judge(claim, [*ours, one]).verdict is Verdict.OPEN, "the other rival was not measured"
    assert judge(claim, [*ours, one, two]).verdict is Verdict.MISSED
    finding = judge(claim, [*ours, one, _record(9.5, "two", category="cat")])
    assert finding.verdict is Verdict.MET, finding.lines


def test_a_rival_may_have_more_labels_and_intervals_may_have_to_be_apart() -> None:
    ours = [_record(20, samples=0, image_count=100)]
    close = _record(25, "theirs", samples=100, image_count=100)
    far = _record(60, "theirs", samples=100, image_count=100)
    rival: dict[str, Any] = {"where": {"method": ["theirs"], "samples": 100}}
    assert judge(_claim(each=["samples"], ahead_of=[rival]), [*ours, close]).verdict is Verdict.MET
    apart = _claim(each=["samples"], ahead_of=[rival | {"apart": True}])
    assert judge(apart, [*ours, close]).verdict is Verdict.MISSED
    assert judge(apart, [*ours, far]).verdict is Verdict.MET
    by_ten = _claim(each=["samples"], ahead_of=[rival | {"by": 10.0}])
    assert judge(by_ten, [*ours, close]).verdict is Verdict.MISSED


def test_accuracies_have_intervals_as_errors_have() -> None:
    claim = Claim.model_validate(
        {
            "says": "it holds", "where": {"metric": "accuracy", "retained": 4}, "better": "higher",
            "ahead_of": [{"where": {"method": "retain", "retained": 0}, "apart": True}],
        }
    )  # fmt: skip

    def trials(retained: int, *values: float) -> list[Record]:
        return [
            Record("layer-transfer", "accuracy", value, "percent", method="retain", retained=retained,
                   seed=trial, image_count=1000)
            for trial, value in enumerate(values)
        ]  # fmt: skip

    ours = trials(4, 54, 58, 56)
    assert judge(claim, ours + trials(0, 48, 55, 47)).verdict is Verdict.MET, "apart, if not trial by trial"
    assert judge(claim, ours + trials(0, 54, 54, 54)).verdict is Verdict.MISSED


def test_a_claim_may_be_about_the_teachers_behind_the_routes() -> None:
    rival = {"where": {"method": "ours", "teacher_transfer": ""}}
    claim = _claim(where={"teacher_transfer": "fm"}, of="teacher", ahead_of=[rival])
    alone, borrowed = _record(30, teacher=20.0), _record(40, teacher=18.0, teacher_transfer="fm")
    assert judge(claim, [alone, borrowed]).verdict is Verdict.MET
    assert judge(claim, [_record(30, teacher=17.0), borrowed]).verdict is Verdict.MISSED
    assert judge(claim, [_record(30), borrowed]).verdict is Verdict.OPEN, "nobody told that teacher's error"


def _percent(bench: str, metric: str, value: float, **more: Any) -> Record:
    return Record(bench, metric, value, "percent", **more)


def _of_little_data() -> list[Record]:
    """What would meet every claim of teachers from little data."""
    made: list[Record] = []
    for trial, samples in product(range(5), (1, 5, 10, 20, 40)):
        cell: dict[str, Any] = {"data": "chars", "samples": samples, "seed": trial, "image_count": 1000}
        values = {0: 40, 1: 41, 2: 42, 3: 43, 4: 50, 5: 45 if samples < 40 else 39}
        made += [
            _percent("layer-transfer", "accuracy", value, method="retain", retained=retained, **cell)
            for retained, value in values.items()
        ]
        made.append(_percent("layer-transfer", "accuracy", 49.5, method="auto", **cell))
    for seed, samples in product(range(3), (50, 250)):
        cell = {"arch": "vgg9-cpu", "source": "resnet20", "samples": samples, "seed": seed}
        methods = {"scratch": 40, "lwf": 41, "at": 42, "fm-single": 43, "fm-one-to-one": 44, "l2t-ww": 45}
        made += [
            _percent("l2t", "accuracy", value, method=method, **cell) for method, value in methods.items()
        ]
        made += [
            Record("l2t", metric, 0.2, "weight", method="l2t-ww", **cell)
            for metric in ("lambda_moved", "lambda_spread")
        ]
    for seed, (transfer, teacher) in product(range(3), ((None, 30), ("layer", 25), ("fm", 28))):
        cell = {"data": "cifar10", "method": "transplant", "samples": 0, "disclosure": "none", "seed": seed}
        few: dict[str, Any] = {"teacher_images": 50, "teacher_transfer": transfer, "teacher": teacher}
        made.append(_percent("exp2", "error", teacher + 10, **cell, **few))
    for metric, ratio in (("l2t_step_cpu", 10.0), ("l2t_hessian_vector_cpu", 6.5)):
        made.append(Record("l2t-step", metric, 1.0, "s", ratio=ratio))
    return [*made, Record("l2t-step", "l2t_meta_cosine", 0.99, "cosine")]


def _of_refinement() -> list[Record]:
    """What would meet every claim of refinement."""
    made: list[Record] = []
    for seed, samples in product(range(3), (0, 10, 20, 50, 100)):
        cell: dict[str, Any] = {"data": "cifar10", "samples": samples, "seed": seed, "disclosure": "none"}
        adapter = {"layers": 3, "kernel": 3}
        errors = {"refined": 12.0, "transplant": 12.0, "direct-learn": 30.0}
        made += [
            _percent("exp2", "error", value, method=method, **cell, **adapter)
            for method, value in errors.items()
        ]
        made.append(_percent("exp2", "gap_closed", 93.0, method="refined", **cell, **adapter))
    return made


_REFINEMENT = ("refined-none", "refined-labels", "refined-never-worse")
_LITTLE_DATA = (
    "layer-transfer-few", "layer-transfer-order-few", "layer-transfer-order-many", "layer-transfer-auto",
    "l2t", "l2t-lambda", "l2t-step", "l2t-step-hessian-vector", "l2t-step-cosine", "few-images-teacher",
    "few-images-route",
)  # fmt: skip


@pytest.mark.parametrize("name", [*_LITTLE_DATA, *_REFINEMENT])
def test_claims_can_be_met_and_missed(name: str) -> None:
    claim, records = read_claims()[name], _of_little_data() + _of_refinement()
    finding = judge(claim, records)
    assert finding.verdict is Verdict.MET, finding.lines
    sign = -1 if claim.better == "higher" else 1
    worse = [
        replace(
            record, value=record.value + 20 * sign,
            ratio=None if record.ratio is None else record.ratio + 20 * sign,
            teacher=None if record.teacher is None else record.teacher + 20 * sign,
        )
        if _about(claim, record) else record
        for record in records
    ]  # fmt: skip
    assert judge(claim, worse).verdict is Verdict.MISSED


def _about(claim: Claim, record: Record) -> bool:
    return all(
        (getattr(record, name) or "") in (wanted if isinstance(wanted, list) else [wanted or ""])
        for name, wanted in claim.where.items()
    )


def test_teachers_of_few_images_are_no_part_of_what_is_claimed_of_others() -> None:
    record = Record(
        "exp2", "gap_closed", 1.0, "percent", data="cifar10", method="transplant", samples=0,
        disclosure="none", seed=0, teacher_images=50,
    )  # fmt: skip
    assert judge(read_claims()["exp2-none"], [record]).lines == ("no record",)


def test_the_claims_of_the_project_can_be_read() -> None:
    assert "exp2-none" in read_claims()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[a]\nsays = "x"\nbetter = "lower"\nwhere = { metric = "error" }', "nothing can prove this wrong"),
        ('[a]\nsays = "x"\nbetter = "lower"\nat_most = 1\nwhere = { bench = "exp2" }', "say the metric"),
        ('[a]\nsays = "x"\nbetter = "lower"\nat_most = 1\nwhere = { metric = "e", colour = "x" }', "colour"),
        ('[a]\nsays = "x"\nbetter = "lower"\nat_mots = 1\nwhere = { metric = "error" }', "at_mots"),
        ("[a", "cannot be read"),
    ],
)
def test_a_claim_that_says_nothing_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidSettings, match=complaint):
        read_claims(path)


def test_the_command_reads_folders_and_results(tmp_path: Path) -> None:
    book = RecordBook(tmp_path / "bench")
    gap = {"data": "cifar10", "method": "transplant", "samples": 0, "disclosure": "none"}
    for seed in range(3):
        book.add(Record("exp2", "gap_closed", 80.0, "percent", seed=seed, **gap))  # pyright: ignore[reportArgumentType]
    ran = CliRunner().invoke(app, ["claims", str(tmp_path / "bench"), "--json"])
    told = {each["claim"]: each for each in json.loads(ran.stdout)}
    assert told["exp2-none"]["verdict"] == "missed"
    assert told["exp2-none"]["figures"] == ["80 (3 records, 3 seeds), bar >= 86"]
    assert told["table4"]["verdict"] == "not measured"
    strict = CliRunner().invoke(app, ["claims", str(tmp_path / "bench"), "--strict"])
    assert isinstance(strict.exception, BenchmarkFailed)
    results = tmp_path / "results"
    results.mkdir()
    (results / "a.json").write_text(json.dumps({"records": [json.loads(next(iter(book)).to_json())]}))
    (results / "journey.json").write_text(json.dumps({"routes": []}))
    assert len(records_of(results)) == 1
    (results / "b.json").write_text('{"records": [{"colour": 1}]}')
    with pytest.raises(InvalidSettings, match=r"b\.json"):
        records_of(results)
