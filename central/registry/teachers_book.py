"""Complete teachers: one category module, and for each task a module trained on it or answers."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from central.merge.situation import CompleteTeacher
from central.registry.tables import TeacherAnswersRow, TeacherRow, TeacherStatisticsRow, TeacherTaskRow
from transplant.errors import RegistryConflict
from transplant.types import Task

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import InstrumentedAttribute, Session


class TeachersBook:
    """Teachers, within one transaction. A teacher's id is that of its category module."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, teacher: CompleteTeacher, at: datetime) -> bool:
        """Record a teacher, or more of a known one: further tasks, statistics, a module where answers were.

        Returns:
            Whether any of it was news.

        Raises:
            RegistryConflict: if it has another module or other answers for one of these tasks already.
        """
        fresh = self._session.get(TeacherRow, teacher.teacher_id) is None
        if fresh:
            last = self._session.scalar(select(func.max(TeacherRow.position))) or 0
            self._session.add(
                TeacherRow(
                    teacher_id=teacher.teacher_id,
                    position=last + 1,
                    site=teacher.site,
                    category=teacher.category,
                    category_module=teacher.category_module,
                    requested_at=at,
                )
            )
            self._session.flush()
        for task, task_module in teacher.task_modules:
            self._add_task_module(teacher.teacher_id, task, task_module)
        for task, answers in teacher.answers:
            self._add_answers(teacher.teacher_id, task, answers)
        if teacher.statistics is not None:
            self._session.merge(
                TeacherStatisticsRow(teacher_id=teacher.teacher_id, statistics=teacher.statistics)
            )
        more = bool(self._session.new) or any(map(self._session.is_modified, self._session.dirty))
        self._session.flush()
        return fresh or more

    def all(self) -> tuple[CompleteTeacher, ...]:
        """Return every teacher, in the order in which they were requested."""
        tasks = self._by_teacher(TeacherTaskRow.teacher_id, TeacherTaskRow.task, TeacherTaskRow.task_module)
        answers = self._by_teacher(
            TeacherAnswersRow.teacher_id, TeacherAnswersRow.task, TeacherAnswersRow.answers
        )
        query = select(TeacherStatisticsRow.teacher_id, TeacherStatisticsRow.statistics)
        told = {teacher_id: str(statistics) for teacher_id, statistics in self._session.execute(query)}
        columns = (TeacherRow.teacher_id, TeacherRow.site, TeacherRow.category, TeacherRow.category_module)
        rows = self._session.execute(select(*columns).order_by(TeacherRow.position))
        return tuple(
            CompleteTeacher(
                teacher_id=teacher_id,
                site=site,
                category=category,
                category_module=category_module,
                task_modules=tuple(tasks[teacher_id]),
                answers=tuple(answers[teacher_id]),
                statistics=told.get(teacher_id),
            )
            for teacher_id, site, category, category_module in rows
        )

    def sites_of(self, category: str) -> tuple[str, ...]:
        """Return the sites of a category's teachers, in the order in which those were requested."""
        query = select(TeacherRow.site).where(TeacherRow.category == category)
        return tuple(self._session.scalars(query.order_by(TeacherRow.position)))

    def amount(self) -> int:
        """Return a number that rises whenever a teacher, or more of one, is recorded."""
        counted = (TeacherRow, TeacherTaskRow, TeacherAnswersRow, TeacherStatisticsRow)
        return sum(self._session.scalar(select(func.count()).select_from(table)) or 0 for table in counted)

    def _by_teacher(
        self,
        teacher_id: InstrumentedAttribute[str],
        task: InstrumentedAttribute[str],
        module_id: InstrumentedAttribute[str],
    ) -> defaultdict[str, list[tuple[Task, str]]]:
        found: defaultdict[str, list[tuple[Task, str]]] = defaultdict(list)
        for teacher, name, module in self._session.execute(
            select(teacher_id, task, module_id).order_by(task)
        ):
            found[teacher].append((Task(name), module))
        return found

    def _add_task_module(self, teacher_id: str, task: Task, task_module: str) -> None:
        known = self._session.get(TeacherTaskRow, (teacher_id, task.value))
        if known is None:
            row = TeacherTaskRow(teacher_id=teacher_id, task=task.value, task_module=task_module)
            self._session.add(row)
        elif known.task_module != task_module:
            raise RegistryConflict(
                f"this teacher has another {task.value} module already ({known.task_module[:12]}); "
                "a newly trained teacher needs its own category module"
            )

    def _add_answers(self, teacher_id: str, task: Task, answers: str) -> None:
        known = self._session.get(TeacherAnswersRow, (teacher_id, task.value))
        if known is None:
            self._session.add(TeacherAnswersRow(teacher_id=teacher_id, task=task.value, answers=answers))
        elif known.answers != answers:
            raise RegistryConflict(
                f"this teacher has given other {task.value} answers already ({known.answers[:12]}); "
                "a newly trained teacher needs its own category module"
            )
