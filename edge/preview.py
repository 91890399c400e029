"""A picture for the site's own people: image, truth, teacher and transplanted segmentation side by side.

It shows images, so the site itself draws it, on demand only, and it goes nowhere by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.figure import Figure

from edge.datasets.site_dataset import VOID
from transplant.nets.measures import as_images
from transplant.types import Task

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from edge.datasets.site_dataset import SiteDataset
    from transplant.nets.teacher_net import TeacherNet
    from transplant.nets.transplant_net import TransplantNet

_COLOURS = {"truth": (0.20, 0.75, 0.35), "teacher": (0.25, 0.50, 0.95), "transplanted": (0.95, 0.55, 0.10)}
_OPACITY = 0.6


def draw_preview(
    teacher: TeacherNet, net: TransplantNet, category: str, data: SiteDataset, path: Path, count: int = 8
) -> None:
    """Draw segmentations of `count` images that show the category, evenly chosen from a split.

    A site whose segmentation found no route into the net gets the picture without that row.

    Args:
        teacher: the site's own net.
        net: the universal net.
        category: whose route is shown.
        data: the split to draw from.
        path: the PNG to write.
        count: how many images.

    Raises:
        DatasetInvalid: if the data has no masks.
    """
    images, masks = data.examples(Task.SEGMENTATION)
    shown = torch.nonzero((masks == 1).flatten(1).any(dim=1)).flatten()
    shown = shown[torch.linspace(0, len(shown) - 1, min(count, len(shown))).round().long()]
    pixels, truth = images[shown], masks[shown]
    answers = {
        "truth": truth == 1,
        "teacher": _mask(teacher.eval().route(Task.SEGMENTATION), pixels),
    }
    if any((line.category, line.task) == (category, Task.SEGMENTATION) for line in net.version.routes):
        answers["transplanted"] = _mask(net.route(category, Task.SEGMENTATION), pixels)
    rows = ("image", *answers)
    canvas = Figure(figsize=(1.15 * len(shown) + 0.9, 1.2 * len(rows) + 0.3), layout="constrained")
    grid: Any = canvas.subplots(len(rows), len(shown), squeeze=False)
    for column in range(len(shown)):
        picture = pixels[column].permute(1, 2, 0).numpy()
        for row, name in enumerate(rows):
            cell = grid[row, column]
            painted = picture if name == "image" else _painted(picture, answers[name][column], _COLOURS[name])
            cell.imshow(painted, interpolation="nearest")
            cell.set_xticks([])
            cell.set_yticks([])
            if column == 0:
                cell.set_ylabel(name, fontsize=9)
            if name not in {"image", "truth"}:
                cell.set_xlabel(f"IoU {_iou(answers[name][column], truth[column]):.0f} %", fontsize=7)
    canvas.suptitle(f"{category}: test images of this site", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path, dpi=110, format="png")


@torch.no_grad()
def _mask(net: nn.Module, images: Tensor) -> Tensor:
    return net(as_images(images))[:, 0] > 0


def _painted(picture: np.ndarray, mask: Tensor, colour: tuple[float, float, float]) -> np.ndarray:
    """Lay a colour over the pixels of a mask; the rest is dimmed, so that the mask stands out."""
    where = mask.numpy()[..., None]
    grey = picture.mean(axis=-1, keepdims=True) / 255 * 0.8
    return np.where(where, (1 - _OPACITY) * grey + _OPACITY * np.asarray(colour), grey)


def _iou(mask: Tensor, truth: Tensor) -> float:
    told = truth != VOID
    union = int(((mask | (truth == 1)) & told).sum())
    return 100.0 * int((mask & (truth == 1)).sum()) / union if union else 100.0
