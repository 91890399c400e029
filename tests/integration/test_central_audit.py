"""What a center at work writes into its audit log, and that only one works on a registry."""

from __future__ import annotations

import pytest
from fakes.real_center import real_center
from fakes.waiting import wait

from central.audit.noted_head import noted_head
from central.home import open_known_registry
from central.registry.audit_chain import ChainHead
from transplant.errors import AlreadyServing
from transplant.types import MergeState, Role, Task


def log_of(settings):
    registry = open_known_registry(settings)
    with registry.read() as books:
        head, entries = books.audit.verify(), tuple(books.audit.entries())
    registry.close()
    return head, entries


def test_a_center_tells_what_was_done_and_by_whom(tmp_path):
    with real_center(tmp_path, founder="dog") as center:
        center.bring("dog", tasks=(Task.CLASSIFICATION,))
        client, operator = center.client("site-dog"), center.client("ann", Role.OPERATOR)
        (merge,) = client.list_merges()
        wait(lambda: client.list_merges()[0].state is MergeState.PUBLISHED)
        center.bring("cat", tasks=(Task.CLASSIFICATION,))
        (second,) = center.client("site-cat").list_merges()
        for _ in range(2):  # nobody has validated it, so it is open
            operator.cancel_merge(second.merge_key)
        center.stop()
        head, entries = log_of(center.settings)
    told = {(entry.actor, entry.action) for entry in entries}
    assert told >= {
        ("console", "SiteAdmitted"),
        ("console", "CertificateIssued"),
        ("central", "ServeStarted"),
        ("central", "ServeStopped"),
        ("site site-dog", "ModuleDeclared"),
        ("site site-dog", "TeacherCompleted"),
        ("central", "MergePlanned"),
        ("central", "MergeMoved"),
        ("central", "VersionPublished"),
        ("operator ann", "MergeCancelled"),
    }
    assert sum(entry.action == "MergeCancelled" for entry in entries) == 1  # the second time changed nothing
    steps = [
        entry.detail for entry in entries if (entry.subject, entry.action) == (merge.merge_key, "MergeMoved")
    ]
    assert '"states":["planned","candidate"]' in steps[0]
    assert '"states":["candidate","published"]' in steps[-1]
    noted = noted_head(tmp_path)
    assert noted is not None
    assert ChainHead(noted.position, noted.digest) == head


def test_asking_again_fills_no_log(tmp_path):
    with real_center(tmp_path, founder="cat") as center:  # so the dog's teacher waits
        for _ in range(3):
            center.bring("dog", tasks=(Task.CLASSIFICATION,))
        center.stop()
        _, entries = log_of(center.settings)
    assert [entry.action for entry in entries].count("ModuleDeclared") == 2
    assert [entry.action for entry in entries].count("TeacherCompleted") == 1


def test_two_homes_do_not_serve_one_registry(tmp_path):
    shared = f"sqlite+pysqlite:///{tmp_path / 'shared.sqlite'}"
    with real_center(tmp_path / "one", registry_url=shared) as one:
        refused = real_center(tmp_path / "two", registry_url=shared)
        with pytest.raises(AlreadyServing, match="another"), refused:
            pass
        one.stop()
        head, entries = log_of(one.settings)
    assert [entry.action for entry in entries] == ["ServeStarted", "ServeStopped"]
    assert head.position == 2


# --- PostgreSQL ----------------------------------------------------------------------------------------


@pytest.fixture
def url(postgres):
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.mark.postgres
def test_a_center_keeps_its_database_through_a_restart_and_yields_to_none(
    tmp_path, url, postgres, monkeypatch
):
    monkeypatch.setattr("central.registry.serving_lock._GRACE_S", 0.0)
    monkeypatch.setattr("central.serving_watch._EVERY_S", 0.02)
    with real_center(tmp_path / "one", registry_url=url) as one:
        for name in ("ann", "bob"):
            with (
                pytest.raises(AlreadyServing, match="on this registry"),
                real_center(tmp_path / "two", registry_url=url),
            ):
                pass
            postgres.restart()
            before = noted_head(tmp_path / "one")
            one.kit(name, Role.READER)
            wait(lambda: noted_head(tmp_path / "one") != before)  # noqa: B023 - the watch is back
        one.stop()
        head, _ = log_of(one.settings)
    assert noted_head(tmp_path / "one").digest == head.digest
