"""What a cell keeps for pictures: the last hidden layer (figure 5), and the spectrum of D'_S.

Files lie under OUT/inner as safetensors named by the cell, for one seed only; they hold activations of test
images and stay on the machine that ran the bench.

Shape suffixes: N images, D units, C channels.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from benchmarks.quality.cells import Cell
from transplant.artifact.durable_file import write_durably
from transplant.backdistill.gradient_pairs import gradient_pair
from transplant.backdistill.pseudo_gradient import adapter_pseudo_gradient
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.measures import as_images
from transplant.nets.task_module import ClassificationModule
from transplant.nets.transplant_net import RouteNet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transplant.nets.adapter import Adapter
    from transplant.nets.learning import AdapterProblem

_IMAGES = 400
_GRADIENTS = 8
_FOLDER = "inner"


def keep_inner_life(
    out: Path, cell: Cell, problem: AdapterProblem, adapter: Adapter, images_u8: Tensor
) -> None:
    """Write down the last hidden layer of classification routes, and how many directions D'_S has."""
    tensors: dict[str, Tensor] = {}
    route = RouteNet(problem.category_module, adapter, problem.host_task_module)
    if isinstance(problem.host_task_module, ClassificationModule):
        tensors["hidden_ND"] = last_hidden(route, problem.host_task_module, images_u8[:_IMAGES])
    if problem.teacher_task_module is not None:
        tensors["spectrum_C"] = gradient_spectrum(problem, adapter, cell.seed)
    path = out / _FOLDER / f"{cell.digest}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, save(tensors, {"cell": json.dumps(cell.to_dict())}))


def read_inner_life(out: Path) -> Iterator[tuple[Cell, dict[str, Tensor]]]:
    """Yield every cell of a folder that kept something, with its tensors."""
    for path in sorted((out / _FOLDER).glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            cell = Cell.from_dict(json.loads(file.metadata()["cell"]))
            yield cell, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping


@torch.no_grad()
def last_hidden(route: nn.Module, task_module: ClassificationModule, images_u8: Tensor) -> Tensor:
    """Return what the last layer of g_S takes (the paper's fc8 features): float16 (N, D)."""
    seen: list[Tensor] = []
    hook = task_module.layers[-1].register_forward_pre_hook(
        lambda _layer, inputs: seen.append(inputs[0].flatten(1).to(torch.float16))
    )
    try:
        for part in images_u8.split(64):
            route(as_images(part))
    finally:
        hook.remove()
    return torch.cat(seen)


@torch.no_grad()
def gradient_spectrum(problem: AdapterProblem, adapter: Adapter, seed: int) -> Tensor:
    """Return the eigenvalues of D'_S's channel covariance, falling, as shares of their sum: float32 (C,)."""
    generator = torch.Generator().manual_seed(seed)
    at_host, _ = gradient_pair(problem, LearnerConfig(), _GRADIENTS, generator)
    gradient = adapter_pseudo_gradient(adapter, at_host).transpose(0, 1).flatten(1).to(torch.float64)
    centred = gradient - gradient.mean(1, keepdim=True)
    eigenvalues = torch.linalg.eigvalsh(centred @ centred.T).flip(0).clamp(min=0)
    return (eigenvalues / eigenvalues.sum().clamp(min=1e-30)).to(torch.float32)
