"""What a site agrees to and what it reads: its terms, orders, and the bytes of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from edge.refine_noise import RoundLedger, RoundNoise
from edge.settings import EdgeSettings
from transplant.artifact.npy_tensor import array_of, tensor_from_npy
from transplant.artifact.round_order import read_round_order
from transplant.errors import (
    InvalidSettings,
    ManifestInvalid,
    NotAllowed,
    PayloadMalformed,
)

if TYPE_CHECKING:
    from pathlib import Path

ROUTE = (
    '{"category":"cat","task":"classification","category_module":"' + "a" * 64 + '","adapter":"' + "b" * 64
    + '","task_module":"' + "c" * 64 + '"}'
)  # fmt: skip
ORDER = (
    '{"work":"refine","run":"'
    + "d" * 64
    + '","round":1,"rounds":2,"seed":1,"settings":{},"route":'
    + ROUTE
    + "}"
)


def test_noisy_answers_are_counted_and_no_center_gets_more_than_was_agreed(tmp_path: Path):
    order, noise = read_round_order(ORDER), RoundNoise(1.0, 1e-5, 0.1)
    ledger = RoundLedger(tmp_path / "privacy.json")
    ledger.enter(order, noise)
    with pytest.raises(NotAllowed):
        ledger.enter(order.model_copy(update={"rounds": 99}), noise)
    ledger.enter(order, noise)
    with pytest.raises(NotAllowed, match="2 noisy answers of 2"):
        RoundLedger(tmp_path / "privacy.json").enter(order, noise)
    ledger.enter(order.model_copy(update={"run": "e" * 64}), noise)
    assert noise.deviation(4) == pytest.approx(2 * noise.deviation(1))


@pytest.mark.parametrize(
    "document",
    [
        ORDER.replace('"seed":1', '"seed":-1'),
        ORDER.replace('"round":1', '"round":0'),
        ORDER.replace('"round":1', '"round":3'),  # a refinement hands nothing out behind its last round
        ORDER.replace('"settings"', '"images":[],"settings"'),
        ORDER.replace("a" * 64, "../../etc/passwd"),
        ORDER.replace('"work":"refine"', '"work":"found"'),
        ORDER.replace('"work":"refine"', '"work":"upload"'),
        "[]",
        " " * 70_000 + ORDER,
    ],
)
def test_an_order_that_is_none_is_refused(document: str):
    with pytest.raises(ManifestInvalid):
        read_round_order(document)


def _npy(array: np.ndarray) -> bytes:
    import io

    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def test_arrays_are_read_by_the_shape_that_is_expected_of_them():
    tensor = torch.randn(3, 2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(tensor_from_npy(_npy(array_of(tensor)), (3, 2)), tensor)
    whole = _npy(np.zeros((3, 2), np.float32))
    for wrong in (
        _npy(np.zeros((2, 3), np.float32)),
        _npy(np.zeros((3, 2), np.int32)),
        _npy(np.asfortranarray(np.zeros((3, 2), np.float32))),
        _npy(np.zeros((3, 1), np.float64)),
        whole[:-1],
        whole + b"x",
        b"\x93NUMPY" + b"\xff" * 140,
        whole.replace(b"(3, 2)", b"(9, 2)"),
        b"",
    ):
        with pytest.raises(PayloadMalformed):
            tensor_from_npy(wrong, (3, 2))


def test_taking_part_is_off_by_default_and_its_terms_are_checked(tmp_path: Path):
    assert EdgeSettings.of({"home": tmp_path}).refine is None
    assert EdgeSettings.of({"home": tmp_path}).refine_labels == 0
    for wrong in (
        {"refine": "https://center:1"},
        {"refine": "center"},
        {"refine_epsilon": 1.0},
        {"refine_labels": -1},
    ):
        with pytest.raises(InvalidSettings, match="--refine"):
            EdgeSettings.of({"home": tmp_path, **wrong})
    noisy = EdgeSettings.of({"home": tmp_path, "refine_epsilon": 2.0, "refine_clip_norm": 0.5})
    assert noisy.round_noise == RoundNoise(2.0, 1e-5, 0.5)
