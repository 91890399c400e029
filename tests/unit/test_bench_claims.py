"""Claims are proved wrong by records, never by their absence, and never proved right by it."""

from __future__ import annotations

import json
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
