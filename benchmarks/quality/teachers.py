"""The teachers of a bench: trained once, kept under OUT/teachers by a digest of everything that matters.

A teacher is a safetensors file of its weights and a JSON of what was measured of it, the JSON written last.
A training that was interrupted goes on behind its last epoch (`edge.teach`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from benchmarks.quality.cost import Meter
from benchmarks.quality.few_images import FewImagesData, epochs_of_few
from edge.datasets.site_dataset import Split
from edge.teach.borrowing import Loan, Transfer
from edge.teach.checkpoint import discard_checkpoint
from edge.teach.lender import lender_of
from edge.teach.recipe import Recipe, default_epochs
from edge.teach.teach import teach
from edge.teach.teaching import measured
from transplant.artifact.digest import canonical_json, sha256_hex
from transplant.artifact.durable_file import write_durably
from transplant.errors import CheckpointInvalid
from transplant.nets.architecture_table import default_architecture, image_px
from transplant.nets.measures import floor, mean_norm
from transplant.nets.teacher_net import TeacherNet
from transplant.nets.transplant_net import freeze
from transplant.types import Architecture, Task

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.quality.site_data import SiteKey
    from edge.datasets.site_dataset import SiteData

_NORM_IMAGES = 1000


@dataclass(frozen=True)
class TeacherKey:
    """Everything that a teacher is a function of, besides the code.

    Args:
        site: whose data.
        arch: entry of the architecture table.
        recipe: how it is trained.
        images: how many pictures with its category, and as many without, the site has; None: all.
        transfer: how it borrows from `lender`; None: not at all.
        lender: the teacher that it borrows from.
    """

    site: SiteKey
    arch: str
    recipe: Recipe
    images: int | None = None
    transfer: str | None = None
    lender: TeacherKey | None = None

    @cached_property
    def data(self) -> SiteData:
        """Return what the site has."""
        return self.site if self.images is None else FewImagesData(self.site, self.images, self.site.seed)

    @property
    def digest(self) -> str:
        """Return the name of the teacher's files; the place of the data is not part of it."""
        return sha256_hex(canonical_json(self.inputs()))[:20]

    def inputs(self) -> dict[str, Any]:
        """Return what the digest is of, as JSON values."""
        inputs: dict[str, Any] = {
            "data": self.site.data,
            "category": self.site.category,
            "seed": self.site.seed,
            "arch": self.arch,
            "recipe": self.recipe.to_dict(),
        }
        if self.images is not None:
            inputs["images"] = self.images
        if self.transfer is not None and self.lender is not None:
            inputs |= {"transfer": self.transfer, "lender": self.lender.digest}
        return inputs


@dataclass(frozen=True, eq=False)
class KnownTeacher:
    """A trained teacher with what was measured of it on its own test split, in percent.

    `mean_norm` is E||f(I)||_F over training images, the scale that the paper lets a site disclose.
    """

    net: TeacherNet
    architecture: Architecture
    figures: dict[str, dict[str, float]]
    floors: dict[str, dict[str, float]]
    image_counts: dict[str, int]
    mean_norm: float
    cost: dict[str, float]

    @property
    def category_module(self) -> nn.Module:
        """Return f."""
        return self.net.category_module

    def task_module(self, task: Task) -> nn.Module:
        """Return g_T of one task."""
        return self.net.task_modules[task.value]


def recipe_of(data: str, seed: int, epochs: int | None, precision: str) -> Recipe:
    """Return the recipe of a site's own training, as `transplant-edge` resolves it."""
    return Recipe(
        epochs=default_epochs(data) if epochs is None else epochs,
        precision="bfloat16" if precision == "bfloat16" else "float32",
        seed=seed,
    )


def recipe_of_few(recipe: Recipe, images: int | None) -> Recipe:
    """Return the recipe for a site of few images: as many steps, in more of its short epochs."""
    if images is None:
        return recipe
    epochs = epochs_of_few(images, recipe.batch_size, recipe.epochs)
    return replace(recipe, epochs=epochs, patience=max(recipe.patience, epochs // 2))


def is_trained(key: TeacherKey, folder: Path) -> bool:
    """Tell whether the teacher is there."""
    return _document_path(key, folder).is_file()


def train_teacher(key: TeacherKey, folder: Path) -> None:
    """Train a teacher for every task of its data, measure it on its test split, and keep both."""
    if is_trained(key, folder):
        return
    workspace = folder / f"{key.digest}.training"
    with Meter() as meter:
        teacher = teach(key.data, key.arch, key.recipe, workspace, loan=_loan(key, folder))
    test = key.data.load(Split.TEST)
    document = {
        "inputs": key.inputs(),
        "tasks": [task.value for task in teacher.tasks],
        "epochs": teacher.epochs,
        "test_fingerprint": test.fingerprint,
        "figures": {task.value: figures for task, figures in measured(teacher.net, test).items()},
        "floors": {task.value: floor([test.examples(task)[1]], task) for task in teacher.tasks},
        "image_counts": {task.value: len(test.examples(task)[0]) for task in teacher.tasks},
        "mean_norm": mean_norm(
            teacher.net.category_module, key.data.load(Split.TRAIN).images[:_NORM_IMAGES]
        ),
        "cost": meter.figures(),
    }  # fmt: skip
    weights = {name: tensor.contiguous() for name, tensor in teacher.net.state_dict().items()}
    write_durably(_weights_path(key, folder), save(weights))
    write_durably(_document_path(key, folder), json.dumps(document, indent=1, sort_keys=True).encode())
    discard_checkpoint(workspace)
    workspace.rmdir()


def _loan(key: TeacherKey, folder: Path) -> Loan | None:
    """Return what a teacher borrows: f and the classification module of another, which must be trained."""
    if key.transfer is None or key.lender is None:
        return None
    known = load_teacher(key.lender, folder)
    parts = [known.category_module, known.task_module(Task.CLASSIFICATION)]
    digests = (sha256_hex(_weights_path(key.lender, folder).read_bytes()),)
    name = f"the teacher of {key.lender.site.category}"
    return Loan(Transfer(key.transfer), lender_of(name, digests, parts, image_px(known.architecture)))


@lru_cache(maxsize=2)
def load_teacher(key: TeacherKey, folder: Path) -> KnownTeacher:
    """Read a trained teacher, frozen.

    Raises:
        CheckpointInvalid: if it is missing or damaged, or its test images are not today's.
    """
    try:
        document: dict[str, Any] = json.loads(_document_path(key, folder).read_bytes())
        weights = load(_weights_path(key, folder).read_bytes())
        architecture = default_architecture(key.arch, key.site.load(Split.TEST).image_px)
        net = TeacherNet(architecture, [Task(name) for name in document["tasks"]])
        net.load_state_dict(weights)
        known = KnownTeacher(
            freeze(net.to(memory_format=torch.channels_last)),  # pyright: ignore[reportCallIssue] - absent from the stubs
            architecture,
            *(document[name] for name in ("figures", "floors", "image_counts", "mean_norm", "cost")),
        )
        fingerprint = document["test_fingerprint"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise CheckpointInvalid(
            f"the teacher {folder / key.digest} is not readable ({error}): delete its files to train it again"
        ) from error
    if fingerprint != key.site.load(Split.TEST).fingerprint:
        raise CheckpointInvalid(
            f"the teacher {folder / key.digest} was measured on other test images: choose another --out"
        )
    return known


def _document_path(key: TeacherKey, folder: Path) -> Path:
    return folder / f"{key.digest}.json"


def _weights_path(key: TeacherKey, folder: Path) -> Path:
    return folder / f"{key.digest}.safetensors"
