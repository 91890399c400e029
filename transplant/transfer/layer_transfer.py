"""Layer transfer (Gutstein, Fuentes, Freudenthal 2007): the n lowest layers of a source net, kept and frozen.

What is retained is a feature extractor that no step changes, so the training set goes through it once and
only the layers above are trained. How many to retain is a trade of transferred knowledge against free
parameters that turns with the number of samples (figure 2); `choose_retained` settles it by validation on
the target's own samples. The paper says neither optimiser nor loss: here SGD with momentum and a cosine on
the squared distance to the class's target vector.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call

from transplant.errors import TransferNotPossible
from transplant.nets.seeded import seeded
from transplant.transfer.lenet import nearest_vector
from transplant.transfer.momentum_sgd import MomentumSgd, Named, resting
from transplant.transfer.validation_folds import distorted, stratified_folds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LEAD = 0.1  # of mean squared distances: answers to unseen characters are about 0.3 from their vector
_BEHIND = 2.0


@dataclass(frozen=True)
class LayerTransferConfig:
    """How the layers above the retained ones are trained.

    Args:
        steps: updates.
        batch: samples of one.
        learning_rate: at the start of the cosine.
        momentum: of SGD.
        weight_decay: of every trained weight.
        seed: of the order of samples.
        folds: of the validation that chooses how many layers to retain.
    """

    steps: int = 600
    batch: int = 20
    learning_rate: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 1e-4
    seed: int = 0
    folds: int = 5

    def sgd(self, step: int) -> MomentumSgd:
        """Return the settings of one update."""
        rate = self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / max(1, self.steps)))
        return MomentumSgd(rate, self.momentum, self.weight_decay)


@dataclass(frozen=True, eq=False)
class LayerTransferProblem:
    """What is to be learned.

    Args:
        source: the trained net, a chain of layers.
        fresh: a net of the same geometry with the weights from which the layers that are not retained start.
        images_BCHW: the target's training samples.
        labels_B: their classes, int64.
        vectors_CK: the target vector of each class.
    """

    source: nn.Sequential
    fresh: nn.Sequential
    images_BCHW: Tensor
    labels_B: Tensor
    vectors_CK: Tensor


@dataclass(frozen=True)
class LayerTransferState:
    """Everything that the next step depends on."""

    retained: int
    step: int
    weights: Named
    momenta: Named


def retain_layers(source: Sequence[nn.Module], target: Sequence[nn.Module], retained: int) -> None:
    """Copy the weights of the lowest layers of `source` into `target` and freeze them there.

    Args:
        source: layers, lowest first.
        target: layers, lowest first; changed in place.
        retained: how many.

    Raises:
        TransferNotPossible: if one of the nets has fewer layers, or two layers differ in shape.
    """
    if not 0 <= retained <= min(len(source), len(target)):
        raise TransferNotPossible(
            f"{retained} layers are to be retained, the source has {len(source)} and the target "
            f"{len(target)}: retain fewer"
        )
    for place, (theirs, own) in enumerate(zip(source[:retained], target[:retained], strict=True), start=1):
        given, wanted = _shapes(theirs), _shapes(own)
        if given != wanted:
            raise TransferNotPossible(
                f"layer {place} of the source is {given}, the target's is {wanted}: retain at most "
                f"{place - 1} layers, or choose a source of the same architecture"
            )
        own.load_state_dict(theirs.state_dict())
        own.requires_grad_(False)


def weighted_layers(net: nn.Module) -> list[nn.Module]:
    """Return the layers of a net that have weights of their own, lowest first."""
    return [layer for layer in net.modules() if _has_weights(layer)]


def usually_retained(net: nn.Module) -> int:
    """Return how many layers with weights come before the last pool: they see parts of an image.

    What comes after it sees the whole, and is learned anew, as one does with fully connected layers. A net
    without a pool has none of the latter.
    """
    seen, found = 0, None
    for layer in net.modules():
        if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            found = seen
        elif _has_weights(layer):
            seen += 1
    return seen if found is None else found


def init(problem: LayerTransferProblem, retained: int) -> LayerTransferState:
    """Return the state before the first step: `fresh` above the retained layers."""
    if not 0 <= retained < len(problem.fresh):
        raise TransferNotPossible(
            f"{retained} of {len(problem.fresh)} layers are to be retained: at least one must be trained"
        )
    upper = problem.fresh[retained:]
    weights = {name: weight.detach().clone() for name, weight in upper.named_parameters()}
    return LayerTransferState(retained, 0, weights, resting(weights))


def features(problem: LayerTransferProblem, retained: int) -> Tensor:
    """Return what the retained layers make of the training samples; computed once, no step changes it."""
    with torch.no_grad():
        return problem.source[:retained](problem.images_BCHW)


def step(
    problem: LayerTransferProblem, config: LayerTransferConfig, lower: Tensor, state: LayerTransferState
) -> tuple[LayerTransferState, dict[str, float]]:
    """Return the next state and this step's loss.

    Args:
        problem: what is learned.
        config: how.
        lower: the answer of `features`.
        state: of `init` or of an earlier step.
    """
    samples = len(lower)
    epoch, place = divmod(state.step, max(1, math.ceil(samples / config.batch)))
    order = torch.randperm(samples, generator=seeded(config.seed, epoch))
    chosen = order[place * config.batch : (place + 1) * config.batch]
    weights = {name: weight.detach().requires_grad_(True) for name, weight in state.weights.items()}
    answers = functional_call(problem.fresh[state.retained :], weights, (lower[chosen],))
    wanted = problem.vectors_CK[problem.labels_B[chosen]]
    loss = (answers - wanted).square().mean()
    gradients = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
    with torch.no_grad():
        new, momenta = config.sgd(state.step).updated(state.weights, state.momenta, gradients)
    return LayerTransferState(state.retained, state.step + 1, new, momenta), {"loss": float(loss.detach())}


def finish(problem: LayerTransferProblem, state: LayerTransferState) -> nn.Sequential:
    """Return the net: the source's lowest layers, frozen, and the trained ones on top; in evaluation mode."""
    net = copy.deepcopy(problem.fresh)
    retain_layers(list(problem.source), list(net), state.retained)
    upper = net[state.retained :]
    upper.load_state_dict(state.weights, strict=False)  # connections of C3 are buffers, not weights
    return net.eval()


