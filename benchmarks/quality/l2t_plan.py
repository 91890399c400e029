"""What a run of `quality l2t` is made of: its profile, its lenders, its cells.

Two profiles. `paper`: ResNet-32 on 200 classes, VGG-9-bn of full width, batch 128, 200 epochs, exact
meta-gradients; for a GPU. `cpu`: ResNet-20, which learns in bfloat16 where the processor computes in it,
VGG-9-bn of a quarter of the width, batch 64, a fixed number of steps, meta-gradients by Hessian-vector
products, a ten times larger meta learning rate for the fewer steps; minutes a training. Methods differ in
nothing but what they borrow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.quality.l2t_methods import METHODS
from benchmarks.records import Record
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

    from transplant.transfer.meta_gradient import MetaMode

BENCH = "l2t"
SAMPLES = (50, 250)
_NAMED = re.compile(r"resnet[0-9]{1,3}")


@dataclass(frozen=True)
class Profile:
    """The sizes of a run; `epochs` or `steps` says how long a target is trained."""

    source_depth: int
    source_classes: int
    source_steps: int
    source_batch: int
    width: int
    batch: int
    steps: int | None
    epochs: int
    learning_rate: float
    meta_learning_rate: float
    meta_mode: MetaMode
    test: int

    def steps_for(self, images: int) -> int:
        """Return how many updates a target trained on so many images gets."""
        return self.steps or self.epochs * max(1, images // self.batch)


PROFILES = {
    "cpu": Profile(20, 200, 4000, 64, 16, 64, 300, 0, 0.05, 1e-3, "hessian-vector", 2000),
    "paper": Profile(32, 200, 31_200, 128, 64, 128, None, 200, 0.1, 1e-4, "exact", 10_000),
}


@dataclass(frozen=True)
class L2TPlan:
    """The resolved flags of a run.

    Args:
        profile: its sizes.
        name: of the profile.
        seeds: of target images, weights and order.
        samples: images a class; 5,000 are all.
        methods: of `METHODS`.
        depths: of the ResNets that lend at once (table 2); empty: the profile's alone.
    """

    profile: Profile
    name: str
    seeds: tuple[int, ...] = (0, 1, 2)
    samples: tuple[int, ...] = SAMPLES
    methods: tuple[str, ...] = tuple(METHODS)
    depths: tuple[int, ...] = ()

    @property
    def lenders(self) -> tuple[tuple[int, int], ...]:
        """Return depth and number of each net that lends; nets of one depth differ in their numbers."""
        depths = self.depths or (self.profile.source_depth,)
        return tuple((depth, depths[:place].count(depth)) for place, depth in enumerate(depths))

    @property
    def source(self) -> str:
        """Return the nets that lend, for a record."""
        return "+".join(f"resnet{depth}" for depth, _ in self.lenders)


def depths_of(text: str, profile: Profile) -> tuple[int, ...]:
    """Return `--lenders` as depths: "1" and "2" are so many of the profile's ResNet, else names by comma.

    Raises:
        InvalidSettings: naming what is possible.
    """
    if text in ("1", "2"):
        return (profile.source_depth,) * int(text)
    depths = [int(word.removeprefix("resnet")) for word in text.split(",") if _NAMED.fullmatch(word)]
    if len(depths) < len(text.split(",")) or any(depth < 8 or depth % 6 != 2 for depth in depths):
        raise InvalidSettings(
            f"--lenders takes 1, 2 or ResNets of Tiny ImageNet by comma, of depths 8, 14, 20, 26, 32 ..., as "
            f"in resnet32,resnet20; got {text!r}"
        )
    return tuple(depths)


def cell_record(plan: L2TPlan, samples: int, seed: int, method: str) -> Record:
    """Return the record of a cell, before its value."""
    return Record(
        BENCH, "accuracy", 0.0, "percent", data="cifar10", arch=f"vgg9-{plan.name}", method=method,
        samples=samples, seed=seed, source=plan.source,
    )  # fmt: skip


def lender_path(out: Path, plan: L2TPlan, lender: tuple[int, int]) -> Path:
    """Return where a folder keeps a net that lends."""
    depth, number = lender
    return out / "teachers" / f"resnet{depth}-{plan.name}-{number}.safetensors"
