"""The baseline of back-distillation: the same step by automatic differentiation alone.

D' is the derivative of a task module whose ReLUs multiply by fixed masks and whose pools average. Without
the chain of forward operations one runs that module forward, takes the gradient at its input with
`create_graph=True`, and goes backward through the gradient's own graph: 'double backward'. G, dummies, loss,
optimiser and batch are those of our step, so that both must give the same loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Size, Tensor, nn
from torch.nn import functional

from transplant.backdistill.gradient_pairs import random_output_gradient
from transplant.backdistill.learn_adapter import BackDistillLearner
from transplant.backdistill.loss import distillation_loss, lambda_of, scale_alpha
from transplant.backdistill.pseudo_gradient import DummyMasks, DummyRule, pseudo_gradient
from transplant.nets.task_module import ClassificationModule, SegmentationModule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from transplant.nets.adapter import Adapter
    from transplant.nets.learning import AdapterProblem, LearnerConfig


class DoubleBackwardLearner(BackDistillLearner):
    """`BackDistillLearner` with D'_S and D'_T from `torch.autograd`; for one problem and one config."""

    def __init__(self) -> None:
        self._shapes: tuple[dict[str, Size], Size] | None = None

    def free_terms(
        self, problem: AdapterProblem, config: LearnerConfig, adapter: Adapter, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the distillation term of the same G and the same dummies."""
        count = min(config.batch, config.masks)
        if self._shapes is None:
            self._shapes = shapes_of(problem, config, count)
        of_masks, of_inputs = self._shapes
        source = DummyMasks(DummyRule(config.dummy), generator)
        gradient = random_output_gradient(problem, config, count, generator)
        masks = {position: source.mask_at(position, shape) for position, shape in of_masks.items()}
        inputs = torch.zeros(of_inputs).contiguous(memory_format=torch.channels_last).requires_grad_(True)
        through_host = linear_answers(problem.host_task_module, _linear_adapter(adapter, inputs), masks)
        (at_features,) = torch.autograd.grad(through_host, inputs, gradient, create_graph=True)
        through_teacher = linear_answers(problem.teacher, inputs, masks)
        (at_teacher,) = torch.autograd.grad(through_teacher, inputs, gradient)
        alpha = scale_alpha(at_features, at_teacher)
        loss = distillation_loss(at_features, at_teacher, alpha)
        return {"distillation": lambda_of(config, problem.task) * loss}


def linear_answers(module: nn.Module, features_BCHW: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
    """Return the answers (B, 1, S, S) of g with its dummies and averaging pools; D' is their derivative.

    Args:
        module: a `ClassificationModule` or a `SegmentationModule`.
        features_BCHW: x; larger than the seam for an enlarged G.
        masks: the second dummies by the position of their ReLU; where there is none, it is the first.
    """
    if isinstance(module, ClassificationModule):
        return _linear_chain(module.layers.named_children(), features_BCHW, masks, "layers")
    if not isinstance(module, SegmentationModule):
        raise TypeError(f"no linear answers of a {type(module).__name__}")
    maps = [features_BCHW]
    for index, stage in enumerate(module.stages):
        maps.append(_linear_chain(stage.named_children(), maps[-1], masks, f"stages.{index}"))
    score = _linear_chain(module.head.named_children(), maps[-1], masks, "head")
    for skip, scored, upsampling in zip(module.skips, module.scores, module.upsamplings, strict=False):
        score = upsampling(score) + scored(maps[skip])
    return module.upsamplings[-1](score)


class _Shapes(DummyMasks):
    """Dummies that remember which masks were asked for, in which order, and of which shape."""

    def __init__(self, rule: DummyRule) -> None:
        super().__init__(rule, torch.Generator())
        self.shapes: dict[str, Size] = {}

    def mask_at(self, position: str, shape_BCHW: Size) -> Tensor:
        self.shapes[position] = shape_BCHW
        return super().mask_at(position, shape_BCHW)


def shapes_of(problem: AdapterProblem, config: LearnerConfig, count: int) -> tuple[dict[str, Size], Size]:
    """Return position -> shape of the masks that one D' draws, in that order, and the shape of D'."""
    shapes = _Shapes(DummyRule(config.dummy))
    gradient = random_output_gradient(problem, config, count, torch.Generator())
    with torch.no_grad():
        chained = pseudo_gradient(problem.host_task_module, gradient, shapes)
    return shapes.shapes, chained.shape


def _linear_adapter(adapter: Adapter, features_BCHW: Tensor) -> Tensor:
    """Run h with the first dummy in every ReLU."""
    x = features_BCHW if adapter.reorder is None else features_BCHW[:, adapter.reorder]
    x = x * adapter.beta
    for convolution in adapter.chain:
        x = convolution(x)
    return x


def _linear_chain(
    layers: Iterable[tuple[str, nn.Module]], x: Tensor, masks: Mapping[str, Tensor], prefix: str
) -> Tensor:
    for name, layer in layers:
        if isinstance(layer, nn.ReLU):
            position = f"{prefix}.{name}"
            x = x * masks[position] if position in masks else x
        elif isinstance(layer, nn.MaxPool2d):
            x = functional.avg_pool2d(x, layer.kernel_size)
        elif not isinstance(layer, nn.Dropout):
            x = layer(x)
    return x
