"""Signed verdicts: what a site said, and that it was this site."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.pki import Authority
from hypothesis import given, settings
from hypothesis import strategies as st

from central.merge.verdicts import flat_figures, verdict_of
from transplant.errors import CertificateInvalid, NotAllowed, SignatureInvalid
from transplant.rpc import convert
from transplant.rpc.verdict_signature import check_signature, sign_verdict
from transplant.types import Verdict
from transplant.v1 import validation_pb2

VERDICT = Verdict("a" * 64, {"error": 2.5}, {"error": 5.0, "iou": 1 / 3}, {"error": 50.0}, 97)
SITE = "site-a"
numbers = st.floats(0, 100) | st.integers(0, 100)
figures = st.dictionaries(st.sampled_from(["error", "iou", "accuracy"]), numbers, max_size=3)
verdicts = st.builds(Verdict, st.just("a" * 64), figures, figures, figures, st.integers(1, 10**6))


@pytest.fixture(scope="module")
def kit():
    return Authority().kit("localhost:1", SITE)


def test_a_signature_is_of_these_figures_this_site_and_this_key(kit):
    signature = sign_verdict(VERDICT, SITE, kit.key)
    check_signature(VERDICT, SITE, signature, kit.cert)
    stranger = Authority().kit("localhost:1", SITE)
    for verdict, site, told, cert in (
        (replace(VERDICT, sample_count=98), SITE, signature, kit.cert),
        (replace(VERDICT, transplanted={"error": 4.0, "iou": 1 / 3}), SITE, signature, kit.cert),
        (replace(VERDICT, merge_key="b" * 64), SITE, signature, kit.cert),
        (VERDICT, "site-b", signature, kit.cert),
        (VERDICT, SITE, signature[:-1] + bytes([signature[-1] ^ 1]), kit.cert),
        (VERDICT, SITE, b"\x00" * 300, kit.cert),
        (VERDICT, SITE, b"", kit.cert),
        (VERDICT, SITE, signature, stranger.cert),
    ):
        with pytest.raises(SignatureInvalid):
            check_signature(verdict, site, told, cert)
    assert issubclass(SignatureInvalid, NotAllowed)  # an agent ends on it, and does not take it for decided


@settings(max_examples=25, deadline=None)
@given(verdicts)
def test_a_signature_survives_the_wire_and_the_registry(kit, verdict):
    signature = sign_verdict(verdict, SITE, kit.key)
    wire = convert.verdict_to_proto(verdict, signature).SerializeToString()
    message = validation_pb2.ReportVerdictRequest.FromString(wire)
    received = convert.verdict_from_proto(message)
    check_signature(received, SITE, bytes(message.signature), kit.cert)
    stored = verdict_of(received.merge_key, flat_figures(received))
    check_signature(stored, SITE, bytes(message.signature), kit.cert)


def test_what_cannot_sign_or_be_signed_is_said(kit):
    with pytest.raises(CertificateInvalid, match="cannot be read"):
        sign_verdict(VERDICT, SITE, b"no key")
    with pytest.raises(SignatureInvalid, match="finite"):
        sign_verdict(replace(VERDICT, floor={"error": float("nan")}), SITE, kit.key)
