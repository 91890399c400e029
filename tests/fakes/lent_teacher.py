"""A sealed teacher that another site lends, and teachers that borrow from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.site_home import SiteHome
from edge.teach.lender import open_lender
from edge.teach.recipe import Recipe
from edge.teach.teach import teach
from fakes.taught_site import seal_squares, taught_squares
from fakes.tiny_data import SquareData
from transplant.types import Task

if TYPE_CHECKING:
    from pathlib import Path

    from edge.seal import SealedTeacher
    from edge.teach.borrowing import Loan
    from edge.teach.lender import Lender
    from edge.teach.teach import Teacher

RECIPE = Recipe(epochs=2, batch_size=8, learning_rate=0.01, seed=3)


def lend_squares(folder: Path) -> tuple[SiteHome, SealedTeacher]:
    """Return a home with a sealed teacher in it."""
    home = SiteHome(folder / "home")
    return home, seal_squares(taught_squares(folder / "teacher", 16, 8), home)


def no_center() -> Any:
    raise AssertionError("a file needs no center")


def lender_of(lent: tuple[SiteHome, SealedTeacher], *, task: Task | None = Task.CLASSIFICATION) -> Lender:
    home, sealed = lent
    manifest = sealed.category_module if task is None else sealed.task_modules[task]
    return open_lender(str(home.sealed / f"{manifest.module_id}.json"), "site-b", home, no_center)


def taught(folder: Path, loan: Loan | None, recipe: Recipe = RECIPE, **changes: Any) -> Teacher:
    options: dict[str, Any] = {"tasks": (Task.CLASSIFICATION,)} | changes
    return teach(SquareData(count=8, colour=1), "vgg_small", recipe, folder, loan=loan, **options)
