"""The registry: its schema, its rules, and what a crash in a transaction leaves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from fakes.artifacts import sealed
from sqlalchemy import inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from central.merge.plan import CompleteTeacher, PlannedTask
from central.merge.state import MergeStatus
from central.merge.tasks import MergeTask
from central.registry.database import open_engine, sqlite_url
from central.registry.registry import Registry
from central.registry.schema import downgrade_schema
from central.registry.tables import Row
from central.registry.values import Certificate, Comparison
from transplant.artifact.net_document import net_digest
from transplant.errors import InvalidSettings, NotFound, RegistryConflict, RegistryDamaged
from transplant.nets.disclosures import ProbeRequest
from transplant.types import MergeState, ModuleKind, NetVersion, Role, Route, Task

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "registry.sqlite"


@pytest.fixture
def registry(path):
    opened = Registry(sqlite_url(path))
    opened.upgrade()
    yield opened
    opened.close()


def add_merge(books, category="dog", task=Task.CLASSIFICATION):
    """Register a teacher with one task and plan its identity merge."""
    f, _ = sealed(seed=1, category=category)
    g, _ = sealed(ModuleKind.TASK, task, seed=2, parents=(f.module_id,), category=category)
    for manifest in (f, g):
        books.modules.add(manifest, NOW)
    teacher = CompleteTeacher(f.module_id, f.site, category, f.module_id, ((task, g.module_id),))
    books.teachers.add(teacher, NOW)
    planned = MergeTask(category, task, f.site, f.module_id, g.module_id, None)
    return books.merges.add(PlannedTask(teacher.teacher_id, planned), NOW)


def version_of(merge, number=1, parent=None, old=()):
    task = merge.task
    route = Route(
        task.category, task.task, task.teacher_category_module, None, task.teacher_task_module, task.key
    )
    return NetVersion(number, parent, (*old, route))


def test_the_migrations_make_exactly_the_tables(registry, path):
    engine = open_engine(sqlite_url(path))
    with engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Row.metadata) == []
    engine.dispose()
    registry.upgrade()  # a second time there is nothing to do


def test_a_schema_goes_down_and_up_again_and_keeps_what_it_knows(registry, path):
    with registry.write() as books:
        merge = add_merge(books)
    engine = open_engine(sqlite_url(path))
    downgrade_schema(engine, "0001")
    assert "probe_requests" not in inspect(engine).get_table_names()
    assert "teachers" in inspect(engine).get_table_names()
    registry.upgrade()
    with engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Row.metadata) == []
    with registry.read() as books:
        assert books.merges.get(merge.task.key) == merge
        assert [len(teacher.tasks()) for teacher in books.teachers.all()] == [1]
    with pytest.raises(RegistryDamaged, match="cannot go back"):
        downgrade_schema(engine, "no-such-schema")
    engine.dispose()


def test_a_probe_request_is_made_once(registry):
    with registry.write() as books:
        task = add_merge(books).task
        f = task.teacher_category_module
        request = ProbeRequest("leaves-1", 7, 64, 32, 32, 50, 1, Task.CLASSIFICATION)
        assert books.probes.get(f, Task.CLASSIFICATION) is None
        books.probes.add(f, request, NOW)
        books.probes.add(f, replace(request, seed=8), NOW)
        assert books.probes.get(f, Task.CLASSIFICATION) == request
        assert books.probes.of(f) == (request,)


def test_a_teacher_of_answers_may_ship_its_module_later(registry):
    with registry.write() as books:
        task = add_merge(books).task
        f, g = task.teacher_category_module, task.teacher_task_module
        answers = ((Task.SEGMENTATION, g),)  # any registered id will do here
        teacher = CompleteTeacher(f, task.site, "dog", f, (), answers, statistics=g)
        books.teachers.add(teacher, NOW)
        books.teachers.add(teacher, NOW)
        (known,) = books.teachers.all()
        assert known.statistics == g
        assert [(each.task, each.task_module, each.answers) for each in known.tasks()] == [
            (Task.CLASSIFICATION, g, None),
            (Task.SEGMENTATION, None, g),
        ]
        books.teachers.add(CompleteTeacher(f, task.site, "dog", f, ((Task.SEGMENTATION, g),)), NOW)
        assert all(each.task_module for each in books.teachers.all()[0].tasks())
        with pytest.raises(RegistryConflict, match="other segmentation answers"):
            books.teachers.add(replace(teacher, answers=((Task.SEGMENTATION, f),)), NOW)


def test_sqlite_is_opened_as_it_must_be(path):
    engine = open_engine(sqlite_url(path))
    with engine.connect() as connection:
        names = ("journal_mode", "foreign_keys", "synchronous")
        found = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in names]
    engine.dispose()
    assert found == ["wal", 1, 2]


def test_a_database_of_a_newer_release_is_left_alone(registry, path):
    engine = open_engine(sqlite_url(path))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'from-the-future'"))
    engine.dispose()
    with pytest.raises(RegistryDamaged, match="another release"):
        registry.upgrade()


def test_a_file_that_is_no_database_is_said(path):
    path.write_bytes(b"these are not the bytes of a database" * 100)
    with pytest.raises(RegistryDamaged):
        Registry(sqlite_url(path)).upgrade()


@pytest.mark.parametrize("url", ["no url", "nosuchdatabase://host/name"])
def test_a_url_that_cannot_be_used_is_said(url):
    with pytest.raises(InvalidSettings, match="URL"):
        Registry(url)


def test_a_database_that_cannot_be_opened_is_said(tmp_path):
    with pytest.raises(InvalidSettings, match="cannot open the registry"):
        Registry(sqlite_url(tmp_path / "no" / "such" / "folder.sqlite")).upgrade()


def test_the_schema_can_be_made_on_postgresql():
    for table in Row.metadata.sorted_tables:
        assert str(CreateTable(table).compile(dialect=postgresql.dialect()))


def test_a_transaction_is_all_or_nothing(registry):
    class PowerCutError(Exception):
        pass

    def half_a_merge():
        with registry.write() as books:
            add_merge(books)
            books.events.add("MergeMoved", "k", NOW)
            raise PowerCutError

    with pytest.raises(PowerCutError):
        half_a_merge()
    with registry.read() as books:
        assert books.modules.list() == books.merges.list() == books.events.after(0) == ()


def test_a_module_is_registered_once(registry):
    manifest, _ = sealed()
    with registry.write() as books:
        assert books.modules.add(manifest, NOW)
        assert not books.modules.add(manifest, NOW)
        assert books.uploads.use_of("site-a").registered_bytes == manifest.payload_bytes
    with registry.read() as books:
        found = books.modules.get(manifest.module_id)
        assert (found.manifest, found.kind, found.task) == (manifest.canonical_bytes(), manifest.kind, None)
        with pytest.raises(NotFound):
            books.modules.get("0" * 64)


def test_references_must_exist(registry):
    teacher = CompleteTeacher("f" * 64, "site-a", "dog", "f" * 64, ())
    with pytest.raises(RegistryConflict), registry.write() as books:
        books.teachers.add(teacher, NOW)


def test_a_merge_keeps_its_steps(registry):
    with registry.write() as books:
        merge = add_merge(books)
        moved = MergeStatus(merge.task.key, identity=True, state=MergeState.CANDIDATE, deadline=NOW)
        books.merges.move(merge.status, moved, "EngineReady", NOW)
    with registry.read() as books:
        found = books.merges.get(merge.task.key)
        assert (found.task, found.status, found.teacher_id) == (merge.task, moved, merge.teacher_id)
        assert [t.to_state for t in books.merges.transitions(merge.task.key)] == ["planned", "candidate"]
        assert books.merges.list("cat") == ()
        assert books.merges.list(open_only=True) == (found,)


def test_versions_continue_each_other(registry):
    with registry.write() as books:
        first = version_of(add_merge(books))
        books.versions.publish(first, NOW)
        digests = {first.routes[0].merge_key: "d"}
        books.versions.record_proof(1, [Comparison("module x", "a", "a")], "numerics", digests)
    with registry.write() as books:
        merge = add_merge(books, "cat")
        second = version_of(merge, 2, net_digest(first), first.routes)
        for wrong in (
            version_of(merge, 3, net_digest(first), first.routes),
            version_of(merge, 2, None, first.routes),
            version_of(merge, 2, net_digest(first)),
            NetVersion(2, net_digest(first), first.routes),
        ):
            with pytest.raises(RegistryConflict):
                books.versions.publish(wrong, NOW)
        books.versions.publish(second, NOW)
    with registry.read() as books:
        assert books.versions.get() == second
        assert books.versions.get(1) == first
        assert books.versions.after(0) == (first, second)
        assert books.versions.probe_digests("numerics") == digests
        assert books.versions.probe_digests("other numerics") == {}
        assert books.versions.proof(1) == (Comparison("module x", "a", "a"),)


def test_a_merge_is_never_published_twice(registry):
    with registry.write() as books:
        merge = add_merge(books)
        first = version_of(merge)
        books.versions.publish(first, NOW)
    with pytest.raises(RegistryConflict), registry.write() as books:
        books.versions.publish(version_of(merge, 2, net_digest(first), first.routes), NOW)
    with registry.read() as books:
        assert books.versions.newest_number() == 1


def test_times_come_back_in_utc(registry):
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    with registry.write() as books:
        merge = add_merge(books)
        status = MergeStatus(merge.task.key, identity=True, deadline=elsewhere)
        books.merges.move(merge.status, status, "GatesPassed", elsewhere)
    with registry.read() as books:
        deadline = books.merges.get(merge.task.key).status.deadline
    assert deadline == NOW
    assert deadline is not None
    assert deadline.utcoffset() == timedelta(0)


def test_sites_gain_categories_and_lose_certificates(registry):
    with registry.write() as books:
        books.sites.admit("site-a", ["dog"], NOW)
        books.sites.admit("site-a", ["cat", "dog"], NOW)
        books.sites.add_certificate(Certificate("1f", Role.SITE, "site-a", NOW, revoked=False))
    with registry.write() as books:
        assert books.sites.all() == {"site-a": ("cat", "dog")}
        assert books.sites.categories("nobody") == frozenset()
        assert books.sites.revoke(Role.OPERATOR, "site-a", NOW) == 0
        assert books.sites.revoke(Role.SITE, "site-a", NOW) == 1
    with registry.read() as books:
        certificate = books.sites.certificate("1f")
        assert certificate is not None
        assert certificate.revoked
        assert books.sites.certificate("2f") is None
