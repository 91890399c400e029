"""The comparison: the same adapter learned from a site's labels instead of from its teacher.

This is not part of the federation. It runs afterwards in the benchmark's own process, on a machine that
happens to have the data pack, so that a reader sees what 100 labelled images would have bought.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmarks.presence import drawn_by_presence
from central.merge.learn import learner_of
from edge.datasets.open_data import open_data, parse_spec
from edge.datasets.site_dataset import SiteDataset, Split
from transplant.artifact.codec import load_module
from transplant.artifact.digest import derive_seed
from transplant.artifact.manifest import parse_manifest
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learning import AdapterProblem, LabelledSamples, run_learner
from transplant.nets.measures import mean_norm, measure
from transplant.nets.transplant_net import RouteNet

if TYPE_CHECKING:
    from pathlib import Path

    from transplant.types import NetVersion, Route, Task

_STEPS = 300


def direct_learn(
    route: Route,
    version: NetVersion,
    folder: Path,
    *,
    data: str,
    home: Path,
    data_root: Path,
    samples: int,
    seed: int,
) -> dict[str, float]:
    """Learn h of one published route from labelled images and measure it like the route itself.

    Args:
        route: a transplanted route of `version`.
        version: the published net.
        folder: holds the manifests and payloads of the version.
        data: the site's data set.
        home: where data that a site draws for itself is drawn again (never the site's own home).
        data_root: folder of the data packs.
        samples: how many labelled images of the training split, half of them with the category.
        seed: of the choice and of the learner.

    Returns:
        The measures of `transplant.nets.measures.measure` on the site's test split, in percent.
    """
    host = next(
        each for each in version.routes if each.task_module == route.task_module and each.adapter is None
    )
    manifests = {
        module_id: parse_manifest((folder / f"{module_id}.json").read_bytes())
        for module_id in (route.category_module, route.task_module, host.category_module)
    }
    modules = {
        name: load_module(manifest, folder / f"{name}.safetensors") for name, manifest in manifests.items()
    }
    category_module, host_task_module = modules[route.category_module], modules[route.task_module]
    source = open_data(parse_spec(data), route.category, home=home, data_root=data_root, seed=seed)
    images, targets = _chosen(source.load(Split.TRAIN), route.task, samples, seed)
    problem = AdapterProblem(
        category_module=category_module,
        teacher_task_module=host_task_module,  # direct-learn has no teacher; its place must hold something
        host_task_module=host_task_module,
        host_category_module=modules[host.category_module],
        architecture=manifests[route.category_module].architecture.to_type(),
        host_architecture=manifests[host.category_module].architecture.to_type(),
        task=route.task,
        mean_norm=mean_norm(category_module, images),
        host_mean_norm=mean_norm(modules[host.category_module], images),
        labelled=LabelledSamples(images, targets),
    )
    config = LearnerConfig(method="direct-learn", steps=_STEPS, batch=min(32, samples), seed=seed)
    learned = run_learner(learner_of(config), problem, config)
    net = RouteNet(category_module, learned.adapter, host_task_module)
    return measure(net, source.load(Split.TEST).batches(route.task), route.task)


def _chosen(train: SiteDataset, task: Task, samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw the labelled images by seed, half of them with the category where there are enough."""
    images, targets = train.examples(task)
    drawn = derive_seed("direct-learn", train.category, task, str(seed))
    positives, negatives = drawn_by_presence(targets, drawn)
    wanted = min(samples // 2, len(positives))
    few = torch.cat([positives[:wanted], negatives[: samples - wanted]])
    few = torch.cat([few, positives[wanted : wanted + samples - len(few)]])
    return images[few], targets[few]
