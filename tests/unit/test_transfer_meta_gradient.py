"""The bilevel gradient: against finite differences and a naive unrolled loop, in float64, and in its cost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from transplant.transfer import l2t
from transplant.transfer.borrowing import TrainingConfig
from transplant.transfer.l2t import L2TConfig, l2t_problem
from transplant.transfer.meta_gradient import MetaMode, meta_gradient
from transplant.transfer.tapped_net import Tap, TappedNet
from transplant.transfer.weighted_matching import MatchingScheme, all_to_all_pairs, matching_loss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from transplant.transfer.l2t import L2TProblem, L2TState

CONFIG = L2TConfig(TrainingConfig(steps=10, learning_rate=0.1))


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def tiny(generator: torch.Generator, classes: int) -> TappedNet:
    """Two smooth convolutions with a batch norm: finite differences need a net without kinks."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(20, classes),
    )  # fmt: skip
    for weight in net.parameters():
        with torch.no_grad():
            weight.copy_(0.5 * torch.randn(weight.shape, generator=generator))
    return TappedNet(net, [Tap("2"), Tap("5")])


def small_problem() -> tuple[L2TProblem, L2TState, Tensor, Tensor]:
    """One step into the training, so that momenta and meta nets are not where they start."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(6, 3, 8, 8, generator=generator)
    targets = torch.randint(3, (6,), generator=generator)
    sources = (tiny(generator, 4).eval(), tiny(generator, 2).eval())
    target = tiny(generator, 3)
    shapes = [source.feature_shapes(images[:1]) for source in sources]
    scheme = MatchingScheme(all_to_all_pairs(shapes, target.feature_shapes(images[:1])), True, True)
    problem = l2t_problem(target, sources, scheme, functional.cross_entropy, images[:1], CONFIG, generator)
    state, _ = l2t.step(problem, replace(CONFIG, meta_learning_rate=0.05), l2t.init(problem), images, targets)
    return problem, state, images, targets


def look_ahead(problem: L2TProblem, state: L2TState, images: Tensor, targets: Tensor) -> l2t.LookAhead:
    given = problem.borrowing.given(images)
    problem.matching.wanted = problem.matching.projections.wanted(given.features)
    return l2t.look_ahead(problem, CONFIG.training.sgd(1), 2, state.training, images, targets)


def merit(
    problem: L2TProblem, state: L2TState, images: Tensor, targets: Tensor, phi: dict[str, Tensor]
) -> Tensor:
    """Algorithm 1's last line, written naively: loops, and no functions of ours but the losses."""
    given = problem.borrowing.given(images)
    coefficients = functional_call(problem.meta_nets, phi, (given.features,))
    student, wanted = problem.borrowing.student, problem.matching.projections.wanted(given.features)
    theta = {name: weight.clone().requires_grad_(True) for name, weight in state.training.weights.items()}
    momenta = dict(state.training.momenta)
    sgd = CONFIG.training.sgd(1)
    for number in range(4):
        buffers = {name: buffer.clone() for name, buffer in state.training.buffers.items()}
        seen, _ = functional_call(student, theta | buffers, (images, None))
        loss = functional.cross_entropy(seen.answers, targets)
        if number == 3:
            return loss
        if number < 2:
            below = {
                name.removeprefix("borrowers.0.projections."): weight
                for name, weight in theta.items()
                if "projections" in name
            }
            errors = functional_call(problem.matching.projections, below, (wanted, seen.features))
            loss = matching_loss(coefficients, errors)
        for name, weight in list(theta.items()):
            (gradient,) = torch.autograd.grad(
                loss, weight, create_graph=True, allow_unused=True, materialize_grads=True
            )
            momenta[name] = sgd.momentum * momenta[name] + gradient + sgd.weight_decay * weight
        theta = {name: weight - sgd.learning_rate * momenta[name] for name, weight in theta.items()}
    raise AssertionError


def into_phi(
    problem: L2TProblem, state: L2TState, images: Tensor, targets: Tensor, mode: MetaMode
) -> dict[str, Tensor]:
    given = problem.borrowing.given(images)
    l2t.load_parameters(problem.meta_nets, state.meta)
    coefficients = problem.meta_nets(given.features)
    ahead = look_ahead(problem, state, images, targets)
    found, _ = meta_gradient(mode, ahead, coefficients, state.training.weights, state.training.momenta)
    problem.meta_nets.zero_grad(set_to_none=True)
    torch.autograd.backward(coefficients, found)
    return {
        name: torch.zeros_like(each) if each.grad is None else each.grad
        for name, each in problem.meta_nets.named_parameters()
    }


