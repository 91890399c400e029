"""What is known of how well a published route does: its site's verdict, or its teacher's own validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.merge.verdicts import verdict_of
from transplant.artifact.manifest import parse_manifest
from transplant.nets.temperature import TEMPERATURE, told_temperature
from transplant.types import RouteReport, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from central.merge.situation import CompleteTeacher
    from central.registry.registry import Books
    from central.registry.values import StoredMerge
    from transplant.types import NetVersion

_VALIDATION = "validation_"


def measured_figures(
    books: Books, merge: StoredMerge, teachers: Iterable[CompleteTeacher] | None = None
) -> dict[str, float]:
    """Return measure -> percent of a merge's route; empty where nobody told.

    A teacher that is in the net as it is was never judged: what its site measured when it trained it, the
    manifest of its task module says.

    Args:
        books: the transaction.
        merge: of the route.
        teachers: all of them, where a caller has read them.
    """
    if not merge.task.identity:
        return dict(verdict_of(merge.task.key, merge.status.figures).transplanted)
    known = books.teachers.all() if teachers is None else teachers
    teacher = next((each for each in known if each.teacher_id == merge.teacher_id), None)
    task_module = None if teacher is None else dict(teacher.task_modules).get(merge.task.task)
    metrics = {} if task_module is None else parse_manifest(books.modules.get(task_module).manifest).metrics
    told = {name: value for name, value in metrics.items() if name.startswith(_VALIDATION)}
    return {name.removeprefix(_VALIDATION): value for name, value in told.items()}


def error_percent(task: Task, measured: Mapping[str, float]) -> float | None:
    """Return how often a route errs (of pixels, for a segmentation); None: not told."""
    if task is Task.CLASSIFICATION:
        error = measured.get("error")
    else:
        accuracy = measured.get("pixel_accuracy")
        error = None if accuracy is None else 100.0 - accuracy
    return error if error is not None and 0.0 <= error <= 100.0 else None


def route_reports(books: Books, version: NetVersion) -> dict[tuple[str, Task], RouteReport]:
    """Return (category, task) -> what its site measured of that route, of those where it is known."""
    found: dict[tuple[str, Task], RouteReport] = {}
    teachers = books.teachers.all()
    for route in version.routes:
        measured = measured_figures(books, books.merges.get(route.merge_key), teachers)
        error = error_percent(route.task, measured)
        if error is not None:
            temperature = told_temperature(measured.get(TEMPERATURE, 0.0))
            found[route.category, route.task] = RouteReport(error, temperature)
    return found
