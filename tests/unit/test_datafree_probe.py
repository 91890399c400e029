"""Probes: the same images on both sides, answers that cover the teacher's range, codes with a bound."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.artifacts import ARCHITECTURE, TINY
from fakes.disclosures import answers_of, net, request_of
from torch import nn
from torch.nn import functional

from central.usecases.center import ProbePolicy
from transplant.artifact.codec import seal
from transplant.artifact.disclosed import seal_answers
from transplant.datafree.probe import answer_probe, answered_logits, check_answers, flattest, probe_images
from transplant.datafree.procedural_images import GENERATOR_ID, procedural_images
from transplant.errors import MergeNotPossible, PayloadMalformed, TensorNotFinite
from transplant.nets.architecture_table import DEFAULT
from transplant.nets.architectures import build_category_module
from transplant.nets.disclosures import ProbeAnswers, ProbeRequest
from transplant.nets.measures import as_images
from transplant.types import ModuleKind, Task

BOTH = tuple(Task)


class Brightness(nn.Module):
    """A teacher whose logit is a steep function of brightness: few images are bright, as few show a cat."""

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        return 40 * images_BCHW.mean((1, 2, 3)).sub(0.9).view(-1, 1)


class Rarely(nn.Module):
    """A teacher with one answer to every so many images and the other one to the rest."""

    def __init__(self, every: int, sign: int) -> None:
        super().__init__()
        self.every, self.sign, self.asked = every, sign, 0

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        places = torch.arange(self.asked, self.asked + len(images_BCHW))
        self.asked += len(images_BCHW)
        return torch.where(places % self.every == 0, self.sign, -self.sign).view(-1, 1)


def unevenness(logits: torch.Tensor, low: float, high: float) -> float:
    """Return the variance of the counts in 16 equal bins."""
    return float(torch.histc(logits, 16, low, high).var())


def test_the_images_are_those_that_anybody_makes():
    request = request_of(pool=150, count=20)
    assert torch.equal(probe_images(request), procedural_images(150, 32, request.seed, 0.5))
    chosen = torch.tensor([0, 1, 63, 64, 149], dtype=torch.int32)
    assert torch.equal(probe_images(request, chosen), probe_images(request)[chosen.long()])
    assert probe_images(request, torch.empty(0, dtype=torch.int32)).shape == (0, 3, 32, 32)


def test_batches_without_a_chosen_image_are_not_made(monkeypatch):
    made = []
    monkeypatch.setattr(
        "transplant.datafree.probe.procedural_batch",
        lambda index, *_: made.append(index) or torch.zeros(64, 3, 32, 32, dtype=torch.uint8),
    )
    probe_images(request_of(pool=1 << 20), torch.tensor([7, 640, 641], dtype=torch.int32))
    assert made == [0, 10]


@pytest.mark.parametrize("task", BOTH)
def test_answers_are_deterministic_and_pass_their_own_check(task):
    request = request_of(task)
    first, again = answers_of(TINY, request), answers_of(TINY, request)
    check_answers(first)
    assert torch.equal(first.chosen_N, again.chosen_N)
    assert torch.equal(first.codes, again.codes)
    assert (first.low, first.high) == (again.low, again.high)
    assert not torch.equal(first.codes, answers_of(TINY, replace(request, seed=6)).codes)


@pytest.mark.parametrize("task", BOTH)
def test_an_answer_is_within_half_a_step_of_what_the_teacher_says(task):
    request = request_of(task)
    f, g = net(TINY, ModuleKind.CATEGORY), net(TINY, ModuleKind.TASK, task, seed=1)
    answers = answer_probe(request, f, g)
    with torch.no_grad():
        exact = g(f(as_images(probe_images(request, answers.chosen_N))))
    if task is Task.SEGMENTATION:
        exact = functional.adaptive_avg_pool2d(exact, request.grid)
    told = answered_logits(answers)
    assert told.shape == exact.shape
    step = (answers.high - answers.low) / 255
    assert float((told - exact).abs().max()) <= step / 2 * 1.01
    assert (int(answers.codes.min()), int(answers.codes.max())) == (0, 255)


def test_the_chosen_cover_the_range_more_evenly_than_a_random_draw():
    request = request_of(pool=1024, count=128)
    teacher = Brightness()
    everything = teacher(as_images(probe_images(request))).flatten()
    low, high = float(everything.min()), float(everything.max())
    chosen = answered_logits(answer_probe(request, nn.Identity(), teacher)).flatten()
    generator = torch.Generator().manual_seed(0)
    random = [everything[torch.randperm(1024, generator=generator)[:128]] for _ in range(5)]
    evenness = [unevenness(draw, low, high) for draw in random]
    assert unevenness(chosen, low, high) < 0.5 * min(evenness)
    assert (float(chosen.min()), float(chosen.max())) == pytest.approx((low, high), abs=(high - low) / 64)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("every", "looked_at"), [(4, 256), (16, 512), (64, 1024)])
def test_a_classifier_looks_until_both_answers_are_there_and_no_further(sign, every, looked_at):
    teacher = Rarely(every, sign)
    answers = answer_probe(request_of(pool=1024, count=128), nn.Identity(), teacher)
    assert teacher.asked == looked_at
    assert int(answers.chosen_N.max()) < looked_at
    rare = int((sign * answered_logits(answers) > 0).sum())
    assert rare == looked_at // every
    check_answers(answers)


def test_a_histogram_is_filled_to_one_level():
    cells = torch.tensor([0] * 50 + [3] * 2 + [1] * 20)
    chosen = flattest(cells, 13)
    assert torch.bincount(cells[chosen]).tolist() == [6, 5, 0, 2]
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert torch.equal(flattest(cells, 72), torch.arange(72))


def test_a_teacher_of_one_answer_and_one_that_is_broken():
    class Constant(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.full((len(images), 1), self.value)

    answers = answer_probe(request_of(), nn.Identity(), Constant(2.5))
    check_answers(answers)
    assert answered_logits(answers).unique().tolist() == [2.5]
    with pytest.raises(TensorNotFinite, match="not finite"):
        answer_probe(request_of(), nn.Identity(), Constant(float("nan")))


def test_another_generation_of_images_is_said():
    request = request_of(generator="leaves-99")
    with pytest.raises(MergeNotPossible, match="install the same release"):
        probe_images(request)


GOOD = answers_of(TINY, request_of())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chosen_N": GOOD.chosen_N[:-1]}, "48 places"),
        ({"chosen_N": GOOD.chosen_N.long()}, "32 bits"),
        ({"chosen_N": GOOD.chosen_N.flip(0)}, "rise strictly"),
        ({"chosen_N": GOOD.chosen_N[[0, *range(47)]]}, "rise strictly"),
        ({"chosen_N": GOOD.chosen_N + 192}, "within the pool of 192"),
        ({"chosen_N": GOOD.chosen_N - 192}, "within the pool of 192"),
        ({"codes": GOOD.codes[:-1]}, "codes: 8 bits"),
        ({"codes": GOOD.codes.int()}, "codes: 8 bits"),
        ({"codes": GOOD.codes.view(48, 1, 1)}, "codes: 8 bits"),
        ({"low": float("nan")}, "range"),
        ({"high": float("inf")}, "range"),
        ({"low": 3.0, "high": 2.0}, "range"),
    ],
)
def test_answers_that_are_not_what_was_asked_are_refused(changes, message):
    hostile = replace(GOOD, **changes)
    with pytest.raises((PayloadMalformed, TensorNotFinite), match=message):
        check_answers(hostile)


def test_f_and_the_answers_for_both_tasks_are_under_a_megabyte_at_vgg16_size():
    """A default probe; made without the 138 million weights of g_T, whose size does not matter here."""
    architecture, policy = DEFAULT["vgg16"], ProbePolicy()
    f, payload = seal(
        build_category_module(architecture),
        site="site-a",
        category="dog",
        kind=ModuleKind.CATEGORY,
        task=None,
        architecture=architecture,
    )
    shipped = len(payload) + len(f.canonical_bytes())
    for task in BOTH:
        grid = policy.grid if task is Task.SEGMENTATION else 1
        request = ProbeRequest(GENERATOR_ID, 1, policy.pool, policy.count, 224, 50, grid, task)
        side = (grid, grid) if task is Task.SEGMENTATION else ()
        codes = torch.zeros((policy.count, *side), dtype=torch.uint8)
        chosen = torch.arange(policy.count, dtype=torch.int32)
        manifest, payload = seal_answers(ProbeAnswers(request, chosen, codes, -1.0, 1.0), f)
        shipped += len(payload) + len(manifest.canonical_bytes())
    assert 900_000 < shipped <= 1_000_000


def test_the_default_architecture_answers_segmentation_on_the_default_grid():
    request = request_of(Task.SEGMENTATION, pool=64, count=64, grid=ProbePolicy().grid)
    answers = answers_of(ARCHITECTURE, request)
    assert answers.codes.shape == (64, 16, 16)
    assert answers.chosen_N.tolist() == list(range(64))
