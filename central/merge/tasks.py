"""A merge task: a frozen value whose key is the digest of its inputs, so running it twice is harmless."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

from transplant.artifact.digest import canonical_json, derive_seed, sha256_hex
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Host:
    """The resident task module g_S that a route is led into, and the category module it was trained on."""

    category: str
    category_module: str
    task_module: str


@dataclass(frozen=True)
class Supervisor:
    """A teacher that stands in where a category's own site never taught a task: its category and its f."""

    category: str
    category_module: str


@dataclass(frozen=True)
class MergeTask:
    """Bring one task of one teacher into the transplant net.

    Attributes:
        category: what the teacher recognises.
        task: which of its tasks.
        site: owner of the teacher that is learned from; it validates the candidate on its own data.
        teacher_category_module: id of the f that the route starts with.
        teacher_task_module: id of the teacher's g_T; None where it stayed at its site.
        host: where the adapter leads to; None where g_T itself joins the net and h is the identity
            (a founder, or a task that the net does not know yet).
        learner: canonical JSON of the learner's settings; "" where nothing is learned.
        statistics: id of what the site disclosed about x beyond its scale, if it did.
        answers: id of g_T's answers to a probe, in place of g_T.
        supervised_by: the teacher whose answers to synthetic images are learned, where the category's own
            never learned the task; `teacher_task_module` and `site` are then this one's.
        proxy: digest of the center's public images that the adapter is learned on, where it is.
        refinement: canonical JSON of how the published route's adapter was refined at the sites that hold
            the category (`central.usecases.propose_refined`); "" where an adapter is learned here.
    """

    category: str
    task: Task
    site: str
    teacher_category_module: str
    teacher_task_module: str | None
    host: Host | None
    learner: str = ""
    statistics: str | None = None
    answers: str | None = None
    supervised_by: Supervisor | None = None
    refinement: str = ""
    proxy: str | None = None

    @property
    def identity(self) -> bool:
        """Tell whether h is the identity, so that there is nothing to learn."""
        return self.host is None

    @cached_property
    def key(self) -> str:
        """Return the digest of every input: the same inputs are one merge, with one seed and one result."""
        return sha256_hex(self.to_document())

    @property
    def seed(self) -> int:
        """Return the seed of every random choice of this merge."""
        return derive_seed("merge", self.key)

    @property
    def refined_from(self) -> str:
        """Return the merge of the route that was refined, "" where none was."""
        return str(self.refinement_record["of"]) if self.refinement else ""

    @property
    def refinement_record(self) -> dict[str, object]:
        """Return how an adapter was refined; empty where it was not."""
        return cast("dict[str, object]", json.loads(self.refinement)) if self.refinement else {}

    @property
    def settings(self) -> dict[str, object]:
        """Return the learner's settings."""
        return cast("dict[str, object]", json.loads(self.learner)) if self.learner else {}

    def to_document(self) -> bytes:
        """Return the canonical JSON of this task (what its key is the digest of).

        What a site did not give is not named, so that tasks of earlier releases keep their keys.
        """
        host = self.host
        document: dict[str, object] = {
            "category": self.category,
            "task": self.task.value,
            "site": self.site,
            "teacher": [self.teacher_category_module, self.teacher_task_module],
            "host": None if host is None else [host.category, host.category_module, host.task_module],
            "learner": self.settings,
        }
        supervisor = self.supervised_by
        given: dict[str, object] = {
            "statistics": self.statistics,
            "answers": self.answers,
            "supervised_by": None
            if supervisor is None
            else [supervisor.category, supervisor.category_module],
            "refinement": self.refinement_record or None,
            "proxy": self.proxy,
        }
        return canonical_json(document | {name: value for name, value in given.items() if value is not None})


def learner_document(settings: Mapping[str, object]) -> str:
    """Return the canonical form of learner settings as they stand in a `MergeTask`."""
    return canonical_json(dict(settings)).decode()


def task_from_document(document: bytes) -> MergeTask:
    """Rebuild a task from `MergeTask.to_document`."""
    fields = json.loads(document)
    host, supervisor = fields["host"], fields.get("supervised_by")
    return MergeTask(
        category=fields["category"],
        task=Task(fields["task"]),
        site=fields["site"],
        teacher_category_module=fields["teacher"][0],
        teacher_task_module=fields["teacher"][1],
        host=None if host is None else Host(*host),
        learner=learner_document(fields["learner"]) if fields["learner"] else "",
        statistics=fields.get("statistics"),
        answers=fields.get("answers"),
        supervised_by=None if supervisor is None else Supervisor(*supervisor),
        refinement=canonical_json(fields["refinement"]).decode() if "refinement" in fields else "",
        proxy=fields.get("proxy"),
    )
