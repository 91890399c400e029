"""Damage of the store, of modules and of uploads, and the findings that each of them leads to."""

from __future__ import annotations

import json
import shutil

from fakes.patient import OTHER, damage


@damage("blob-missing")
def a_lost_blob(patient):
    patient.blob(patient.payload_of(patient.f)).unlink()


@damage("store-missing")
def a_lost_store(patient):
    shutil.rmtree(patient.home / "store")


@damage("blob-damaged")
def a_flipped_bit(patient):
    path = patient.blob(patient.payload_of(patient.adapter))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@damage("blob-damaged")
def a_truncated_blob(patient):
    path = patient.blob(patient.payload_of(patient.f))
    path.write_bytes(path.read_bytes()[:-1])


@damage("blob-orphan")
def a_blob_that_nobody_refers_to(patient):
    path = patient.blob(OTHER)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"other")


@damage("store-stray", "store-stray")
def strange_files_in_the_store(patient):
    (patient.home / "store" / "notes.txt").write_text("mine")
    path = patient.blob(patient.payload_of(patient.f))
    shutil.copy(path, path.with_name("copy"))


@damage("blob-missing", "store-stray")
def a_blob_in_the_wrong_folder(patient):
    path = patient.blob(patient.payload_of(patient.f))
    other = patient.home / "store" / ("00" if path.parent.name != "00" else "01")
    other.mkdir(exist_ok=True)
    path.rename(other / path.name)


@damage("unfinished-file", "unfinished-file")
def files_left_half_written(patient):
    (patient.home / "store" / "incoming" / "tmpx").write_bytes(b"half")
    (patient.home / ".settings.json.tmp").write_bytes(b"half")


@damage("blob-size", "blob-size")
def another_length_of_a_blob(patient):
    patient.do("UPDATE blobs SET size_bytes = size_bytes + 1 WHERE sha256 = ?", patient.payload_of(patient.f))


@damage("reference-missing")
def a_blob_that_is_not_listed(patient):
    sha256 = patient.payload_of(patient.adapter)
    patient.do("DELETE FROM blobs WHERE sha256 = ?", sha256)
    patient.blob(sha256).unlink()  # nobody lists it: it would be an orphan, too


@damage("blob-unused", "blob-missing")
def a_listed_blob_of_no_module(patient):
    patient.do("INSERT INTO blobs VALUES (?, 5)", OTHER)


@damage("module-manifest")
def a_changed_manifest(patient):
    document = json.loads(patient.one("SELECT manifest FROM modules WHERE module_id = ?", patient.adapter))
    document["metrics"] = {"error": 0.0}
    patient.do(
        "UPDATE modules SET manifest = ? WHERE module_id = ?", json.dumps(document).encode(), patient.adapter
    )


@damage("module-columns")
def another_owner_of_a_module(patient):
    patient.do("UPDATE modules SET site = 'site-hen' WHERE module_id = ?", patient.adapter)


@damage("module-columns", "blob-unused")
def a_module_with_the_payload_of_another(patient):
    patient.do(
        "UPDATE modules SET payload_sha256 = ? WHERE module_id = ?",
        patient.payload_of(patient.f),
        patient.one("SELECT module_id FROM modules WHERE category = 'cow' AND kind = 'task'"),
    )


@damage("module-event", "module-parent-missing", "blob-unused", "merge-module-missing", "reference-missing")
def a_lost_module_of_a_merge_under_way(patient):
    f = patient.one("SELECT module_id FROM modules WHERE category = 'cow' AND kind = 'category'")
    patient.do("DELETE FROM modules WHERE module_id = ?", f)
    patient.db.execute("DELETE FROM teacher_tasks WHERE teacher_id = ?", (f,))


@damage("module-event", "route-module-missing", "blob-unused", "reference-missing")
def a_lost_adapter(patient):
    adapter = patient.adapter
    patient.do("DELETE FROM modules WHERE module_id = ?", adapter)


@damage("module-event", "module-event")
def a_module_that_watchers_heard_of_twice_and_one_that_they_did_not(patient):
    f, adapter = patient.f, patient.adapter
    patient.do("UPDATE events SET subject = ? WHERE kind = 'ModuleAccepted' AND subject = ?", f, adapter)


def decide(patient, module_id: str, verdict: str, payload_sha256: str) -> None:
    patient.do(
        "INSERT INTO admissions (module_id, site, verdict, error, reason, payload_sha256, payload_bytes, "
        "figures, fingerprint, seconds, at) SELECT ?, site, ?, '', '', ?, 1, '{}', '[]', 0.5, accepted_at "
        "FROM modules WHERE module_id = ?",
        module_id,
        verdict,
        payload_sha256,
        patient.f,
    )


@damage("module-verdict")
def a_registered_module_that_was_rejected(patient):
    decide(patient, patient.f, "registered", patient.payload_of(patient.f))
    decide(patient, patient.f, "rejected", patient.payload_of(patient.f))


@damage("module-verdict")
def a_verdict_about_a_lost_module(patient):
    decide(patient, OTHER, "registered", patient.payload_of(patient.f))


@damage("module-verdict")
def a_verdict_about_another_payload(patient):
    decide(patient, patient.f, "registered", OTHER)


@damage(*["module-site-missing"] * 2, "reference-missing", "site-rights")
def a_lost_site(patient):
    patient.do("DELETE FROM sites WHERE name = 'site-cow'")


@damage(
    "upload-site-missing", "upload-site-missing", "reference-missing", "module-site-missing", "site-rights"
)
def a_lost_site_with_uploads(patient):
    patient.do("DELETE FROM sites WHERE name = 'site-hen'")


@damage("upload-columns")
def another_length_of_an_upload(patient):
    patient.do("UPDATE uploads SET payload_bytes = payload_bytes + 1 WHERE upload_id = ?", patient.upload)


@damage("upload-columns")
def an_upload_received_by_half(patient):
    patient.do("UPDATE uploads SET place = 77 WHERE upload_id = ?", patient.upload)


@damage("upload-blob-missing")
def a_lost_payload_that_waits_for_admission(patient):
    sha256 = patient.one("SELECT payload_sha256 FROM uploads WHERE received_at IS NOT NULL")
    patient.blob(sha256).unlink()


@damage("part-without-upload")
def a_lost_upload(patient):
    patient.do("DELETE FROM uploads WHERE upload_id = ?", patient.upload)


@damage("part-length")
def a_truncated_partial_file(patient):
    path = patient.home / "uploads" / f"{patient.upload}.part"
    path.write_bytes(path.read_bytes()[:-1])


@damage("part-length")
def a_lost_partial_file(patient):
    (patient.home / "uploads" / f"{patient.upload}.part").unlink()


@damage("part-length")
def a_partial_file_that_is_too_long(patient):
    path = patient.home / "uploads" / f"{patient.upload}.part"
    path.write_bytes(path.read_bytes() * 3)


@damage("upload-registered")
def an_upload_of_a_registered_module(patient):
    patient.do(
        "INSERT INTO uploads SELECT m.module_id, m.site, m.payload_sha256, b.size_bytes, m.manifest, "
        "m.accepted_at, NULL, NULL FROM modules m JOIN blobs b ON b.sha256 = m.payload_sha256 "
        "WHERE m.module_id = ?",
        patient.f,
    )
