"""Layer transfer: what is retained stays, bit for bit; what is chosen is chosen by validation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from transplant.errors import TransferNotPossible
from transplant.transfer import layer_transfer
from transplant.transfer.layer_transfer import (
    LayerTransferConfig,
    LayerTransferProblem,
    accuracy,
    choose_retained,
    leads,
    retain_layers,
    run,
    usually_retained,
    weighted_layers,
)
from transplant.transfer.lenet import lenet, target_vectors
from transplant.transfer.validation_folds import distorted, stratified_folds

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG = LayerTransferConfig(steps=60, batch=8, learning_rate=0.05)


def strokes(classes: range, each: int, seed: int) -> tuple[Tensor, Tensor]:
    """Bars of the class's own angle at random places: (N, 1, 32, 32) of -1 and 1."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(32.0) - 15.5, torch.arange(32.0) - 15.5, indexing="ij")
    images, labels = [], []
    for label, kind in enumerate(classes):
        angle = torch.tensor(kind * 0.5)
        for _ in range(each):
            shift = 5 * (torch.rand(1, generator=generator) - 0.5)
            far = (rows * angle.cos() + columns * angle.sin() + shift).abs()
            images.append(torch.where(far < 2.5, 1.0, -1.0))
            labels.append(label)
    return torch.stack(images)[:, None], torch.tensor(labels)


def problem(each: int = 4) -> LayerTransferProblem:
    images, labels = strokes(range(3), 10, 1)
    vectors = target_vectors(3, torch.Generator().manual_seed(2))
    first = lenet(torch.Generator().manual_seed(3))
    source = run(LayerTransferProblem(first, first, images, labels, vectors), CONFIG, 0)
    images, labels = strokes(range(3, 6), each, 4)
    return LayerTransferProblem(source, lenet(torch.Generator().manual_seed(5)), images, labels, vectors)


@pytest.mark.parametrize("retained", [0, 2, 5])
def test_retained_layers_stay_bit_for_bit_and_the_others_are_trained(retained: int) -> None:
    task = problem()
    net = run(task, CONFIG, retained)
    for place, (theirs, own, fresh) in enumerate(zip(task.source, net, task.fresh, strict=True)):
        base = theirs if place < retained else fresh
        same = [
            torch.equal(a, b)
            for a, b in zip(base.state_dict().values(), own.state_dict().values(), strict=True)
        ]
        assert all(same) == (place < retained)
        assert all(not weight.requires_grad for weight in own.parameters()) == (place < retained)
    test = strokes(range(3, 6), 10, 6)
    assert accuracy(net, *test, task.vectors_CK) > 60


def test_a_training_can_be_left_and_taken_up_between_any_two_steps() -> None:
    task = problem()
    state, lower = layer_transfer.init(task, 3), layer_transfer.features(task, 3)
    for number in range(CONFIG.steps):
        state, _ = layer_transfer.step(task, CONFIG, lower, state)
        if number == 20:
            stored = {name: weight.clone() for name, weight in state.weights.items()}
            state = replace(state, weights=stored, momenta={n: m.clone() for n, m in state.momenta.items()})
    again = run(task, CONFIG, 3)
    for name, tensor in layer_transfer.finish(task, state).state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_validation_finds_a_source_that_helps_and_one_that_harms() -> None:
    good = problem(each=3)
    chosen, scores = choose_retained(good, replace(CONFIG, folds=3), [0, 4], usual=4)
    assert chosen == 4, scores
    deaf = lenet(torch.Generator().manual_seed(9))
    with torch.no_grad():
        for weight in deaf.parameters():
            weight.zero_()
    chosen, scores = choose_retained(replace(good, source=deaf), replace(CONFIG, folds=3), [0, 4], usual=4)
    assert chosen == 0, scores


def test_a_lead_is_above_a_half_where_the_own_class_is_nearest() -> None:
    vectors = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    answers = torch.tensor([[1.0, 1.0], [0.1, 0.1], [0.0, 0.0], [-0.9, -1.0]])
    led = leads(nn.Identity(), answers, torch.zeros(4, dtype=torch.int64), vectors)
    assert led[0] > 0.99
    assert 0.5 < led[1] < 1
    assert led[2] == 0.5
    assert led[3] < 0.01


