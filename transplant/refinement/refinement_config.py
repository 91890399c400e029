"""Every knob of a site's work in a round, as plain values. Nothing here needs torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from transplant.errors import InvalidSettings
from transplant.nets.plain_settings import PlainSettings

if TYPE_CHECKING:
    from transplant.types import Precision


@dataclass(frozen=True)
class RefinementConfig(PlainSettings, what="refinement"):
    """What a site does in one round; it is the same at every site, but for `labels`.

    Attributes:
        steps: Adam steps of a site in one round.
        batch: images a step.
        learning_rate: Adam's peak; one cosine over all rounds leads it to zero.
        labels: how many labelled images of its own a site learns from, beside all of its images without
            labels; half of them show the category, where it has as many. 0: none, not one label is read.
        label_weight: of the task loss beside the distillation terms, where there are labels.
        clip_norm: longest `round_delta` (L2 over all its tensors together) that leaves a site: a longer one
            is shortened to it. 0: none is.
        precision: "bfloat16" runs forward passes in mixed precision, for processors that have it.
        seed: of all that a site draws; every site has its own, for else equal images were drawn alike.
    """

    steps: int = 300
    batch: int = 32
    learning_rate: float = 2e-3
    labels: int = 0
    label_weight: float = 1.0
    clip_norm: float = 0.0
    precision: Precision = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"steps": 1, "batch": 1, "labels": 0, "seed": 0}.items():
            if getattr(self, name) < least:
                raise InvalidSettings(f"{name} must be at least {least}; got {getattr(self, name)}")
        for name in ("learning_rate", "label_weight", "clip_norm"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InvalidSettings(f"{name} must be a number from 0 on; got {getattr(self, name)}")
        if self.precision not in ("float32", "bfloat16"):
            raise InvalidSettings(f"precision is float32 or bfloat16; got {self.precision!r}")

    def at_site(self, seed: int, labels: int) -> RefinementConfig:
        """Return a site's own settings: its seed, and the labels that its policy spends."""
        return replace(self, seed=seed, labels=labels)