def run(problem: LayerTransferProblem, config: LayerTransferConfig, retained: int) -> nn.Sequential:
    """Train with so many layers retained, from start to end."""
    state, lower = init(problem, retained), features(problem, retained)
    for _ in range(config.steps):
        state, _figures = step(problem, config, lower, state)
    return finish(problem, state)


@torch.no_grad()
def accuracy(net: nn.Module, images_BCHW: Tensor, labels_B: Tensor, vectors_CK: Tensor) -> float:
    """Return the accuracy in percent: an answer means the class with the nearest target vector."""
    named = [nearest_vector(net(part), vectors_CK) for part in images_BCHW.split(500)]
    return 100 * float((torch.cat(named) == labels_B).to(torch.float64).mean())


@torch.no_grad()
def leads(net: nn.Module, images_BCHW: Tensor, labels_B: Tensor, vectors_CK: Tensor) -> Tensor:
    """Return by how much each image's own class wins or loses: 0 to 1 (B,), 1/2 where it is undecided.

    sigma((d_next - d_own) / `_LEAD`), with d the mean squared distance of an answer from a target vector and
    d_next that of the nearest other class. Right and wrong say as much of an image that is barely right as of
    one that is plainly so; of few images a mean of leads is the steadier figure.
    """
    vectors_CK = vectors_CK.to(images_BCHW)
    answers_BK = torch.cat([net(part) for part in images_BCHW.split(500)])
    far_BC = torch.cdist(answers_BK, vectors_CK).square() / vectors_CK.shape[1]
    own_B = far_BC.gather(1, labels_B[:, None])[:, 0]
    next_B = far_BC.scatter(1, labels_B[:, None], math.inf).min(1).values
    return torch.sigmoid((next_B - own_B) / _LEAD)


def choose_retained(
    problem: LayerTransferProblem, config: LayerTransferConfig, candidates: Sequence[int], usual: int
) -> tuple[int, Mapping[int, float]]:
    """Choose how many layers to retain by validation on the training samples alone.

    Few samples tell little, and the best of several noisy figures is often not the best: so the usual number
    goes unless another is ahead of it by `_BEHIND` standard errors of their difference, image by image.

    With two samples a class and more this is cross-validation over stratified folds. With one there is
    nothing to leave out: the net learns all of them and is asked about slightly moved, turned and scaled
    copies, which is the only question about unseen pictures that one sample a class can answer.

    The candidates race (Maron and Moore 1994): one that is as far behind the best, but for the usual one, is
    not trained again.

    Args:
        problem: what is learned.
        config: how; `folds` and `seed` are used here.
        candidates: numbers of layers, each trained `folds` times at most.
        usual: the one of them that needs no reason.

    Returns:
        The usual number, or where that is far behind the one with the best mean lead (the larger of equals
        trains fewer weights), and the mean lead of each candidate in percent, over the images that it was
        asked about.
    """
    labels = problem.labels_B
    fewest = int(torch.bincount(labels)[labels.unique()].min())
    found = {candidate: torch.empty(0) for candidate in candidates}
    running = list(candidates)
    if fewest < 2:
        rounds = [(torch.arange(len(labels)), None)] * 2
    else:
        rounds = stratified_folds(labels, min(config.folds, fewest), seeded(config.seed, 0))
    for number, (learned, left_out) in enumerate(rounds):
        part = replace(problem, images_BCHW=problem.images_BCHW[learned], labels_B=problem.labels_B[learned])
        if left_out is None:
            generator = seeded(config.seed, number + 1)
            asked = torch.cat([distorted(problem.images_BCHW, generator) for _ in range(8)])
            truth = labels.repeat(8)
        else:
            asked, truth = problem.images_BCHW[left_out], labels[left_out]
        for candidate in running:
            net = run(part, replace(config, seed=config.seed + number), candidate)
            led = leads(net, asked, truth, problem.vectors_CK)
            found[candidate] = torch.cat([found[candidate], led])
        best = max(running, key=lambda candidate: float(found[candidate].mean()))
        running = [each for each in running if each == usual or not _far_behind(found[best] - found[each])]
    means = {candidate: 100 * float(led.mean()) for candidate, led in found.items()}
    return settled({candidate: found[candidate] for candidate in running}, usual), means


def settled(found: Mapping[int, Tensor], usual: int) -> int:
    """Return the usual number of layers, or the best where the usual is `_BEHIND` standard errors behind it.

    Args:
        found: of each candidate how well it did on each of the same images (B,), more is better.
        usual: one of them.
    """
    best = max(found, key=lambda candidate: (float(found[candidate].mean()), candidate))
    return best if _far_behind(found[best] - found[usual]) else usual


def _far_behind(lost_B: Tensor) -> bool:
    """Tell whether what a candidate loses to the best, image by image, is more than chance makes."""
    error = float(lost_B.std()) / math.sqrt(len(lost_B)) if len(lost_B) > 1 else math.inf
    return float(lost_B.mean()) > _BEHIND * error


def _shapes(layer: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in layer.named_parameters()}


def _has_weights(layer: nn.Module) -> bool:
    return any(True for _ in layer.parameters(recurse=False))
