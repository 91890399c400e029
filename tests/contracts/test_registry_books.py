"""What the books of sites, modules, uploads and teachers promise, run on every database."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.artifacts import sealed
from fakes.registry_entries import NOW, add_merge, upload_of

from central.merge.situation import CompleteTeacher
from central.registry.values import Admission, AdmissionVerdict, Certificate, SiteUse
from transplant.errors import NotFound, RegistryConflict
from transplant.nets.disclosures import ProbeRequest
from transplant.types import ModuleKind, Role, Task

# --- sites ---------------------------------------------------------------------------------------


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
        assert books.sites.revoke(Role.SITE, "site-a", NOW) == 0
    with registry.read() as books:
        assert books.sites.certificate("1f") == Certificate("1f", Role.SITE, "site-a", NOW, revoked=True)
        assert books.sites.certificate("2f") is None


def test_sites_come_in_one_order_on_every_database(registry):
    names = ["b", "a-c", "ab", "a-b", "a1"]
    with registry.write() as books:
        for name in names:
            books.sites.admit(name, names, NOW)
    with registry.read() as books:
        assert list(books.sites.all().items()) == [(name, tuple(sorted(names))) for name in sorted(names)]


# --- modules and uploads -------------------------------------------------------------------------


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


def test_modules_keep_their_order_and_share_their_bytes(registry):
    manifests = [sealed(seed=3, category=category)[0] for category in ("dog", "cat", "ant")]
    payload = manifests[0].payload_sha256
    assert {manifest.payload_sha256 for manifest in manifests} == {payload}
    with registry.write() as books:
        assert books.modules.unknown_blobs([payload, "0" * 64]) == [payload, "0" * 64]
        for manifest in manifests:
            books.modules.add(manifest, NOW)
    with registry.read() as books:
        assert [m.module_id for m in books.modules.list()] == [m.module_id for m in manifests]
        assert [m.position for m in books.modules.list()] == [1, 2, 3]
        assert [m.category for m in books.modules.list("cat")] == ["cat"]
        assert books.modules.blob_in_use(payload)
        assert books.modules.unknown_blobs([payload, "0" * 64]) == ["0" * 64]


def test_an_upload_is_declared_received_and_forgotten(registry):
    upload = upload_of(payload_bytes=3 << 30)
    with registry.write() as books:
        books.sites.admit("site-a", ["dog"], NOW)
        books.uploads.add(upload)
    with registry.read() as books:
        assert books.uploads.get(upload.upload_id) == upload
        assert books.uploads.all() == (upload,)
        assert books.uploads.received() == ()
        assert books.uploads.use_of("site-a") == SiteUse(0, 3 << 30, 0, 1)
        assert books.uploads.use_of("nobody") == SiteUse(0, 0, 0, 0)
        assert books.uploads.get("0" * 64) is None
        assert books.uploads.use_blob(upload.payload_sha256)
        assert not books.uploads.use_blob("0" * 64)
    with registry.write() as books:
        books.uploads.receive(upload.upload_id, NOW)
        books.uploads.receive(upload.upload_id, NOW + timedelta(hours=1))
        assert books.uploads.get(upload.upload_id) == replace(upload, received_at=NOW)
        assert books.uploads.use_of("site-a") == SiteUse(0, 3 << 30, 0, 0, received=1)
    with registry.write() as books:
        books.uploads.remove(upload.upload_id)
        books.uploads.remove(upload.upload_id)
        assert books.uploads.all() == ()


def test_what_was_received_first_is_admitted_first_whatever_the_clock_says(registry):
    first, second, third = (replace(upload_of(), upload_id=digit * 64) for digit in "cab")
    with registry.write() as books:
        books.sites.admit("site-a", ["dog"], NOW)
        for upload in (third, second, first):
            books.uploads.add(upload)
        for hours, upload in enumerate((first, second, third)):
            books.uploads.receive(upload.upload_id, NOW - timedelta(hours=hours))
    with registry.write() as books:
        assert [each.upload_id for each in books.uploads.received()] == [
            each.upload_id for each in (first, second, third)
        ]
        books.uploads.remove(first.upload_id)
        books.uploads.add(first)
        books.uploads.receive(first.upload_id, NOW)
        assert books.uploads.received()[-1].upload_id == first.upload_id


# --- admissions ------------------------------------------------------------------------------------


def test_the_newest_verdict_about_a_module_holds(registry):
    rejected = Admission(
        "a" * 64,
        "site-a",
        AdmissionVerdict.REJECTED,
        "b" * 64,
        1 << 40,
        NOW,
        "WeightsImplausible",
        "half of it is \0",
        {"largest": math.inf, "norm": 2.5},
        (0.25, -0.5),
        1.25,
    )
    registered = {"verdict": AdmissionVerdict.REGISTERED, "error": "", "reason": ""}
    other = replace(rejected, module_id="c" * 64, site="site-b", **registered)
    with registry.write() as books:
        books.sites.admit("site-a", ["dog"], NOW)
        books.admissions.add(rejected)
        books.admissions.add(other)
    with registry.read() as books:
        told = replace(rejected, reason="half of it is \N{REPLACEMENT CHARACTER}")
        assert books.admissions.of(rejected.module_id) == told
        assert books.admissions.rejection(rejected.module_id) == told
        assert books.admissions.rejection(other.module_id) is None
        assert books.admissions.of("d" * 64) is None
        assert [each.module_id for each in books.admissions.newest()] == ["a" * 64, "c" * 64]
        assert books.admissions.newest(NOW + timedelta(seconds=1)) == ()
        assert books.uploads.use_of("site-a").rejected == 1
    with registry.write() as books:
        books.admissions.add(replace(rejected, verdict=AdmissionVerdict.RECALLED))
    with registry.read() as books:
        assert books.admissions.rejection(rejected.module_id) is None
        assert [each.module_id for each in books.admissions.newest()] == ["c" * 64, "a" * 64]


# --- teachers and probes -------------------------------------------------------------------------


def test_a_probe_request_is_made_once(registry):
    with registry.write() as books:
        task = add_merge(books).task
        f = task.teacher_category_module
        request = ProbeRequest("leaves-1", 7, 64, 32, 32, 50, 1, Task.CLASSIFICATION)
        assert books.probes.get(f, Task.CLASSIFICATION) is None
        books.probes.add(f, request, NOW)
        books.probes.add(f, replace(request, seed=8), NOW)
    with registry.read() as books:
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
    with registry.write() as books:
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
        with pytest.raises(RegistryConflict, match="another classification module"):
            books.teachers.add(CompleteTeacher(f, task.site, "dog", f, ((Task.CLASSIFICATION, f),)), NOW)


# --- keys and references -----------------------------------------------------------------------


def test_references_must_exist(registry):
    teacher = CompleteTeacher("f" * 64, "site-a", "dog", "f" * 64, ())
    with pytest.raises(RegistryConflict), registry.write() as books:
        books.teachers.add(teacher, NOW)
    with pytest.raises(RegistryConflict), registry.write() as books:
        books.uploads.add(upload_of(site="nobody"))


def test_a_serial_is_given_once(registry):
    certificate = Certificate("1f", Role.READER, "ann", NOW, revoked=False)
    with registry.write() as books:
        books.sites.add_certificate(certificate)
    with pytest.raises(RegistryConflict), registry.write() as books:
        books.sites.add_certificate(replace(certificate, name="bob"))
    with registry.read() as books:
        assert books.sites.certificate("1f") == certificate


def test_kinds_and_tasks_come_back(registry):
    f, _ = sealed()
    g, _ = sealed(ModuleKind.TASK, Task.SEGMENTATION, seed=2, parents=(f.module_id,))
    with registry.write() as books:
        for manifest in (f, g):
            books.modules.add(manifest, NOW)
    with registry.read() as books:
        assert [(m.kind, m.task, m.payload_bytes) for m in books.modules.list()] == [
            (ModuleKind.CATEGORY, None, f.payload_bytes),
            (ModuleKind.TASK, Task.SEGMENTATION, g.payload_bytes),
        ]
