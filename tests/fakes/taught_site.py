"""A site that has trained its teacher already: what sealing and shipping start from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.datasets.open_data import RememberedData
from edge.disclosing import Policy
from edge.seal import seal_teacher
from edge.teach.recipe import Recipe
from edge.teach.teach import teach
from fakes.tiny_data import SquareData

if TYPE_CHECKING:
    from pathlib import Path

    from edge.seal import SealedTeacher
    from edge.site_home import SiteHome
    from edge.teach.teach import Teacher


def taught_squares(folder: Path, count: int, batch_size: int) -> tuple[Teacher, RememberedData]:
    """Train a teacher for one epoch on `count` pictures, its checkpoints in `folder`; return its data too."""
    data = RememberedData(SquareData(count=count))
    recipe = Recipe(epochs=1, batch_size=batch_size, learning_rate=0.01)
    return teach(data, "vgg_small", recipe, folder), data


def seal_squares(taught: tuple[Teacher, RememberedData], home: SiteHome, **changes: Any) -> SealedTeacher:
    """Seal as `site-a`, which brings the category `square` and discloses nothing, unless told otherwise."""
    teacher, data = taught
    options = {"site": "site-a", "category": "square", "policy": Policy()} | changes
    return seal_teacher(teacher, data, home, **options)
