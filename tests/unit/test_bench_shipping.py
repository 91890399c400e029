"""Bytes of a site that ships outputs: those that sealing gives, under the bar, and on the page."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from benchmarks.claims.claim import read_claims
from benchmarks.claims.judge import Verdict, judge
from benchmarks.quality.report_page import write_page
from benchmarks.records import read_records
from benchmarks.speed.shipping import counted, run_shipping
from central.usecases.center import ProbePolicy

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shipping")
    for _ in range(2):
        run_shipping(out, Console(file=io.StringIO()), command="count")
    return out


def test_vgg16_stays_under_the_bar_beside_half_a_gigabyte(folder: Path) -> None:
    records = read_records(folder)
    assert len(records) == 6, "counted once"
    found = {(record.arch, record.task): record for record in records}
    both = found["vgg16", "classification,segmentation"]
    values = 38_720 * 4 + ProbePolicy().count * (4 + 1 + 4 + 16 * 16)
    assert values < both.value < values + 30_000, "and names, digests and manifests"
    one = found["vgg16", "segmentation"]
    assert one.baseline == pytest.approx(537e6, rel=0.001)
    assert judge(read_claims()["outputs-size"], records).verdict is Verdict.MET


def test_a_finer_grid_would_miss_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.speed.shipping.ProbePolicy", lambda: ProbePolicy(grid=24))
    finding = judge(read_claims()["outputs-size"], counted("vgg16", "x"))
    assert finding.verdict is Verdict.MISSED


def test_the_page_shows_both(folder: Path) -> None:
    text = write_page(folder, read_records(folder)).read_text()
    assert "## What a site sends" in text
    assert "| vgg16 | classification | 168." in text
    assert "512.2 MiB" in text
    assert "`count`: 6 cases" in text
