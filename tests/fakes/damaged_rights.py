"""Damage of rights, decisions, verdicts and questions, and the findings that each of them leads to."""

from __future__ import annotations

import json

from cryptography import x509

from central.registry.audit_chain import ChainHead, sealed_entry
from fakes.grown_center import good_verdict
from fakes.patient import OTHER, damage
from fakes.pki import Authority
from transplant.rpc.verdict_signature import sign_verdict


@damage("certificate-rights")
def a_revoked_site_that_is_let_in(patient):
    patient.do("UPDATE certificates SET revoked_at = NULL WHERE name = 'site-hen'")


@damage("certificate-rights")
def a_site_that_is_locked_out(patient):
    patient.do("UPDATE certificates SET revoked_at = expires_at WHERE name = 'site-cat'")


@damage("certificate-rights")
def a_certificate_that_lives_longer(patient):
    patient.do("UPDATE certificates SET expires_at = '2099-01-01 00:00:00.000000' WHERE name = 'site-cow'")


@damage("certificate-rights")
def a_site_that_became_an_operator(patient):
    patient.do("UPDATE certificates SET role = 'operator' WHERE name = 'site-cow'")


@damage("certificate-rights")
def a_certificate_that_nobody_issued(patient):
    patient.do(
        "INSERT INTO certificates SELECT ?, 'operator', 'eve', expires_at, NULL FROM certificates LIMIT 1",
        OTHER,
    )


@damage("certificate-rights")
def a_lost_certificate(patient):
    patient.do("DELETE FROM certificates WHERE name = 'site-dog'")


@damage("site-rights")
def a_category_that_nobody_gave(patient):
    patient.do("INSERT INTO site_categories VALUES ('site-hen', 'dog')")


@damage("site-rights")
def a_category_that_nobody_took(patient):
    patient.do("DELETE FROM site_categories WHERE site = 'site-cat'")


@damage("site-rights")
def a_site_that_nobody_admitted(patient):
    patient.do("INSERT INTO sites SELECT 'site-eve', created_at FROM sites LIMIT 1")


@damage("rights-unproved", "rights-unproved")
def a_site_with_a_category_from_before_the_log(patient):
    patient.do("INSERT INTO sites VALUES ('site-elk', '2020-01-01 00:00:00.000000')")
    patient.do("INSERT INTO site_categories VALUES ('site-elk', 'elk')")
    patient.do(
        "INSERT INTO certificates VALUES ('1f', 'site', 'site-elk', '2021-01-01 00:00:00.000000', NULL)"
    )


@damage("category-holder")
def a_category_that_another_site_holds(patient):
    patient.do("UPDATE category_holders SET site = 'site-hen'")


@damage("category-holder")
def a_lost_decision(patient):
    patient.do("DELETE FROM category_holders")


def other_figures(patient) -> dict[str, float]:
    figures = json.loads(patient.one("SELECT figures FROM verdicts WHERE merge_key = ?", patient.joined))
    return {**figures, "transplanted.error": 1.0}


@damage("verdict-record", "verdict-signature")
def a_verdict_with_other_figures(patient):
    figures = json.dumps(other_figures(patient))
    patient.do("UPDATE verdicts SET figures = ? WHERE merge_key = ?", figures, patient.joined)


@damage("verdict-record")
def a_verdict_that_closes_more(patient):
    patient.do("UPDATE verdicts SET closed = closed + 1 WHERE merge_key = ?", patient.joined)


@damage("verdict-record")
def a_verdict_without_its_signature(patient):
    patient.do("UPDATE verdicts SET signature = NULL, certificate = NULL WHERE merge_key = ?", patient.joined)


@damage("verdict-record")
def a_lost_verdict(patient):
    patient.do("DELETE FROM verdicts WHERE merge_key = ?", patient.joined)


@damage("verdict-record")
def a_verdict_that_nobody_gave(patient):
    patient.do(
        "INSERT INTO verdicts SELECT ?, 'site-cow', 99, figures, (SELECT created_at FROM sites LIMIT 1), "
        "NULL, NULL FROM verdicts LIMIT 1",
        patient.learning,
    )


def signed_by(patient, name: str) -> None:
    issued = Authority().issue([x509.UniformResourceIdentifier(f"transplant://site/{name}")])
    signature = sign_verdict(good_verdict(patient.joined), "site-cat", issued.key)
    patient.do(
        "UPDATE verdicts SET signature = ?, certificate = ? WHERE merge_key = ?",
        signature,
        issued.cert,
        patient.joined,
    )


@damage("verdict-signature")
def a_verdict_signed_by_another_site(patient):
    signed_by(patient, "site-hen")


@damage("verdict-signature")
def a_verdict_signed_with_a_certificate_that_nobody_issued(patient):
    signed_by(patient, "site-cat")


@damage("verdict-signature")
def a_verdict_with_a_certificate_that_is_none(patient):
    patient.do("UPDATE verdicts SET certificate = ? WHERE merge_key = ?", b"none", patient.joined)


@damage("verdict-signer")
def a_verdict_of_another_authority(patient):
    (patient.home / "identity" / "ca.pem").write_bytes(Authority().cert)


@damage("probe-request", "probe-request")
def another_question(patient):
    patient.do("UPDATE probe_requests SET request = json_set(request, '$.count', 6000)")


@damage("probe-request")
def a_lost_question(patient):
    patient.do("DELETE FROM probe_requests WHERE task = 'segmentation'")


@damage("probe-request")
def a_question_without_entry_that_is_none_about_the_module(patient):
    f = patient.f
    patient.do(
        "INSERT INTO probe_requests SELECT ?, task, request, asked_at FROM probe_requests "
        "WHERE task = 'segmentation'",
        f,
    )


@damage("audit-chain")
def an_entry_that_no_center_writes(patient):
    """The chain holds, and what was put at its end says nothing."""
    position, digest = patient.db.execute(
        "SELECT position, digest FROM audit_log ORDER BY position DESC LIMIT 1"
    ).fetchone()
    at = "2026-01-01T00:00:00.000000+00:00"
    entry = sealed_entry(ChainHead(position, digest), at, "console", "SiteAdmitted", "eve", "{}")
    patient.do("INSERT INTO audit_log VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *vars(entry).values())
