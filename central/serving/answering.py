"""One version of the net answers a batch of requests; nothing here knows Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from central.serving.asks import Answered, CategoryAnswer, Description, Refused
from transplant.artifact.net_document import net_digest
from transplant.artifact.picture import mask_png, received, squared
from transplant.errors import ImagesInvalid, NotFound, TransplantError
from transplant.nets.architecture_table import image_px
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from central.serving.asks import Ask
    from transplant.artifact.net_folder import NetFolder
    from transplant.nets.prediction import Prediction
    from transplant.nets.transplant_net import TransplantNet

_HALF = 0.5


@dataclass(frozen=True)
class _Seen:
    """A request whose pictures were read: `squares` uint8 (n, side, side, 3)."""

    place: int
    squares: np.ndarray
    sizes: tuple[tuple[int, int], ...]


class ServedNet:
    """A loaded version that answers. Immutable: who holds one gets all answers from one version.

    Args:
        net: the version.
        sides: (category, task) -> side of the images.
    """

    def __init__(self, net: TransplantNet, sides: Mapping[tuple[str, Task], int]) -> None:
        self._net = net
        self._sides = sides
        self.digest = net_digest(net.version)
        self.version = net.version.number

    @classmethod
    def load(cls, folder: NetFolder, number: int) -> ServedNet:
        """Load a version, every module verified.

        Raises:
            NotFound: if it is not there.
            ArtifactRejected: if a module was damaged.
        """
        version = folder.version(number)
        sides = {
            (line.category, line.task): image_px(folder.manifest(line.category_module).architecture.to_type())
            for line in version.routes
        }
        return cls(folder.load_net(version), sides)

    def describe(self) -> Description:
        """Return what is served."""
        told = {task: self._net.categories(task) for task in Task}
        return Description(
            self.version,
            self.digest,
            {task: categories for task, categories in told.items() if categories},
            {task: told for task in Task if (told := self._net.supervised(task))},
        )

    def answer(self, asks: Sequence[Ask]) -> list[Answered | Refused]:
        """Answer requests, those that ask for the same routes together; a bad one spoils no other."""
        told: dict[int, Answered | Refused] = {}
        alike: dict[tuple[Task, tuple[str, ...], int], list[_Seen]] = {}
        for place, ask in enumerate(asks):
            try:
                seen = self._seen(place, ask)
            except TransplantError as error:
                told[place] = Refused.because(error)
            else:
                alike.setdefault((ask.task, ask.categories, ask.budget), []).append(seen)
        for (task, categories, budget), group in alike.items():
            images = torch.from_numpy(np.concatenate([seen.squares for seen in group])).permute(0, 3, 1, 2)
            try:
                prediction = self._net.predict(
                    images, task=task, categories=categories or None, budget=budget or None
                )
            except TransplantError as error:
                told |= {seen.place: Refused.because(error) for seen in group}
                continue
            first = 0
            for seen in group:
                told[seen.place] = self._told(prediction, first, seen, masks=asks[seen.place].masks)
                first += len(seen.squares)
        return [told[place] for place in range(len(asks))]

    def _seen(self, place: int, ask: Ask) -> _Seen:
        if ask.version not in (0, self.version):
            raise NotFound(f"version {self.version} is served here, not {ask.version}: ask with version 0")
        categories = ask.categories or self._net.categories(ask.task)
        sides = {
            self._sides[category, ask.task] for category in categories if (category, ask.task) in self._sides
        }
        if len(sides) > 1:
            raise ImagesInvalid(
                f"these categories take images of {sorted(sides)} pixels: name those of one size"
            )
        if not sides:
            raise NotFound(
                f"version {self.version} has no route {'/'.join(ask.categories[:4])} for {ask.task}"
            )
        side = sides.pop()
        pictures = [received(data) for data in ask.pictures]
        squares = np.stack([squared(picture, side) for picture in pictures])
        return _Seen(place, squares, tuple(picture.size for picture in pictures))

    def _told(self, prediction: Prediction, first: int, seen: _Seen, *, masks: bool) -> Answered:
        supervised = self._net.supervised(prediction.task)
        answers = tuple(
            _answer(prediction, first + index, size, supervised, masks=masks)
            for index, size in enumerate(seen.sizes)
        )
        return Answered(self.version, self.digest, prediction.task, answers)


def _answer(
    prediction: Prediction, image: int, size: tuple[int, int], supervised: Mapping[str, str], *, masks: bool
) -> tuple[CategoryAnswer, ...]:
    logits, probabilities = prediction.logits_BG[image], prediction.probabilities_BG[image]
    told: list[CategoryAnswer] = []
    for place, category in enumerate(prediction.categories):
        if not bool(prediction.ran_BG[image, place]):
            continue
        share, mask = None, b""
        if prediction.task is Task.SEGMENTATION:
            over = (probabilities[place] > _HALF).numpy()
            share = 100 * float(over.mean())
            mask = mask_png(over, size) if masks else b""
        told.append(
            CategoryAnswer(
                category,
                float(probabilities[place].max()),
                float(logits[place].max()),
                share,
                mask,
                supervised.get(category, ""),
            )
        )
    return tuple(sorted(told, key=lambda each: -each.probability))
