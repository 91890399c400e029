"""The learner settings that stand in a merge task: numbers, resolved for the size of its images. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from central.merge.tasks import learner_document
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learner_profile import image_px_of, with_profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transplant.types import Seam

_DEFAULT = LearnerConfig()


class Learners:
    """Resolves the operator's settings once for each size of images and of adapters.

    Args:
        learner: canonical JSON of the operator's settings; those that follow the image size may be missing.
    """

    def __init__(self, learner: str) -> None:
        self._settings: dict[str, Any] = json.loads(learner or "{}")
        self._resolved: dict[tuple[int, int], str] = {}

    @property
    def takes_public_images(self) -> bool:
        """Tell whether public images would be learned on: by the method that chooses its source."""
        return self._settings.get("method", _DEFAULT.method) == "transplant"

    def resolved(self, seam: Seam, layers: int = 0) -> str:
        """Return the settings of a merge at this seam: a task holds numbers, so that its key is their digest.

        Args:
            seam: of the teacher.
            layers: of the adapter; 0: as the operator chose.
        """
        wanted = (image_px_of(seam), layers)
        if wanted not in self._resolved:
            settings = self._settings | ({"layers": layers} if layers else {})
            self._resolved[wanted] = learner_document(with_profile(settings, wanted[0]))
        return self._resolved[wanted]


def layers_of(settings: Mapping[str, Any]) -> int:
    """Return how many convolutions the adapter of a task has."""
    return int(settings.get("layers", _DEFAULT.layers))
