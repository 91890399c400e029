"""Every knob of every learner, as plain values. Nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from transplant.errors import InvalidSettings
from transplant.nets.plain_settings import PlainSettings

if TYPE_CHECKING:
    from transplant.types import Precision

LABEL_FREE = ("transplant", "function", "closed-form", "back-distill")
"""Methods that learn without a labelled sample."""
LABEL_BOUND = ("direct-learn", "distill", "jacobian-distill")
"""Methods that need some: the paper's baselines, for comparison."""
METHODS = LABEL_FREE + LABEL_BOUND
SOURCES = ("procedural", "noise", "inverted", "moments", "pca", "proxy")
"""What function distillation can synthesise x from (`transplant.datafree.sources`)."""

FEWEST_PUBLIC_IMAGES = 16
"""Of the source proxy: every eighth of them is held out."""


@dataclass(frozen=True)
class LearnerConfig(PlainSettings, what="learner"):
    """Every knob of every learner; a learner ignores what is not its own.

    `source` says what function distillation synthesises x from (`transplant.datafree.sources`); `blend` is
    the share of procedural images beside what was disclosed. `learning_rate` is Adam's peak (cosine to
    zero); `weight` is the paper's lambda for classification (a tenth of it for segmentation), in units of
    1 / E||D'_T||^2; `label_weight` is that of the labels where function distillation is given any.
    `drawings` is the share of procedural images that show pen strokes on a calm ground instead of piles
    of leaves: high where sites look at writing or schematic pictures, low for photographs. `nudge_reach`
    is the spread of the answers that images are nudged to, in deviations of g_T's answers on untouched
    ones. `candidates` is how many starts the method `transplant` tries. `precision` "bfloat16" runs
    forward passes in mixed precision, for processors that have it in hardware.
    """

    method: str = "transplant"
    source: str = "procedural"
    layers: int = 3
    kernel: int = 3
    steps: int = 3000
    candidates: int = 2
    batch: int = 32
    learning_rate: float = 4e-3
    synthetic_images: int = 24_000
    held_out_images: int = 512
    drawings: float = 0.5
    blend: float = 0.5
    nudged_share: float = 0.25
    nudge_steps: int = 6
    nudge_reach: float = 6.0
    precision: Precision = "float32"
    weight: float = 10.0
    label_weight: float = 1.0
    dummy: str = "lowest-second"
    enlarged_side: int = 7
    masks: int = 128
    checkpoint_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        least = {
            "layers": 1,
            "kernel": 1,
            "steps": 0,
            "batch": 1,
            "synthetic_images": 1,
            "checkpoint_every": 1,
            "candidates": 1,
        }
        for name, value in least.items():
            if getattr(self, name) < value:
                raise InvalidSettings(f"{name} must be at least {value}; got {getattr(self, name)}")
        for name, known in (("method", METHODS), ("source", SOURCES)):
            if getattr(self, name) not in known:
                raise InvalidSettings(f"no {name} {getattr(self, name)!r}; there are {', '.join(known)}")
        if self.precision not in ("float32", "bfloat16"):
            raise InvalidSettings(f"precision is float32 or bfloat16; got {self.precision!r}")
        for name in ("nudged_share", "drawings", "blend"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidSettings(f"{name} must lie in 0..1; got {getattr(self, name)}")

    def with_seed(self, seed: int) -> LearnerConfig:
        """Return a copy with another seed."""
        return replace(self, seed=seed)
