"""What this site does in a founding round: its f is trained here and stays, under shared task modules.

Between the rounds of a founding f lies in SITEHOME/refine/founding/, by the run's name. Behind the last round
the center hands out what all sites together came to; with it the net is whole, and is this site's teacher
from then on: it is sealed, shipped and answered for as any other, its f naming the run among its parents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from edge.datasets.site_dataset import Split
from edge.site_home import read_document, write_document
from edge.teach.augment import Augmentation
from edge.teach.teach import Teacher
from edge.teach.teaching import EpochRecord, measured, score_of
from transplant.artifact.digest import derive_seed
from transplant.artifact.durable_file import storage_errors, write_durably
from transplant.artifact.round_order import FoundedNet
from transplant.errors import CheckpointInvalid, DatasetInvalid, ManifestInvalid, NotFound
from transplant.nets.architecture_table import checked_architecture, image_px
from transplant.nets.teacher_net import TeacherNet
from transplant.refinement.founding import FoundingProblem, found, founding_net
from transplant.refinement.founding_config import FoundingConfig
from transplant.refinement.round_delta import RoundDelta, add_to
from transplant.types import Architecture, ModuleKind, Task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from edge.datasets.site_dataset import SiteDataset
    from edge.site import Site
    from transplant.artifact.round_order import RoundOrder

_ADOPTED = "adopted.json"


def found_round(site: Site, order: RoundOrder, net: FoundedNet, arrays: Mapping[str, Tensor]) -> RoundDelta:
    """Train one founding round on the labelled training images of this site.

    Args:
        site: this site.
        order: what the center asks.
        net: the architecture and tasks of what is founded.
        arrays: what all rounds before came to, as a difference to the seeded start.

    Raises:
        UnknownArchitecture: if the architecture is not in the table.
        PayloadMalformed: if `arrays` are not the task modules' tensors.
        DatasetInvalid: if this site's images do not fit the net, or there are no masks for a task of it.
    """
    data = site.data.load(Split.TRAIN)
    architecture = checked_architecture(
        Architecture(net.architecture, tuple(sorted(net.hyper_parameters.items()))), ModuleKind.CATEGORY
    )
    if image_px(architecture) != data.image_px:
        raise DatasetInvalid(
            f"the net takes images of {image_px(architecture)} px, this site's are of {data.image_px} px"
        )
    seed = derive_seed("found", str(order.seed), site.name)
    config = FoundingConfig.from_dict(order.settings | {"seed": seed})
    path = _folder(site) / f"{order.run}.safetensors"
    start = _net(founding_net(architecture, net.tasks, order.seed), path, order.round)
    add_to(start.task_modules, arrays)
    if order.handed_out:
        _adopt(site, order, net, start, path, len(data))
        nothing = {name: torch.zeros_like(tensor) for name, tensor in arrays.items()}
        return RoundDelta(nothing, {"images": float(len(data))})
    done = found(_problem(data, net), config, start, round_number=order.round, rounds=order.rounds)
    _write(path, done.net)
    return done.shared


def founded_teacher(site: Site) -> Teacher | None:
    """Return the net that this site founded with others as its teacher, None where it founded none yet.

    Raises:
        CheckpointInvalid: if the net is damaged.
    """
    told = read_document(_folder(site) / _ADOPTED)
    if told is None:
        return None
    net = FoundedNet.model_validate(told["net"])
    architecture = Architecture(net.architecture, tuple(sorted(net.hyper_parameters.items())))
    teacher = TeacherNet(architecture, net.tasks)
    path = _folder(site) / told["file"]
    try:
        teacher.load_state_dict(load(path.read_bytes()))
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise CheckpointInvalid(f"{path} is damaged ({error}): found anew, or train alone") from error
    figures = {
        task.value: each for task, each in measured(teacher.eval(), site.data.load(Split.VALIDATION)).items()
    }
    best = EpochRecord(told["rounds"] - 1, 0.0, score_of(figures), figures)
    return Teacher(
        net=teacher,
        architecture=architecture,
        tasks=net.tasks,
        training_key=told["run"],
        sample_count=told["sample_count"],
        epochs=told["rounds"],
        seed=told["seed"],
        best=best,
        lenders=(told["run"],),
    )


def _adopt(
    site: Site, order: RoundOrder, net: FoundedNet, founded: TeacherNet, path: Path, sample_count: int
) -> None:
    """Keep what the center handed out over this site's own f, and say that it is there: that comes last."""
    if not path.is_file():
        raise NotFound("this site took part in no round of this founding: it has no category module for it")
    whole = path.with_name(f"{order.run}.founded.safetensors")
    _write(whole, founded)
    told = {
        "run": order.run,
        "rounds": order.rounds,
        "seed": order.seed,
        "sample_count": sample_count,
        "net": net.model_dump(mode="json"),
        "file": whole.name,
    }
    write_document(_folder(site) / _ADOPTED, told)


def _folder(site: Site) -> Path:
    return site.home.refine / "founding"


def _write(path: Path, net: TeacherNet) -> None:
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, save({name: each.contiguous() for name, each in net.state_dict().items()}))


def _problem(data: SiteDataset, net: FoundedNet) -> FoundingProblem:
    masks = data.masks if Task.SEGMENTATION in net.tasks else None
    return FoundingProblem(data.images, data.labels, masks, Augmentation.for_data(data).apply)


def _net(start: TeacherNet, path: Path, round_number: int) -> TeacherNet:
    """Return the seeded net with the f that this site's rounds before came to.

    A site that was not asked in an earlier round begins with the seeded f whenever it is asked first.
    """
    try:
        kept = load(path.read_bytes())
        own = {
            name.removeprefix("category_module."): tensor
            for name, tensor in kept.items()
            if name.startswith("category_module.")
        }
        start.category_module.load_state_dict(own)
    except FileNotFoundError:
        pass
    except (SafetensorError, RuntimeError, ValueError) as error:
        if round_number > 1:
            told = f"{path} is damaged ({error}): this site cannot go on founding"
            raise CheckpointInvalid(told) from error
    if any(not bool(parameter.isfinite().all()) for parameter in start.parameters()):
        raise ManifestInvalid(f"{path} holds numbers that are none: remove it")
    return start
