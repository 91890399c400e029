"""What a site does to refine the adapters of its own routes: on its own pictures, no label read but a few.

It is `transplant.refinement`'s own work of a round, on the pictures that the category's teacher learned from.
The site keeps its teachers; here they come along under names that do not count, because a simulated site
remembers nothing between two rounds. On what the teacher held out the site also measures the route before and
after: the gate that keeps the better of both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmarks.sites.engine import AT_HOME, SiteReply
from benchmarks.sites.transplanting_center import adapter_shape
from benchmarks.sites.transplanting_site import split_for, teacher_seed
from transplant.artifact.digest import derive_seed
from transplant.errors import InvalidSettings
from transplant.nets.architecture_table import default_architecture
from transplant.nets.architectures import build_adapter, build_category_module, build_task_module
from transplant.nets.learning import LabelledSamples
from transplant.nets.measures import measure
from transplant.nets.transplant_net import RouteNet, freeze
from transplant.refinement.adapter_refinement import RefinementProblem, refine
from transplant.refinement.refinement_config import RefinementConfig
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from benchmarks.sites.engine import Setting
    from benchmarks.sites.federation import LocalData
    from edge.datasets.site_dataset import SiteDataset
    from transplant.nets.adapter import Adapter

_BATCH_OF_MEASURES = 256


def refine_adapters(
    data: LocalData, sent: Mapping[str, Tensor], settings: Mapping[str, Setting]
) -> SiteReply:
    """Refine each adapter that was sent (a `SiteWork`).

    Args:
        data: the site's pictures; labels are read of those held out, for the gate, and of `labels` others,
            the same in every round, to learn from.
        sent: `CATEGORY.h.NAME` of each adapter; g_S as `host.NAME`; f and g_T of the site's own teacher as
            `CATEGORY.f.NAME` and `CATEGORY.g.NAME`. What lies at the site already begins with `AT_HOME`.
        settings: `arch`, `epochs` of all rounds, `round` (from 1), `rounds`, `batch_size`, `precision`,
            `labels`, `run_seed`.

    Returns:
        Tensors `CATEGORY.NAME`, the difference that this round made; figures `CATEGORY.before` and
        `CATEGORY.after`, the route's error in percent on what the site held out.

    Raises:
        InvalidSettings: if the site holds too little of a category to have a teacher of it.
    """
    tensors = {name.removeprefix(AT_HOME): tensor for name, tensor in sent.items()}
    deltas: dict[str, Tensor] = {}
    figures: dict[str, float] = {}
    for number in sorted({name.partition(".")[0] for name in tensors if ".h." in name}, key=int):
        seed = teacher_seed(data, int(number), int(settings["run_seed"]))
        splits = split_for(data, int(number), seed)
        if splits is None:
            raise InvalidSettings(f"a site that taught nothing of category {number} cannot refine its routes")
        learned, held_out = splits
        problem, adapter = _problem(learned, int(number), tensors, settings)
        place = int(settings["round"]), int(settings["rounds"])
        config = _config(len(learned), derive_seed("refine", str(seed)), settings)
        delta = refine(problem, config, adapter, round_number=place[0], rounds=place[1])
        figures[f"{number}.before"] = _error(problem, adapter, held_out)
        with torch.no_grad():
            for name, parameter in adapter.named_parameters():
                parameter.add_(delta.tensors[name])
        figures[f"{number}.after"] = _error(problem, adapter, held_out)
        deltas |= {f"{number}.{name}": tensor for name, tensor in delta.tensors.items()}
    return SiteReply(deltas, figures)


def _problem(
    data: SiteDataset, category: int, tensors: Mapping[str, Tensor], settings: Mapping[str, Setting]
) -> tuple[RefinementProblem, Adapter]:
    architecture = default_architecture(str(settings["arch"]), data.image_px)
    f = _loaded(build_category_module(architecture), tensors, f"{category}.f.")
    g_teacher = _loaded(build_task_module(architecture, Task.CLASSIFICATION), tensors, f"{category}.g.")
    g_host = _loaded(build_task_module(architecture, Task.CLASSIFICATION), tensors, "host.")
    adapter = build_adapter(adapter_shape(architecture))
    _loaded(adapter, tensors, f"{category}.h.")
    labelled = None
    if int(settings["labels"]):
        labelled = LabelledSamples(data.images, data.labels)
    problem = RefinementProblem(f, g_host, f, g_teacher, Task.CLASSIFICATION, data.images, labelled)
    return problem, adapter


def _config(pictures: int, seed: int, settings: Mapping[str, Setting]) -> RefinementConfig:
    """Return the knobs of one round: all rounds together go over the pictures as often as a training does."""
    batch, rounds = int(settings["batch_size"]), int(settings["rounds"])
    in_all = int(settings["epochs"]) * -(-pictures // batch)
    return RefinementConfig(
        steps=max(1, in_all // rounds),
        batch=batch,
        labels=int(settings["labels"]),
        precision="bfloat16" if settings["precision"] == "bfloat16" else "float32",
        seed=seed,  # of the run, not of the round: else each round would read other labels
    )


def _error(problem: RefinementProblem, adapter: Adapter, held_out: SiteDataset) -> float:
    route = RouteNet(problem.category_module, adapter, problem.task_module)
    parts = (each.split(_BATCH_OF_MEASURES) for each in (held_out.images, held_out.labels))
    batches = zip(*parts, strict=True)
    return measure(route, batches, Task.CLASSIFICATION)["error"]


def _loaded(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> nn.Module:
    own = {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}
    if not own:
        raise InvalidSettings(f"a site was sent no tensor {prefix}*: it cannot refine anything")
    module.load_state_dict(own)
    module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - absent from the stubs
    return freeze(module)
