"""What a site does to refine the adapters of its categories: on its own pictures, no label read but a few.

It is `transplant.refinement`'s own work of a round, on the pictures that the site's teacher of the category
learned from; what that held out is left to the gate (`transplanting_validation_site`). The site keeps its
teachers; here they come along under names that do not count, because a simulated site remembers nothing
between two rounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.sites.engine import AT_HOME, SiteReply
from benchmarks.sites.transplanting_center import adapter_shape, category_of
from benchmarks.sites.transplanting_site import teacher_seed
from benchmarks.sites.transplanting_validation_site import loaded, routes_in, splits_of
from transplant.artifact.digest import derive_seed
from transplant.nets.architecture_table import default_architecture
from transplant.nets.architectures import build_adapter, build_category_module, build_task_module
from transplant.nets.learning import LabelledSamples
from transplant.refinement.adapter_refinement import RefinementProblem, refine
from transplant.refinement.refinement_config import RefinementConfig
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from benchmarks.sites.engine import Setting
    from benchmarks.sites.federation import LocalData
    from edge.datasets.site_dataset import SiteDataset
    from transplant.nets.adapter import Adapter

IMAGES = "images"
"""The figure that sites' differences are weighted by."""


def refine_adapters(
    data: LocalData, sent: Mapping[str, Tensor], settings: Mapping[str, Setting]
) -> SiteReply:
    """Refine each adapter that was sent (a `SiteWork`).

    Args:
        data: the site's pictures; labels are read of `labels` of them, the same in every round.
        sent: g_S as `host.NAME`; of each route `ROUTE.f.NAME` and `ROUTE.h.NAME`, ROUTE as `route_key`
            names it; g_T of the site's own teacher as `ROUTE.g.NAME`, and its f as `ROUTE.own.NAME` where
            the route's f is another's. What lies at the site already begins with `AT_HOME`.
        settings: `arch`, `epochs` of all rounds, `round` (from 1), `rounds`, `batch_size`, `precision`,
            `labels`, `run_seed`.

    Returns:
        Tensors `ROUTE.NAME`, the difference that this round made to the adapter; figures `ROUTE.images`, on
        how many pictures.

    Raises:
        InvalidSettings: if the site has no teacher of a route's category.
    """
    tensors = {name.removeprefix(AT_HOME): tensor for name, tensor in sent.items()}
    deltas: dict[str, Tensor] = {}
    figures: dict[str, float] = {}
    for key in routes_in(tensors):
        learned, _ = splits_of(data, category_of(key), settings)
        problem, adapter = _problem(learned, key, tensors, settings)
        # Of the run, not of the round: else each round would read other labels.
        seed = derive_seed("refine", str(teacher_seed(data, category_of(key), int(settings["run_seed"]))))
        delta = refine(
            problem,
            _config(len(learned), seed, settings),
            adapter,
            round_number=int(settings["round"]),
            rounds=int(settings["rounds"]),
        )
        deltas |= {f"{key}.{name}": tensor for name, tensor in delta.tensors.items()}
        figures[f"{key}.{IMAGES}"] = float(len(learned))
    return SiteReply(deltas, figures)


def _problem(
    learned: SiteDataset, key: str, tensors: Mapping[str, Tensor], settings: Mapping[str, Setting]
) -> tuple[RefinementProblem, Adapter]:
    architecture = default_architecture(str(settings["arch"]), learned.image_px)
    f = loaded(build_category_module(architecture), tensors, f"{key}.f.")
    own_f = f  # the same net: its features are computed once
    if any(name.startswith(f"{key}.own.") for name in tensors):
        own_f = loaded(build_category_module(architecture), tensors, f"{key}.own.")
    g_teacher = loaded(build_task_module(architecture, Task.CLASSIFICATION), tensors, f"{key}.g.")
    g_host = loaded(build_task_module(architecture, Task.CLASSIFICATION), tensors, "host.")
    adapter = build_adapter(adapter_shape(architecture))
    loaded(adapter, tensors, f"{key}.h.")
    labelled = LabelledSamples(learned.images, learned.labels) if int(settings["labels"]) else None
    problem = RefinementProblem(f, g_host, own_f, g_teacher, Task.CLASSIFICATION, learned.images, labelled)
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
        seed=seed,
    )
