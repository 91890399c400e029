"""Train a site's teacher net to the end, going on from its checkpoint where there is one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge.datasets.site_dataset import SiteData, Split
from edge.teach.borrowing import Transfer
from edge.teach.checkpoint import (
    TrainingInputs,
    discard_checkpoint,
    keep_retained,
    load_checkpoint,
    retained_for,
    save_checkpoint,
)
from edge.teach.choose_retained import choose_retained
from edge.teach.progress import SilentProgress, TeachingProgress
from edge.teach.teaching import EpochRecord, begin, run_epoch, taught_net
from transplant.errors import DatasetInvalid
from transplant.nets.architecture_table import default_architecture
from transplant.nets.placement import CPU

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from edge.teach.borrowing import Loan
    from edge.teach.recipe import Recipe
    from transplant.nets.teacher_net import TeacherNet
    from transplant.types import Architecture, Task


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained teacher net and how it came about."""

    net: TeacherNet
    architecture: Architecture
    tasks: tuple[Task, ...]
    training_key: str
    sample_count: int
    epochs: int
    seed: int
    best: EpochRecord
    lenders: tuple[str, ...] = ()
    """Digests of what it learned from: parents of its category module."""


def teach(
    data: SiteData,
    architecture_id: str,
    recipe: Recipe,
    directory: Path,
    *,
    tasks: tuple[Task, ...] | None = None,
    restart: bool = False,
    progress: TeachingProgress | None = None,
    loan: Loan | None = None,
    device: torch.device | None = None,
) -> Teacher:
    """Train until the recipe's end and keep the epoch that validates best.

    Running it again where it was finished only reads the checkpoint.

    Args:
        data: the site's data.
        architecture_id: an entry of the architecture table.
        recipe: the settings.
        directory: where the checkpoint lies.
        tasks: which tasks to teach; None: all that the data can teach.
        restart: forget an earlier training first.
        progress: who is told.
        loan: what it borrows from another net.
        device: what to train on; None: the CPU. It is no input of a training: a checkpoint goes on on any.

    Raises:
        TransferNotPossible: if the lender does not fit.
        DatasetInvalid: if the data has no masks for a task that needs them, or training diverges on it.
        CheckpointInvalid: if the checkpoint belongs to another training or is damaged.
        UnknownArchitecture: if the architecture does not exist for images of this size.
    """
    told, place = progress or SilentProgress(), device or CPU
    train, validation = data.load(Split.TRAIN), data.load(Split.VALIDATION)
    chosen = tasks or train.tasks
    for task in chosen:
        train.examples(task)  # says so at once where there is nothing to learn a task from
    architecture = default_architecture(architecture_id, train.image_px)
    inputs = TrainingInputs(
        recipe,
        architecture,
        chosen,
        (train.fingerprint, validation.fingerprint),
        None if loan is None else loan.described(),
    )
    if restart:
        discard_checkpoint(directory)
    if loan is not None and loan.transfer is Transfer.LAYER and loan.retain is None:
        loan = replace(loan, retain=retained_for(directory, inputs.key))
        if loan.retain is None:
            loan = replace(
                loan,
                retain=choose_retained(loan, architecture, chosen, recipe, train, validation, told, place),
            )
            keep_retained(directory, inputs.key, loan.retain or 0)
    state = begin(architecture, chosen, recipe, loan, place)
    if load_checkpoint(directory, inputs, state) and not state.finished(recipe):
        told.say(f"going on after epoch {len(state.history)}")
    while not state.finished(recipe):
        epoch = len(state.history)
        record = run_epoch(
            state, train, validation, recipe, lambda done, of, epoch=epoch: told.on_batch(epoch, done, of)
        )
        if not math.isfinite(record.loss):
            raise DatasetInvalid(
                f"training diverged in epoch {epoch + 1} (loss is not finite): use a lower --learning-rate"
            )
        save_checkpoint(directory, inputs, state)
        told.on_epoch(record)
    best = state.best
    if best is None:
        raise DatasetInvalid("nothing was trained: --epochs must be at least 1")
    return Teacher(
        taught_net(state),
        architecture,
        chosen,
        inputs.key,
        len(train),
        len(state.history),
        recipe.seed,
        best,
        () if loan is None else loan.lender.digests,
    )
