"""Verdicts before and after sites signed them, and a net with a supervised route: read for ever."""

from __future__ import annotations

from pathlib import Path

from transplant.artifact.net_document import net_digest, net_document, parse_net_document
from transplant.rpc.convert import (
    net_version_from_proto,
    net_version_to_proto,
    verdict_from_proto,
    verdict_to_proto,
)
from transplant.types import Verdict
from transplant.v1 import catalog_pb2, validation_pb2

GOLDEN = Path(__file__).parent / "v1"
VERDICT = Verdict("ab" * 32, {"error": 2.5, "iou": 80.125}, {"error": 5.0}, {"error": 50.0}, 97)
SIGNATURE = bytes(range(72))
SUPERVISED = "9c86ad8e2eb39d1cd44cd0683041020a9dbee0ed5bc80f96c36a829996cf6d87"


def test_a_verdict_of_a_site_that_does_not_sign_is_still_read():
    wire = (GOLDEN / "verdict.pb").read_bytes()
    message = validation_pb2.ReportVerdictRequest.FromString(wire)
    assert (verdict_from_proto(message), message.signature) == (VERDICT, b"")
    assert verdict_to_proto(VERDICT).SerializeToString(deterministic=True) == wire


def test_a_signed_verdict_keeps_its_wire_bytes():
    wire = (GOLDEN / "verdict-signed.pb").read_bytes()
    message = validation_pb2.ReportVerdictRequest.FromString(wire)
    assert (verdict_from_proto(message), message.signature) == (VERDICT, SIGNATURE)
    assert verdict_to_proto(VERDICT, SIGNATURE).SerializeToString(deterministic=True) == wire


def test_a_net_with_a_supervised_route_keeps_its_digest_and_its_wire_bytes():
    document, wire = (
        (GOLDEN / "net-supervised.json").read_bytes(),
        (GOLDEN / "net-supervised.pb").read_bytes(),
    )
    version = parse_net_document(document)
    assert [route.supervised_by for route in version.routes] == ["", "dog"]
    assert (net_document(version), net_digest(version)) == (document, SUPERVISED)
    assert net_version_to_proto(version).SerializeToString(deterministic=True) == wire
    assert net_version_from_proto(catalog_pb2.NetVersion.FromString(wire)) == version
