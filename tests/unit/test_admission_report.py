"""What the operator is shown: near copies of another site's weights, and magnitudes that stand out."""

from __future__ import annotations

import math
from io import StringIO

import pytest
from rich.console import Console

from central.admission.likeness import FEWEST, Specimen, near_copies, outliers
from central.admission.report import modules_tables


def specimen(name, site="site-a", group="g", fingerprint=(1.0, 0.0, 0.0), **figures):
    return Specimen(
        name, site, group, {key.replace("_", "."): value for key, value in figures.items()}, fingerprint
    )


def turned(degrees):
    return (math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0)


def test_a_near_copy_is_another_sites_and_of_the_same_architecture():
    found = near_copies(
        [
            specimen("first", fingerprint=turned(0)),
            specimen("own", fingerprint=turned(1)),
            specimen("copied", "site-b", fingerprint=turned(5)),
            specimen("stranger", "site-b", fingerprint=turned(60)),
            specimen("elsewhere", "site-b", "h", turned(0)),
            specimen("statistics", "site-b", fingerprint=()),
            specimen("zeros", "site-b", fingerprint=(0.0, 0.0, 0.0)),
        ]
    )
    assert [(pair.earlier, pair.later) for pair in found] == [("own", "copied"), ("first", "copied")]
    assert found[0].cosine == pytest.approx(math.cos(math.radians(4)), abs=1e-6)


def test_pairs_are_found_over_many_rows():
    many = [specimen(f"m{index}", f"site-{index}", fingerprint=turned(index % 180)) for index in range(600)]
    pairs = {(pair.earlier, pair.later) for pair in near_copies(many, near=0.9999)}
    assert pairs == {
        (f"m{earlier}", f"m{later}") for later in range(600) for earlier in range(later % 180, later, 180)
    }


def test_an_outlier_stands_out_among_enough_of_its_kind():
    usual = [specimen(f"m{index}", weights_norm=10.0 + index) for index in range(FEWEST - 1)]
    assert outliers([*usual[1:], specimen("odd", weights_norm=1e4)]) == ()  # among three nothing stands out
    (found,) = outliers([*usual, specimen("odd", weights_norm=1e4, logits_deviation=3.0)])
    assert (found.module_id, found.figure) == ("odd", "weights.norm")
    assert found.z_score > 3.5
    assert 10**found.value == pytest.approx(1e4)
    (small,) = outliers([*usual, specimen("odd", weights_norm=1e-3)])
    assert small.z_score < -3.5
    twins = [specimen(f"t{index}", weights_norm=10.0 + 1e-9 * index) for index in range(9)]
    assert outliers(twins) == ()


def test_the_tables_hold_what_the_document_says():
    row = {
        "module": "a" * 64,
        "site": "site-a",
        "what": "dog category",
        "bytes": 2_000_000,
        "verdict": "rejected",
        "error": "WeightsImplausible",
        "reason": "[red]every[/] weight",
        "figures": {},
        "seconds": 0.25,
    }
    other = row | {"module": "b" * 64, "verdict": "registered", "error": "", "reason": "", "seconds": None}
    document = {
        "modules": [row, other],
        "near_copies": [{"earlier": "a" * 64, "later": "b" * 64, "cosine": 0.9912}],
        "outliers": [
            {"module": "b" * 64, "figure": "weights.norm", "value": 1e4, "median": 12.0, "z_score": 9.1}
        ],
    }
    console = Console(width=160, record=True, file=StringIO())
    for table in modules_tables(document):
        console.print(table)
    told = console.export_text()
    for word in ("rejected", "WeightsImplausible: [red]every[/] weight", "0.9912", "+9.1", "2.00"):
        assert word in told
