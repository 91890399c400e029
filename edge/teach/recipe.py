"""How a teacher net is trained: the frozen settings of one training, and their defaults."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transplant.types import Precision

Optimiser = Literal["sgd", "adamw"]

_DRAWN_EPOCHS = 8
_PHOTOGRAPH_EPOCHS = 20  # photographs are fewer and harder than drawn scenes


def default_epochs(data: str) -> int:
    """Return how long a site trains on this data (`--data`) where nobody says."""
    return _DRAWN_EPOCHS if data == "scenes" else _PHOTOGRAPH_EPOCHS


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the outcome of a training besides the data and the architecture.

    The defaults are SGD with momentum 0.9 and weight decay 5e-4 (what the papers' VGGs were trained
    with), small batches and one cosine.

    Args:
        epochs: passes over the training data.
        batch_size: samples a step.
        learning_rate: at the top of the schedule.
        optimiser: "sgd" or "adamw".
        weight_decay: of every weight.
        warm_up_epochs: linear rise of the learning rate before the cosine takes over.
        sibling_epoch: epoch (from 0) before which the classification trunk is started from the
            segmentation's, see `teaching.start_from_sibling`; -1 for never.
        gradient_norm: longer gradients are cut to this length (nets without BatchNorm have outliers).
        patience: epochs without a better validation score after which training ends.
        precision: "bfloat16" runs the forward pass in mixed precision (faster on CPUs that have it).
        pretrained: start a vgg16 from torchvision's ImageNet weights.
        seed: of initialisation, order, augmentation and dropout.
    """

    epochs: int = _DRAWN_EPOCHS
    batch_size: int = 16
    learning_rate: float = 0.02
    optimiser: Optimiser = "sgd"
    weight_decay: float = 5e-4
    warm_up_epochs: float = 1.0
    sibling_epoch: int = 2
    gradient_norm: float = 5.0
    patience: int = 10
    precision: Precision = "float32"
    pretrained: bool = False
    seed: int = 0

    def to_dict(self) -> dict[str, int | float | str | bool]:
        """Return the settings as plain values."""
        return asdict(self)

    def learning_rate_at(self, step: int, steps_an_epoch: int) -> float:
        """Return the learning rate of one step: linear warm-up times half a cosine."""
        total = max(1, self.epochs * steps_an_epoch)
        warm_up = max(1.0, self.warm_up_epochs * steps_an_epoch)
        return (
            self.learning_rate * min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / total))
        )
