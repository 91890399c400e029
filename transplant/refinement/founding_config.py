"""Every knob of a founding site's work in a round, as plain values. Nothing here needs torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transplant.errors import InvalidSettings
from transplant.nets.plain_settings import PlainSettings

if TYPE_CHECKING:
    from transplant.types import Precision


@dataclass(frozen=True)
class FoundingConfig(PlainSettings, what="founding"):
    """What a founding site does in one round; the defaults are a teacher's recipe.

    Attributes:
        steps: SGD steps of a site in one round (momentum 0.9, which begins anew with each round).
        batch: labelled images a step.
        learning_rate: at the top of one cosine over all rounds.
        weight_decay: of every weight.
        gradient_norm: longer gradients are cut to this length.
        clip_norm: longest difference of the shared modules that leaves a site; 0: of any length.
        precision: "bfloat16" runs forward passes in mixed precision.
        seed: of all that a site draws.
    """

    steps: int = 300
    batch: int = 16
    learning_rate: float = 0.02
    weight_decay: float = 5e-4
    gradient_norm: float = 5.0
    clip_norm: float = 0.0
    precision: Precision = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"steps": 1, "batch": 1, "seed": 0}.items():
            if getattr(self, name) < least:
                raise InvalidSettings(f"{name} must be at least {least}; got {getattr(self, name)}")
        for name in ("learning_rate", "weight_decay", "gradient_norm", "clip_norm"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InvalidSettings(f"{name} must be a number from 0 on; got {getattr(self, name)}")
        if self.precision not in ("float32", "bfloat16"):
            raise InvalidSettings(f"precision is float32 or bfloat16; got {self.precision!r}")
