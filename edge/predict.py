"""Predict pictures of a folder with a version of the net that is at the site; they go nowhere."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from transplant.artifact.durable_file import storage_errors
from transplant.artifact.picture import SUFFIXES, mask_png, opened, squared
from transplant.datafree.learn_guides import learn_guides
from transplant.datafree.procedural_images import procedural_images
from transplant.errors import DatasetNotFound, ImagesInvalid, InvalidSettings
from transplant.nets.architecture_table import image_px
from transplant.nets.prediction import Calibration
from transplant.types import RouteReport, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

    from transplant.artifact.net_folder import NetFolder
    from transplant.nets.prediction import Prediction
    from transplant.nets.route_guide import RouteGuide
    from transplant.nets.transplant_net import TransplantNet

FORMATS = ("json", "csv")
_CSV = ("file", "version", "task", "category", "probability", "logit", "share", "supervised_by")
GUIDE_IMAGES = 512
_GUIDE_SEED = 0
_GUIDED_PX = 64


@dataclass(frozen=True)
class Answer:
    """What the net says about one picture.

    Args:
        file: its name in the folder.
        version: of the net.
        task: which one.
        rows: for each category that was run, most probable first: category, probability, logit; of a
            segmentation the largest of any pixel, and `share`, the percentage of pixels over one half. Of a
            route that another category's teacher supervised, `supervised_by` names that one.
        masks: category -> where its probability is over one half, bool (side, side), for segmentation.
        size: width and height of the picture.
    """

    file: str
    version: int
    task: Task
    rows: tuple[dict[str, Any], ...]
    masks: dict[str, np.ndarray]
    size: tuple[int, int]


def predict_folder(
    folder: NetFolder,
    net: TransplantNet,
    pictures: Path,
    task: Task,
    *,
    categories: Sequence[str] | None = None,
    budget: int | None = None,
    at_once: int = 16,
) -> Iterator[Answer]:
    """Yield what the net says about each picture of a folder, by name.

    Raises:
        DatasetNotFound: if there is no picture.
        DatasetInvalid: naming a file that is no readable picture.
        NotFound: if the net has no such route.
    """
    supervised = net.supervised(task)
    chosen = net.categories(task) if categories is None else tuple(categories)
    side = picture_side(folder, net, task, chosen)
    paths = sorted(path for path in pictures.glob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise DatasetNotFound(f"no pictures in {pictures.absolute()}: {', '.join(sorted(SUFFIXES))} are read")
    for start in range(0, len(paths), at_once):
        part = paths[start : start + at_once]
        sizes: list[tuple[int, int]] = []
        squares: list[np.ndarray] = []
        for path in part:
            with opened(path) as picture:
                sizes.append(picture.size)
                squares.append(squared(picture, side))
        images = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
        told = net.predict(images, task=task, categories=chosen or None, budget=budget)
        for place, path in enumerate(part):
            yield _answer(path.name, told, place, sizes[place], supervised)


def picture_side(folder: NetFolder, net: TransplantNet, task: Task, categories: Sequence[str]) -> int:
    """Return the side that pictures are scaled to.

    Raises:
        ImagesInvalid: if the categories take several sizes.
        NotFound: if there is no route for the task.
    """
    wanted = [line for line in net.version.routes if line.task is task and line.category in categories]
    sides = {_side(folder, line.category_module) for line in wanted}
    if len(sides) > 1:
        raise ImagesInvalid(f"these categories take images of {sorted(sides)} pixels: name those of one size")
    return sides.pop() if sides else 32  # predicting says which routes there are


def guided_net(
    folder: NetFolder, net: TransplantNet, task: Task, images: int = GUIDE_IMAGES
) -> TransplantNet:
    """Return the net with a guide for every route of a task, learned from synthetic images where missing.

    A route's temperature is what its site measured and told the center, and the center told with the version.
    What was learned is kept beside the version.

    Args:
        folder: where the version lies.
        net: the version.
        task: whose routes.
        images: how many synthetic images.

    Raises:
        ImagesInvalid: if the task's categories take images of several sizes.
        InvalidSettings: for too few images.
    """
    categories = net.categories(task)
    reports = {category: told for (category, of), told in folder.reports(net.version).items() if of is task}
    if all(_is_guided(net.guides.get((category, task)), reports.get(category)) for category in categories):
        return net
    side = picture_side(folder, net, task, categories)
    shown = procedural_images(images, side, _GUIDE_SEED)
    guides = {**net.guides, **learn_guides(net, task, shown, reports)}
    folder.keep_guides(net.version, guides)
    return net.guided(guides)


def calibrated_net(
    folder: NetFolder, net: TransplantNet, tasks: Iterable[Task], images: int | None
) -> TransplantNet:
    """Return the net with temperatures for the routes of some tasks, where they can be known.

    Args:
        folder: where the version lies.
        net: the version.
        tasks: which.
        images: how many synthetic images they are learned from, whatever their size; 0: learn nothing; None:
            as many as are usual, for images of up to 64 pixels a side: larger ones take minutes.
    """
    told = {task for _, task in folder.reports(net.version)}
    for task in tasks:
        categories = net.categories(task)
        if not categories or images == 0 or (images is None and task not in told):
            continue
        if images is None:
            sides = {_side(folder, line.category_module) for line in net.version.routes if line.task is task}
            if len(sides) > 1 or max(sides) > _GUIDED_PX:
                continue
        net = guided_net(folder, net, task, images or GUIDE_IMAGES)
    return net


def _is_guided(guide: RouteGuide | None, report: RouteReport | None) -> bool:
    if guide is None or guide.plausibility_D is None:
        return False
    return report is None or guide.calibration != Calibration()  # learned before its site had told


def _side(folder: NetFolder, category_module: str) -> int:
    return image_px(folder.manifest(category_module).architecture.to_type())


def write_lines(answers: Iterator[Answer], form: str, out: TextIO, masks: Path | None) -> int:
    """Write answers as JSON lines or CSV rows, and masks as PNGs; return how many pictures there were.

    Raises:
        InvalidSettings: for another form.
        StorageFull: if the disk is full.
    """
    if form not in FORMATS:
        raise InvalidSettings(f"--format takes {', '.join(FORMATS)}; got {form}")
    table: csv.DictWriter[str] = csv.DictWriter(out, _CSV, restval="", lineterminator="\n")
    if form == "csv":
        table.writeheader()
    count = 0
    for answer in answers:
        about = {"file": answer.file, "version": answer.version, "task": answer.task.value}
        if form == "csv":
            table.writerows({**about, **row} for row in answer.rows)
        else:
            out.write(json.dumps({**about, "answers": answer.rows}) + "\n")
        if masks is not None:
            _write_masks(answer, masks)
        count += 1
    return count


def _answer(
    name: str, told: Prediction, place: int, size: tuple[int, int], supervised: Mapping[str, str]
) -> Answer:
    rows: list[dict[str, Any]] = []
    masks: dict[str, np.ndarray] = {}
    probabilities, logits = told.probabilities_BG[place], told.logits_BG[place]
    for index, category in enumerate(told.categories):
        if not bool(told.ran_BG[place, index]):
            continue
        row = {
            "category": category,
            "probability": round(float(probabilities[index].max()), 6),
            "logit": round(float(logits[index].max()), 4),
        }
        if category in supervised:
            row["supervised_by"] = supervised[category]
        if told.task is Task.SEGMENTATION:
            masks[category] = (probabilities[index] > 0.5).numpy()
            row["share"] = round(100 * float(masks[category].mean()), 3)
        rows.append(row)
    rows.sort(key=lambda row: -row["probability"])
    return Answer(name, told.version, told.task, tuple(rows), masks, size)


def _write_masks(answer: Answer, masks: Path) -> None:
    """Write one PNG a category, as large as the picture: 255 is the category, 0 is not."""
    with storage_errors(masks):
        masks.mkdir(parents=True, exist_ok=True)
        for category, mask in answer.masks.items():
            (masks / f"{answer.file}.{category}.png").write_bytes(mask_png(mask, answer.size))
