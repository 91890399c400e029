"""Damage of merges, of the net, of the log and of the database, and the findings that each leads to."""

from __future__ import annotations

from fakes.patient import OTHER, damage


@damage("teacher-columns")
def another_owner_of_a_teacher(patient):
    patient.do("UPDATE teachers SET site = 'site-hen' WHERE category = 'cat'")


@damage("teacher-columns")
def a_teacher_with_the_task_module_of_another(patient):
    g = patient.one("SELECT module_id FROM modules WHERE category = 'dog' AND kind = 'task'")
    patient.do(
        "UPDATE teacher_tasks SET task_module = ? "
        "WHERE teacher_id IN (SELECT teacher_id FROM teachers WHERE category = 'cat')",
        g,
    )


@damage("merge-task")
def another_task_of_a_merge(patient):
    patient.do("UPDATE merges SET task_document = ? WHERE merge_key = ?", b"{}", patient.learning)


@damage("merge-columns")
def another_category_of_a_merge(patient):
    patient.do("UPDATE merges SET category = 'dog' WHERE merge_key = ?", patient.learning)


@damage("merge-history")
def a_merge_that_jumped(patient):
    patient.do("UPDATE merges SET state = 'rejected' WHERE merge_key = ?", patient.learning)


@damage("merge-history")
def a_lost_step_of_a_merge(patient):
    patient.do("DELETE FROM merge_transitions WHERE merge_key = ? AND to_state = 'candidate'", patient.joined)


@damage("bench-without-merge", "reference-missing")
def a_merge_without_row(patient):
    key = patient.learning
    patient.do("DELETE FROM merges WHERE merge_key = ?", key)
    patient.do("DELETE FROM merge_transitions WHERE merge_key = ? AND to_state <> 'planned'", key)


@damage("merge-published-twice")
def a_merge_published_twice(patient):
    patient.do(
        "INSERT INTO merge_transitions (merge_key, event, from_state, to_state, reason, figures, at) "
        "SELECT merge_key, event, 'published', 'published', reason, figures, at FROM merge_transitions "
        "WHERE merge_key = ? AND to_state = 'published'",
        patient.joined,
    )


@damage("merge-without-route", "version-digest", "version-empty")
def a_lost_route(patient):
    key = patient.joined
    patient.do("DELETE FROM probe_digests WHERE merge_key = ?", key)
    patient.do("DELETE FROM routes WHERE merge_key = ?", key)


@damage("route-merge", "version-digest")
def a_route_through_another_module(patient):
    g = patient.one("SELECT module_id FROM modules WHERE category = 'cat' AND kind = 'task'")
    patient.do("UPDATE routes SET task_module = ? WHERE merge_key = ?", g, patient.joined)


@damage("route-twice", "route-merge", "version-digest")
def a_route_that_is_there_twice(patient):
    patient.do("UPDATE routes SET category = 'dog' WHERE merge_key = ?", patient.joined)


@damage("route-merge")
def a_route_whose_merge_tells_another_version(patient):
    patient.do("UPDATE merges SET version_number = 1 WHERE merge_key = ?", patient.joined)


@damage("version-digest")
def another_digest_of_a_version(patient):
    patient.do("UPDATE versions SET digest = ? WHERE number = 1", OTHER)


@damage("version-parent")
def another_parent_of_a_version(patient):
    patient.do("UPDATE versions SET parent_digest = ? WHERE number = 2", OTHER)


@damage("version-gap", "reference-missing")
def a_lost_version(patient):
    patient.do("DELETE FROM versions WHERE number = 1")


@damage("version-event")
def a_version_that_nobody_was_told_of(patient):
    patient.do("DELETE FROM events WHERE kind = 'VersionPublished' AND detail = '2'")


@damage("proof-missing")
def a_lost_comparison(patient):
    patient.do("DELETE FROM forgetting_checks WHERE subject LIKE 'route %'")


@damage("proof-unequal")
def a_comparison_that_failed(patient):
    patient.do("UPDATE forgetting_checks SET after_sha256 = ? WHERE subject LIKE 'route %'", OTHER)


@damage("proof-unequal")
def a_comparison_of_other_bytes(patient):
    patient.do(
        "UPDATE forgetting_checks SET before_sha256 = ?1, after_sha256 = ?1 WHERE subject = ?2",
        OTHER,
        f"module {patient.f}",
    )


@damage("probe-digest-missing")
def a_lost_probe_digest(patient):
    patient.do("DELETE FROM probe_digests WHERE merge_key = ?", patient.joined)


@damage("probe-digest")
def another_probe_digest(patient):
    patient.do("UPDATE probe_digests SET logits_sha256 = ? WHERE merge_key = ?", OTHER, patient.joined)


@damage("audit-chain")
def a_changed_entry_of_the_log(patient):
    for (trigger,) in patient.db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        patient.db.execute(f"DROP TRIGGER {trigger}")
    patient.do("UPDATE audit_log SET subject = 'nothing' WHERE position = 3")


@damage("audit-chain")
def a_log_that_was_cut_off(patient):
    (patient.home / "audit.head").write_text(f"99 {OTHER}\n")


@damage("table-unreadable")
def a_date_that_is_none(patient):
    patient.do("UPDATE sites SET created_at = 'yesterday' WHERE name = 'site-dog'")


@damage("table-unreadable")
def a_number_that_is_none(patient):
    patient.do("UPDATE blobs SET size_bytes = 'large' WHERE sha256 = ?", patient.payload_of(patient.f))


@damage("table-unreadable")
def a_document_that_is_text(patient):
    patient.do("UPDATE merges SET task_document = '{}' WHERE merge_key = ?", patient.learning)


def overwrite(patient, page: int) -> None:
    size = patient.one("PRAGMA page_size")
    patient.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    patient.db.close()
    with (patient.home / "registry.sqlite").open("r+b") as file:
        file.seek((page - 1) * size + (0 if page > 1 else 100))
        file.write(b"\xff" * 1000)


@damage("database-damaged")
def a_broken_first_page(patient):
    overwrite(patient, 1)


@damage("database-damaged")
def a_broken_table(patient):
    overwrite(patient, patient.one("SELECT rootpage FROM sqlite_master WHERE name = 'verdicts'"))
