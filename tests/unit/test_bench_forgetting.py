"""What was forgotten is counted in bits, and cells that were finished before the metric stay finished."""

from __future__ import annotations

import pytest
import torch
from fakes.tiny_nets import tiny_net

from benchmarks.claims.claim import read_claims
from benchmarks.claims.judge import Verdict, judge
from benchmarks.quality.cells import Cell
from benchmarks.quality.forgetting import METRIC, Frozen
from benchmarks.records import QUALITY_BENCHES, Record
from transplant.types import Task


def _frozen() -> tuple[Frozen, dict[str, torch.nn.Module]]:
    host = tiny_net(1)
    nets = {"f_S": host.category_module, "g_S": host.task_modules["classification"]}
    return Frozen(nets, (("f_S", "g_S"),), 32), nets


def test_what_did_not_change_is_no_bit() -> None:
    frozen, nets = _frozen()
    nets["g_S"](torch.rand(2, 8, 16, 16))
    assert frozen.changed() == {}


def test_a_changed_tensor_counts_whole_and_so_do_the_logits() -> None:
    frozen, nets = _frozen()
    bias = nets["g_S"].layers[-1].bias
    bias.data += 1.0
    assert frozen.changed() == {"g_S.layers.13.bias": 32, "logits of g_S behind f_S": 2 * 32}


def test_logits_that_change_without_a_weight_are_seen() -> None:
    frozen, nets = _frozen()
    nets["g_S"].layers[1] = torch.nn.Identity()
    assert frozen.changed() == {"logits of g_S behind f_S": 2 * 32}


def test_finished_cells_need_no_such_record() -> None:
    cell = Cell("exp2", "cifar10", "vgg_small", "transplant", "none", 0, 0, "cat", "dog", *_ADAPTER)
    assert METRIC not in {record.metric for record in cell.expected()}


_ADAPTER = (Task.CLASSIFICATION, 3, 3)


def _of(bench: str, bits: float, seed: int) -> Record:
    return Record(bench, METRIC, bits, "bits", seed=seed)


def test_the_claim_is_missed_by_one_bit_of_one_cell() -> None:
    claim = read_claims()["forgetting"]
    records = [_of(bench, 0.0, seed) for bench in QUALITY_BENCHES for seed in range(3)]
    assert judge(claim, records).verdict is Verdict.MET
    assert judge(claim, records[:-3]).verdict is Verdict.OPEN
    assert judge(claim, [*records, _of("exp3", 1.0, 3)]).verdict is Verdict.MISSED


@pytest.mark.parametrize("name", ["exp2-labels", "exp2-few-labels-apart"])
def test_cells_of_outputs_are_of_no_claim_about_modules(name: str) -> None:
    claim = read_claims()[name]
    samples = claim.where["samples"]
    assert isinstance(samples, list)

    def cells(method: str, error: float, ship: str | None = None) -> list[Record]:
        return [
            Record(
                "exp2", "error", error, "percent", data="cifar10", method=method, disclosure="none",
                samples=int(labels), seed=seed, category="cat", task="classification", ship=ship,
                image_count=2000,
            )
            for labels in samples
            for seed in range(3)
        ]  # fmt: skip

    records = [each for method in ("direct-learn", "distill", "back-distill") for each in cells(method, 30.0)]
    records += cells("transplant", 20.0)
    assert judge(claim, records).verdict is Verdict.MET
    assert judge(claim, [*records, *cells("transplant", 90.0, "outputs")]).verdict is Verdict.MET
