"""Cut the teacher net at the seam and seal its parts: what a site ships, ready to be sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.datasets.site_dataset import Split
from edge.site_home import SiteHome, read_document, write_document
from edge.teach.statistics import disclose
from transplant.artifact.codec import read_manifest, seal, write_artifact
from transplant.artifact.manifest import Manifest, TrainingRecord
from transplant.errors import NotFound
from transplant.types import Disclosure, ModuleKind, Task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.datasets.open_data import RememberedData
    from edge.teach.teach import Teacher

_INDEX = "teacher.json"


@dataclass(frozen=True)
class SealedTeacher:
    """The manifests of one teacher net; payloads lie beside them, `<module id>.safetensors`."""

    category_module: Manifest
    task_modules: dict[Task, Manifest]

    def manifests(self) -> tuple[Manifest, ...]:
        """Return all parts in the order in which they must be shipped: f first, its task modules after."""
        return self.category_module, *self.task_modules.values()


def seal_teacher(
    teacher: Teacher,
    data: RememberedData,
    home: SiteHome,
    *,
    site: str,
    category: str,
    disclosure: Disclosure,
) -> SealedTeacher:
    """Seal f and every g_T; the same teacher sealed again gives the same artifacts.

    Args:
        teacher: the trained net.
        data: the site's data; only aggregates of it are sealed, at the level of `disclosure`.
        home: where to write.
        site: the site's name as its certificate says it.
        category: the site's category.
        disclosure: how much to tell about the features.

    Raises:
        DatasetInvalid: if the data are too few for the level of disclosure.
        StorageFull: if the disk is full.
    """
    origin = {"training_key": teacher.training_key, "site": site, "disclosure": disclosure.value}
    index = read_document(home.sealed / _INDEX)
    if index is not None and all(index.get(name) == value for name, value in origin.items()):
        return read_sealed(home)
    training = TrainingRecord(
        sample_count=teacher.sample_count, raw_bytes=data.raw_bytes, seed=teacher.seed, epochs=teacher.epochs
    )
    train = data.load(Split.TRAIN)
    f, payload = seal(
        teacher.net.category_module,
        site=site,
        category=category,
        kind=ModuleKind.CATEGORY,
        task=None,
        architecture=teacher.architecture,
        statistics=disclose(teacher.net.category_module, train.images.split(256), disclosure),
        training=training,
    )
    write_artifact(home.sealed, f, payload)
    task_modules: dict[str, str] = {}
    for task in teacher.tasks:
        g, payload = seal(
            teacher.net.task_modules[task.value],
            site=site,
            category=category,
            kind=ModuleKind.TASK,
            task=task,
            architecture=teacher.architecture,
            metrics={f"validation_{name}": value for name, value in teacher.best.figures[task.value].items()},
            training=training,
            parents=(f.module_id,),
        )
        write_artifact(home.sealed, g, payload)
        task_modules[task.value] = g.module_id
    # The index comes last: where it stands, every artifact that it names is whole.
    write_document(
        home.sealed / _INDEX, origin | {"category_module": f.module_id, "task_modules": task_modules}
    )
    return read_sealed(home)


def read_sealed(home: SiteHome) -> SealedTeacher:
    """Read back what was sealed.

    Raises:
        NotFound: if nothing was sealed yet.
        ArtifactRejected: if an artifact was changed since.
    """
    index = read_document(home.sealed / _INDEX)
    if index is None:
        raise NotFound(f"nothing is sealed in {home.sealed}: run transplant-edge seal first")
    return SealedTeacher(
        read_manifest(home.sealed / f"{index['category_module']}.json"),
        {
            Task(name): read_manifest(home.sealed / f"{module_id}.json")
            for name, module_id in _in_order(index["task_modules"])
        },
    )


def payload_path(directory: Path, module_id: str) -> Path:
    """Return where the payload of a sealed or cached module lies."""
    return directory / f"{module_id}.safetensors"


def _in_order(task_modules: dict[str, str]) -> Iterator[tuple[str, str]]:
    for task in Task:
        if task.value in task_modules:
            yield task.value, task_modules[task.value]
