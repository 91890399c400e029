"""One cell of `quality layer-transfer`: a target that is trained on one trial's images, and measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load

from benchmarks.quality.characters import target_characters
from benchmarks.quality.cost import Meter
from benchmarks.quality.layer_transfer_plan import LayerTransferPlan, cell_record, source_path
from benchmarks.quality.side_by_side import outcome_of
from benchmarks.quality.transfer_run import TransferJob
from transplant.artifact.digest import derive_seed
from transplant.transfer.layer_transfer import LayerTransferProblem, accuracy, choose_retained, run
from transplant.transfer.lenet import LAYERS, USUALLY_RETAINED, lenet, target_vectors

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from benchmarks.quality.characters import Characters
    from benchmarks.records import Record


@dataclass(frozen=True)
class LayerTransferJob(TransferJob):
    """A cell as a worker is told it.

    Args:
        plan: whose cell it is.
        samples: training images a class.
        trial: seed of images, target vectors and weights.
        retained: how many layers; None leaves it to validation.
    """

    plan: LayerTransferPlan
    samples: int
    trial: int
    retained: int | None

    @staticmethod
    def plan_of(fields: dict[str, Any]) -> LayerTransferPlan:
        """Return the plan whose fields these are."""
        return LayerTransferPlan(**fields)

    def record(self) -> Record:
        """Return its record, before its value."""
        return cell_record(self.plan, self.samples, self.trial, self.retained)

    def sentence(self) -> str:
        """Return a few words for a line of progress."""
        told = "auto" if self.retained is None else f"{self.retained} layers"
        return f"{self.plan.data}, {self.samples} a class, trial {self.trial}, {told}"


def work(line: str, threads: int) -> str:
    """Run a cell in this process and return its outcome as JSON."""
    torch.set_num_threads(threads)
    job = LayerTransferJob.from_json(line)
    return outcome_of(lambda: _measured(job))


def _measured(job: LayerTransferJob) -> list[Record]:
    """Return what was chosen, if it was, and, last, the accuracy, which says that the cell is finished."""
    plan = job.plan
    problem, test = _problem(plan, source_net(job.out, plan), job.data_root, job.samples, job.trial)
    config = plan.config(job.samples, job.trial)
    with Meter() as meter:
        chosen = job.retained
        if chosen is None:
            chosen, _ = choose_retained(problem, config, range(len(LAYERS)), USUALLY_RETAINED)
        net = run(problem, config, chosen)
    found = accuracy(net, test.images_B1HW, test.labels_B, problem.vectors_CK)
    blank = replace(job.record(), commit=job.commit)
    measured: dict[str, Any] = {**meter.figures(), "image_count": len(test.labels_B)}
    told: list[Record] = []
    if job.retained is None:
        told = [replace(blank, metric="retained", unit="layers", value=float(chosen))]
    return [*told, replace(blank, value=found, **measured)]


def source_net(out: Path, plan: LayerTransferPlan) -> nn.Sequential:
    """Return the source net that a folder keeps."""
    net = lenet(torch.Generator().manual_seed(0))
    net.load_state_dict(load(source_path(out, plan).read_bytes()))
    return net.eval()


def _problem(
    plan: LayerTransferPlan, source: nn.Sequential, data_root: Path, samples: int, trial: int
) -> tuple[LayerTransferProblem, Characters]:
    train, test = target_characters(data_root, plan.draw, samples, trial)
    generator = torch.Generator().manual_seed(derive_seed("layer transfer", str(trial)))
    vectors = target_vectors(len(test.labels_B.unique()), generator)
    return LayerTransferProblem(source, lenet(generator), train.images_B1HW, train.labels_B, vectors), test
