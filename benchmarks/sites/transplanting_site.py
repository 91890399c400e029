"""What a site does to be transplanted: it trains a teacher for each category of which it holds enough.

The training is `edge.teach`'s own, an epoch a function of the state and the recipe. A part of the site's
pictures is held out; on it the best epoch is chosen, the teacher's error measured, and its temperature: the
figures that travel with the weights. A teacher is a function of the site's pictures and the run's seed,
whatever the round in which it is asked for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.sites.engine import SiteReply
from edge.datasets.site_dataset import SiteDataset, Split
from edge.teach.recipe import Recipe
from edge.teach.teaching import begin, run_epoch, taught_net
from transplant.artifact.digest import derive_seed, sha256_hex
from transplant.errors import DatasetInvalid
from transplant.nets.architecture_table import default_architecture
from transplant.nets.temperature import TEMPERATURE, route_temperature
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from benchmarks.sites.engine import Setting
    from benchmarks.sites.federation import LocalData

ENOUGH = 16
"""A teacher is trained where a site holds at least so many pictures of the category, and so many others."""
OTHERS_AT_MOST = 2
"""Times as many others as pictures of the category, drawn at random: more would cost time in vain."""
HELD_OUT = 0.15
"""Share of either kind that is held out."""


def train_teachers(data: LocalData, sent: Mapping[str, Tensor], settings: Mapping[str, Setting]) -> SiteReply:
    """Train a teacher a category (a `SiteWork`); nothing is sent to the site.

    Args:
        data: the site's pictures.
        sent: not looked at.
        settings: `arch`, `epochs`, `batch_size`, `learning_rate`, `precision`, `run_seed`.

    Returns:
        Tensors `CATEGORY.f.NAME` and `CATEGORY.g.NAME`, CATEGORY being its number; figures `CATEGORY.error`
        in percent, `CATEGORY.temperature`, and `CATEGORY.held_out`, the number of pictures that both were
        measured on.

    Raises:
        DatasetInvalid: if training diverges.
        UnknownArchitecture: if the architecture does not exist for images of this size.
    """
    del sent
    tensors: dict[str, Tensor] = {}
    figures: dict[str, float] = {}
    for category in data.known:
        seed = teacher_seed(data, category, int(settings["run_seed"]))
        splits = split_for(data, category, seed)
        if splits is None:
            continue
        taught = _taught(*splits, seed, settings)
        tensors |= {f"{category}.{name}": tensor for name, tensor in taught[0].items()}
        figures |= {f"{category}.{name}": figure for name, figure in taught[1].items()}
    return SiteReply(tensors, figures)


def teacher_seed(data: LocalData, category: int, run_seed: int) -> int:
    """Return the seed of all that a teacher is made by, `split_for` among it; no round is in it."""
    held = sha256_hex(data.images.numpy().tobytes() + data.labels.numpy().tobytes())
    return derive_seed("teacher of", str(category), held, str(run_seed))


def split_for(data: LocalData, category: int, seed: int) -> tuple[SiteDataset, SiteDataset] | None:
    """Return what a category's teacher learns from and what is held out, or None where that is too little."""
    labels = data.labels.numpy()
    own, others = np.flatnonzero(labels == category), np.flatnonzero(labels != category)
    if min(len(own), len(others)) < ENOUGH:
        return None
    generator = np.random.default_rng(seed)
    learned: list[np.ndarray] = []
    held: list[np.ndarray] = []
    for places in (own, others):
        chosen = generator.permutation(places)[: OTHERS_AT_MOST * len(own)]
        cut = max(1, round(HELD_OUT * len(chosen)))
        held.append(chosen[:cut])
        learned.append(chosen[cut:])
    return tuple(  # pyright: ignore[reportReturnType] - two of them
        _dataset(data, category, split, generator.permutation(np.concatenate(parts)))
        for split, parts in ((Split.TRAIN, learned), (Split.VALIDATION, held))
    )


def _dataset(data: LocalData, category: int, split: Split, places: np.ndarray) -> SiteDataset:
    rows = torch.from_numpy(places)
    labels = (data.labels[rows] == category).to(torch.uint8)
    return SiteDataset(f"category-{category}", split, data.images[rows], labels, None)


def _taught(
    train: SiteDataset, held_out: SiteDataset, seed: int, settings: Mapping[str, Setting]
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Return the weights of the best epoch, f and g apart, and what was measured on what is held out."""
    epochs = int(settings["epochs"])
    recipe = Recipe(
        epochs=epochs,
        batch_size=int(settings["batch_size"]),
        learning_rate=float(settings["learning_rate"]),
        precision="bfloat16" if settings["precision"] == "bfloat16" else "float32",
        patience=epochs,  # every method has the same epochs
        seed=seed,
    )
    architecture = default_architecture(str(settings["arch"]), train.image_px)
    state = begin(architecture, (Task.CLASSIFICATION,), recipe)
    while not state.finished(recipe):
        record = run_epoch(state, train, held_out, recipe)
        if not math.isfinite(record.loss):
            raise DatasetInvalid(
                f"a teacher of {train.category} diverged (loss is not finite): use a lower learning rate"
            )
    net = taught_net(state)
    parts = {"f": net.category_module, "g": net.task_modules[Task.CLASSIFICATION.value]}
    weights = {
        f"{part}.{name}": tensor
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    }
    route = net.eval().route(Task.CLASSIFICATION)
    return weights, {
        "error": 100 - max(record.score for record in state.history),
        TEMPERATURE: route_temperature(route, held_out.batches(Task.CLASSIFICATION)),
        "held_out": float(len(held_out)),
    }
