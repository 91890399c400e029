"""Cut the teacher net at the seam and seal its parts: what a site ships, ready to be sent.

Under the policy `ship = outputs` task modules are not sealed at all; answers to the center's probes are
sealed instead (`edge.probe`), once it has asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge.datasets.site_dataset import Split
from edge.disclosing import Policy, Ship, told_about_features
from edge.site_home import SiteHome, read_document, write_document
from transplant.artifact.codec import read_manifest, seal, write_artifact
from transplant.artifact.disclosed import seal_statistics, told_noise
from transplant.artifact.encoding import as_received
from transplant.artifact.manifest import Manifest, TrainingRecord
from transplant.errors import NotFound
from transplant.nets.architecture_table import seam_of
from transplant.nets.placement import CPU
from transplant.nets.temperature import TEMPERATURE, route_temperature
from transplant.types import ModuleKind, Task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from edge.datasets.open_data import RememberedData
    from edge.teach.teach import Teacher

_INDEX = "teacher.json"
_ANSWERS = "answers.json"


@dataclass(frozen=True)
class SealedTeacher:
    """The manifests of one teacher net; payloads lie beside them, `<module id>.safetensors`.

    `tasks` are those that the net was taught; each is shipped as a task module or as answers.
    """

    category_module: Manifest
    task_modules: dict[Task, Manifest]
    tasks: tuple[Task, ...]
    statistics: Manifest | None = None
    answers: dict[Task, Manifest] = field(default_factory=dict[Task, Manifest])

    @property
    def complete(self) -> bool:
        """Tell whether every task can be merged: its module is here, or its answers are."""
        return set(self.tasks) <= self.task_modules.keys() | self.answers.keys()

    def manifests(self) -> tuple[Manifest, ...]:
        """Return all parts in the order in which they must be shipped: f first, what is about it after."""
        statistics = () if self.statistics is None else (self.statistics,)
        return self.category_module, *statistics, *self.task_modules.values(), *self.answers.values()


def _validated(teacher: Teacher, data: RememberedData, task: Task) -> dict[str, float]:
    """Return what the best epoch measured on the validation split, and the temperature of the net there."""
    batches = data.load(Split.VALIDATION).batches(task)
    figures = {TEMPERATURE: route_temperature(teacher.net.eval().route(task), batches)}
    return {f"validation_{name}": each for name, each in (teacher.best.figures[task.value] | figures).items()}


def seal_teacher(
    teacher: Teacher,
    data: RememberedData,
    home: SiteHome,
    *,
    site: str,
    category: str,
    policy: Policy,
    device: torch.device = CPU,
) -> SealedTeacher:
    """Seal f, what is told about it, and every g_T that leaves the site.

    The same teacher sealed again under the same policy gives the same artifacts, and no second draw of noise.

    Args:
        teacher: the trained net.
        data: the site's data; only aggregates of it are sealed, at the policy's level.
        home: where to write.
        site: the site's name as its certificate says it.
        category: the site's category.
        policy: what the site tells.
        device: what f runs on where something is told about its features.

    Raises:
        DatasetInvalid: if the data are too few for the level of disclosure.
        InvalidSettings: if the policy's noise is out of range.
        TensorNotFinite: if a weight is not a number, or too large for the policy's encoding.
        StorageFull: if the disk is full.
    """
    origin = {"training_key": teacher.training_key, "site": site, "disclosure": policy.level.value}
    told = {name: value for name, value in policy.to_dict().items() if name != "level"}
    index = read_document(home.sealed / _INDEX)
    if (
        index is not None
        and index.get("policy", {}) == told
        and all(index.get(name) == value for name, value in origin.items())
    ):
        return read_sealed(home)
    training = TrainingRecord(
        sample_count=teacher.sample_count, raw_bytes=data.raw_bytes, seed=teacher.seed, epochs=teacher.epochs
    )
    seam = seam_of(teacher.architecture)
    # The center sees features of f as it is loaded there: what is told about features is told about those.
    received = as_received(teacher.net.category_module, policy.encoding)
    figures, statistics = told_about_features(received, data.load(Split.TRAIN), seam, policy, device)
    f, payload = seal(
        teacher.net.category_module,
        site=site,
        category=category,
        kind=ModuleKind.CATEGORY,
        task=None,
        architecture=teacher.architecture,
        statistics=figures,
        metrics={} if statistics is None else told_noise(statistics),
        training=training,
        parents=teacher.lenders,
        encoding=policy.encoding,
        transfer_forbidden=not policy.lend,
    )
    write_artifact(home.sealed, f, payload)
    told_id = None
    if statistics is not None:
        beside, payload = seal_statistics(statistics, f, training)
        write_artifact(home.sealed, beside, payload)
        told_id = beside.module_id
    task_modules: dict[str, str] = {}
    for task in teacher.tasks if policy.ship is Ship.MODULES else ():
        g, payload = seal(
            teacher.net.task_modules[task.value],
            site=site,
            category=category,
            kind=ModuleKind.TASK,
            task=task,
            architecture=teacher.architecture,
            metrics=_validated(teacher, data, task),
            training=training,
            parents=(f.module_id,),
            encoding=policy.encoding,
            transfer_forbidden=not policy.lend,
        )
        write_artifact(home.sealed, g, payload)
        task_modules[task.value] = g.module_id
    # The index comes last: where it stands, every artifact that it names is whole.
    parts = {
        "category_module": f.module_id,
        "statistics": told_id,
        "task_modules": task_modules,
        "tasks": [task.value for task in teacher.tasks],
    }
    write_document(home.sealed / _INDEX, origin | {"policy": told} | parts)
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
    statistics = index.get("statistics")
    task_modules = _manifests(home, index["task_modules"])
    return SealedTeacher(
        read_manifest(home.sealed / f"{index['category_module']}.json"),
        task_modules,
        tuple(Task(name) for name in index.get("tasks", task_modules)),
        None if statistics is None else read_manifest(home.sealed / f"{statistics}.json"),
        read_answers(home, index["category_module"]) if not task_modules else {},
    )


def read_answers(home: SiteHome, category_module: str) -> dict[Task, Manifest]:
    """Return the answers that were sealed for the teacher with this category module.

    Raises:
        ArtifactRejected: if one was changed since.
    """
    index = read_document(home.sealed / _ANSWERS) or {}
    return _manifests(home, index["answers"] if index.get("category_module") == category_module else {})


def record_answers(home: SiteHome, category_module: str, answers: Mapping[Task, Manifest]) -> None:
    """Write down which answers belong to a teacher; their artifacts are whole already.

    Raises:
        StorageFull: if the disk is full.
    """
    ids = {task.value: manifest.module_id for task, manifest in answers.items()}
    write_document(home.sealed / _ANSWERS, {"category_module": category_module, "answers": ids})


def payload_path(directory: Path, module_id: str) -> Path:
    """Return where the payload of a sealed or cached module lies."""
    return directory / f"{module_id}.safetensors"


def _manifests(home: SiteHome, ids: dict[str, str]) -> dict[Task, Manifest]:
    """Return the manifests behind task name -> module id, in the order of the tasks."""
    return {
        task: read_manifest(home.sealed / f"{ids[task.value]}.json") for task in Task if task.value in ids
    }