def phi_of(state: L2TState) -> dict[str, Tensor]:
    return {
        name.removeprefix("parameter."): value.clone()
        for name, value in state.meta.items()
        if name.startswith("parameter.")
    }


def test_the_exact_gradient_is_that_of_a_naive_unrolled_loop() -> None:
    problem, state, images, targets = small_problem()
    phi = {name: value.requires_grad_(True) for name, value in phi_of(state).items()}
    naive = torch.autograd.grad(merit(problem, state, images, targets, phi), list(phi.values()))
    ours = into_phi(problem, state, images, targets, "exact")
    for name, expected in zip(phi, naive, strict=True):
        torch.testing.assert_close(ours[name], expected, rtol=1e-6, atol=1e-9)
    assert max(float(each.abs().max()) for each in ours.values()) > 1e-4


def test_the_exact_gradient_is_that_of_finite_differences() -> None:
    problem, state, images, targets = small_problem()
    phi = phi_of(state)
    ours = into_phi(problem, state, images, targets, "exact")
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        direction = {name: torch.randn(value.shape, generator=generator) for name, value in phi.items()}
        ends = [
            merit(
                problem, state, images, targets, {n: v + sign * 1e-5 * direction[n] for n, v in phi.items()}
            )
            for sign in (1, -1)
        ]
        slope = float(ends[0].detach() - ends[1].detach()) / 2e-5
        expected = sum(float((ours[name] * direction[name]).sum()) for name in phi)
        assert slope == pytest.approx(expected, rel=1e-4)


def test_hessian_vector_products_give_the_same_gradient() -> None:
    problem, state, images, targets = small_problem()
    exact, differences = (
        torch.cat([each.flatten() for each in into_phi(problem, state, images, targets, mode).values()])
        for mode in ("exact", "hessian-vector")
    )
    assert float(functional.cosine_similarity(exact, differences, dim=0)) > 0.99
    assert float(differences.norm()) == pytest.approx(float(exact.norm()), rel=0.05)


@pytest.mark.parametrize(("mode", "passes"), [("exact", 4), ("hessian-vector", 7)])
def test_forward_passes_of_the_target_are_counted(mode: MetaMode, passes: int) -> None:
    """One real step; T + 1 steps and the merit ahead; by differences one more for each step of these."""
    problem, state, images, targets = small_problem()
    calls: dict[str, int] = {"target": 0, "source": 0}
    nets = {"target": problem.borrowing.student.target, "source": problem.borrowing.sources[0]}
    for name, net in nets.items():

        def counted(*_: object, name: str = name) -> None:
            calls[name] += 1

        net.register_forward_hook(counted)
    l2t.step(problem, replace(CONFIG, meta_mode=mode), state, images, targets)
    assert calls == {"target": 1 + passes, "source": 1}


def test_the_look_ahead_leaves_no_trace() -> None:
    problem, state, images, targets = small_problem()
    frozen = {name: value.clone() for name, value in problem.borrowing.sources[0].state_dict().items()}
    after, figures = l2t.step(problem, CONFIG, state, images, targets)
    given = problem.borrowing.given(images)
    l2t.load_parameters(problem.meta_nets, state.meta)
    problem.matching.coefficients = [each.detach() for each in problem.meta_nets(given.features)]
    plain, plain_figures = l2t.borrowing.step(
        problem.borrowing, CONFIG.training, state.training, images, targets, given
    )
    for name, weight in plain.weights.items():
        assert torch.equal(after.training.weights[name], weight), name
    for name, buffer in plain.buffers.items():
        assert torch.equal(after.training.buffers[name], buffer), name
    assert figures["loss"] == plain_figures["loss"]
    assert any(not torch.equal(after.meta[name], value) for name, value in state.meta.items())
    for name, value in problem.borrowing.sources[0].state_dict().items():
        assert torch.equal(value, frozen[name])


def test_weight_decay_moves_what_the_matching_does_not_see() -> None:
    """Where a loss does not reach a weight torch tells None: momentum and decay must act all the same."""
    problem, state, images, targets = small_problem()
    ahead = look_ahead(problem, state, images, targets)
    last = "target.net.8.weight"
    errors = ahead.errors(
        {name: weight.requires_grad_(True) for name, weight in state.training.weights.items()}
    )
    reached = torch.autograd.grad(errors[0].sum(), state.training.weights[last], allow_unused=True)
    assert reached == (None,)
    moved, _ = ahead.sgd.updated(
        state.training.weights,
        state.training.momenta,
        dict.fromkeys(state.training.weights),
    )
    assert not torch.equal(moved[last], state.training.weights[last])
