"""What the planner looks at, and what it answers: frozen values, read from the registry by a use case."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from central.merge.tasks import Host, MergeTask
    from transplant.types import Route, Seam, Task

CLAIM_COMMAND = "transplant-central net claim"
RETRY_COMMAND = "transplant-central net retry"


@dataclass(frozen=True)
class CompleteTeacher:
    """A teacher net whose site said that everything of it that will come is here.

    A site that keeps a task module at home has answered a probe instead: that task stands in `answers`.
    """

    teacher_id: str
    site: str
    category: str
    category_module: str
    task_modules: tuple[tuple[Task, str], ...]
    answers: tuple[tuple[Task, str], ...] = ()
    statistics: str | None = None

    def tasks(self) -> tuple[TeacherTask, ...]:
        """Return what it can teach; where a task has both, the module serves."""
        modules, answers = dict(self.task_modules), dict(self.answers)
        return tuple(
            TeacherTask(task, modules.get(task), None if task in modules else answers[task])
            for task in sorted(modules.keys() | answers.keys())
        )


@dataclass(frozen=True)
class TeacherTask:
    """One task of a teacher: the id of its task module, or of the answers that stand for it."""

    task: Task
    task_module: str | None
    answers: str | None


class Ending(StrEnum):
    """How far a known merge has come, as the planner tells merges apart."""

    OPEN = "open"
    PUBLISHED = "published"
    REFUSED = "refused"
    """By a gate, with figures: the data-free agreement, the site's verdict, answers that are no numbers."""
    OUTDONE = "outdone"
    """By a merge of the same teacher and task that was published."""
    UNANSWERED = "unanswered"
    """The site gave no verdict in time."""
    UNFIT = "unfit"
    """No resident task module could take the teacher's features; it never began."""
    CANCELLED = "cancelled"
    FAILED = "failed"
    DAMAGED = "damaged"
    """Its publication would have changed what is published."""


@dataclass(frozen=True)
class Attempt:
    """What a merge that ended unpublished had tried: where it led, how large it was, how well it agreed."""

    host: Host | None
    layers: int = 0
    agreement: float | None = None
    supervisor: str = ""
    reason: str = ""


@dataclass(frozen=True)
class KnownMerge:
    """A merge that exists already. `attempt` is told of those that ended unpublished."""

    merge_key: str
    teacher_id: str
    category: str
    task: Task
    identity: bool
    ending: Ending
    supervised: bool = False
    attempt: Attempt | None = None


@dataclass(frozen=True)
class Resident:
    """A task module that the net's routes lead into; `host` names the f that it was trained on, too."""

    task: Task
    host: Host


@dataclass(frozen=True)
class Situation:
    """All that the planner looks at.

    Attributes:
        teachers: complete teachers, in the order in which they were requested.
        routes: the newest version's routes, oldest first; empty before the founding.
        merges: every merge ever planned.
        seams: seam of each category module of `teachers` and `residents`.
        residents: task modules of the newest version, oldest first.
        holders: category -> the site that the operator decided for, where several claim it.
        likeness: cosine of two modules' weights, 0 where nothing is known.
        twins: whether two task modules are one function under two ids: equal bytes, equal architecture.
    """

    teachers: tuple[CompleteTeacher, ...]
    routes: tuple[Route, ...]
    merges: tuple[KnownMerge, ...]
    seams: Mapping[str, Seam]
    residents: tuple[Resident, ...] = ()
    holders: Mapping[str, str] = field(default_factory=lambda: MappingProxyType(dict[str, str]()))
    likeness: Callable[[str, str], float] = lambda _one, _other: 0.0
    twins: Callable[[str, str], bool] = lambda one, other: one == other

    @cached_property
    def claims(self) -> Mapping[str, tuple[CompleteTeacher, ...]]:
        """Return the teachers of each category, in their order."""
        found: defaultdict[str, list[CompleteTeacher]] = defaultdict(list)
        for teacher in self.teachers:
            found[teacher.category].append(teacher)
        return {category: tuple(teachers) for category, teachers in found.items()}

    def holder_of(self, category: str) -> str:
        """Return the site that a category belongs to: the operator's choice, else whose teacher came first.

        A second claim must not stop the first one's work, or any site could stop any other.
        """
        decided = self.holders.get(category)
        if decided is not None:
            return decided
        claims = self.claims.get(category, ())
        return claims[0].site if claims else ""


@dataclass(frozen=True)
class PlanPolicy:
    """The operator's choices about what is planned.

    Attributes:
        founder: category whose teacher founds the net; None: the first teacher.
        learner: canonical JSON of learner settings; those that follow the image size may be left out, and
            stand in the task of every merge as they were resolved for its teacher
            (`transplant.nets.learner_profile`).
        residents: task modules of one task that teachers may bring along; from then on they are led into
            those that are there.
        hosts_at_once: into how many of them a teacher is led side by side; the best agreement goes on.
        most_hosts: how many are tried before a larger adapter is.
        more_layers: by how much an adapter grows once every host has been tried.
        most_layers: the largest adapter before a teacher's task is given up.
        supervisors: how many teachers of other categories are tried side by side for a task that a
            category's own site never taught; 0: none.
        kin: pairs of categories that the operator calls near, for the choice of such teachers.
        proxy: digest of the public images that adapters may be learned on, "" where there are none
            (`central.merge.public_images`).
    """

    founder: str | None = None
    learner: str = ""
    residents: int = 1
    hosts_at_once: int = 2
    most_hosts: int = 4
    more_layers: int = 2
    most_layers: int = 5
    supervisors: int = 0
    kin: frozenset[tuple[str, str]] = frozenset()
    proxy: str = ""


@dataclass(frozen=True)
class PlannedTask:
    """A new merge; `refusal` says why it can never start (it is then recorded as failed).

    `replaces` is the merge of the published route that it would take the place of, "" where there is none.
    """

    teacher_id: str
    task: MergeTask
    refusal: str = ""
    replaces: str = ""


class Standing(StrEnum):
    """Why a task of a complete teacher has no route and no merge under way."""

    AWAITS_FOUNDER = "awaits-founder"
    AWAITS_MODULE = "awaits-module"
    NO_HOST = "no-host"
    CONTESTED = "contested"
    DECLINED = "declined"
    GIVEN_UP = "given-up"
    UNANSWERED = "unanswered"
    CANCELLED = "cancelled"
    FAILED = "failed"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Waiting:
    """A task that nothing is planned for, and why; `reason` says who can change what."""

    site: str
    category: str
    task: Task
    standing: Standing
    reason: str
    supervised: bool = False


@dataclass(frozen=True)
class Plan:
    """What to do now, and what cannot be done now."""

    tasks: tuple[PlannedTask, ...] = ()
    waiting: tuple[Waiting, ...] = ()