@pytest.fixture
def race(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[int]]]:
    """Return a race of 0, 3 and 4 layers that lead by about 0.2, 0.79 and 0.8: who won, who was trained."""
    asked: list[int] = []

    def trained(_: LayerTransferProblem, _config: LayerTransferConfig, retained: int) -> nn.Module:
        asked.append(retained)
        return nn.Identity()

    def led(_: nn.Module, images: Tensor, *_rest: Tensor) -> Tensor:
        noise = 0.2 * torch.randn(len(images), generator=torch.Generator().manual_seed(len(asked)))
        return {0: 0.2, 3: 0.79, 4: 0.8}[asked[-1]] + noise

    def run(usual: int) -> tuple[int, list[int]]:
        asked.clear()
        chosen, means = choose_retained(problem(each=10), CONFIG, [0, 3, 4], usual)
        assert set(means) == {0, 3, 4}
        return chosen, asked

    monkeypatch.setattr(layer_transfer, "run", trained)
    monkeypatch.setattr(layer_transfer, "leads", led)
    return run


@pytest.mark.parametrize("usual", [3, 4])
def test_the_usual_number_goes_where_nobody_is_plainly_ahead(race, usual: int) -> None:
    chosen, asked = race(usual)
    assert chosen == usual
    assert asked.count(usual) == CONFIG.folds


def test_who_is_far_behind_is_not_trained_again(race) -> None:
    assert race(4)[1].count(0) == 1


def test_the_usual_number_loses_to_one_that_is_plainly_ahead(race) -> None:
    chosen, asked = race(0)
    assert chosen in (3, 4)
    assert asked.count(0) == CONFIG.folds


def test_what_sees_parts_of_an_image_is_usually_retained() -> None:
    stage = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2)]
    trunk = nn.Sequential(*stage, nn.Sequential(nn.Conv2d(4, 4, 3), nn.AvgPool2d(2)))
    assert usually_retained(nn.Sequential(trunk, nn.Flatten(), nn.Linear(4, 3), nn.Linear(3, 1))) == 2
    assert usually_retained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 1))) == 2


def test_one_sample_a_class_is_validated_on_distorted_copies() -> None:
    chosen, scores = choose_retained(problem(each=1), CONFIG, [0, 5], usual=5)
    assert set(scores) == {0, 5}
    assert chosen in scores
    assert max(scores.values()) > 40


def test_folds_leave_every_sample_out_once_and_keep_every_class() -> None:
    labels = torch.tensor([0] * 5 + [1] * 7 + [4] * 6)
    folds = stratified_folds(labels, 3, torch.Generator().manual_seed(0))
    assert sorted(torch.cat([out for _, out in folds]).tolist()) == list(range(18))
    for learned, out in folds:
        assert not set(learned.tolist()) & set(out.tolist())
        assert set(labels[learned].tolist()) == set(labels[out].tolist()) == {0, 1, 4}


def test_distortions_are_small_and_keep_the_ground() -> None:
    images, _ = strokes(range(2), 2, 0)
    moved = distorted(images, torch.Generator().manual_seed(1))
    assert moved.shape == images.shape
    assert not torch.equal(moved, images)
    assert float(moved.min()) >= -1.0 - 1e-5
    assert float((moved.mean() - images.mean()).abs()) < 0.2


def test_layers_that_do_not_fit_are_refused() -> None:
    small, large = nn.Sequential(nn.Conv2d(1, 2, 3)), nn.Sequential(nn.Conv2d(1, 3, 3))
    with pytest.raises(TransferNotPossible, match="at most 0 layers"):
        retain_layers(weighted_layers(small), weighted_layers(large), 1)
    with pytest.raises(TransferNotPossible, match="retain fewer"):
        retain_layers(weighted_layers(small), weighted_layers(small), 2)
    with pytest.raises(TransferNotPossible, match="at least one"):
        layer_transfer.init(problem(), 6)
