"""The document of one version of the transplant net."""

from __future__ import annotations

import json

import pytest

from transplant.artifact.net_document import net_digest, net_document, parse_net_document
from transplant.errors import ManifestInvalid
from transplant.types import NetVersion, Route, Task

FOUNDER = Route("dog", Task.SEGMENTATION, "1" * 64, None, "2" * 64, "3" * 64)
LATER = Route("cat", Task.SEGMENTATION, "4" * 64, "5" * 64, "2" * 64, "6" * 64)
VERSION = NetVersion(2, "a" * 64, (FOUNDER, LATER))


def test_there_and_back():
    assert parse_net_document(net_document(VERSION)) == VERSION
    first = NetVersion(1, None, (FOUNDER,))
    assert parse_net_document(net_document(first)) == first


def test_every_field_counts_for_the_digest():
    digests = {
        net_digest(VERSION),
        net_digest(NetVersion(3, "a" * 64, (FOUNDER, LATER))),
        net_digest(NetVersion(2, "b" * 64, (FOUNDER, LATER))),
        net_digest(NetVersion(2, "a" * 64, (LATER, FOUNDER))),
        net_digest(NetVersion(2, "a" * 64, (FOUNDER,))),
    }
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"number": 0}, "number"),
        ({"number": "2"}, "number"),
        ({"parent_digest": None}, "parent_digest"),
        ({"parent_digest": "A" * 64}, "parent_digest"),
        ({"schema_version": 2}, "schema_version"),
        ({"extra": 1}, "extra: there is no such field"),
        ({"routes": [{}]}, r"routes\.0\.category"),
    ],
)
def test_faults_are_named(change, path):
    document = json.loads(net_document(VERSION)) | change
    with pytest.raises(ManifestInvalid, match=path):
        parse_net_document(json.dumps(document).encode())


def test_a_route_stands_once():
    twice = NetVersion(2, "a" * 64, (FOUNDER, FOUNDER))
    with pytest.raises(ManifestInvalid, match="routed twice"):
        parse_net_document(net_document(twice))
