"""Lineage tells the commit of the code that made a module, where it is known."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from fakes.artifacts import sealed

from transplant.artifact.own_commit import own_commit

COMMIT = "3731422000d55f3c0f1b1d2b3c4d5e6f70819203"


@pytest.fixture(autouse=True)
def forgotten():
    own_commit.cache_clear()
    yield
    own_commit.cache_clear()


def noted(monkeypatch, text):
    there = SimpleNamespace(read_text=lambda _name: text)
    monkeypatch.setattr("transplant.artifact.own_commit.distribution", lambda _name: there)


def test_an_installation_from_a_repository_seals_its_commit(monkeypatch):
    noted(monkeypatch, json.dumps({"url": "https://x", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}))
    manifest, _ = sealed()
    assert manifest.libraries["transplant-commit"] == COMMIT


@pytest.mark.parametrize(
    "text",
    [
        None,
        "{",
        "[]",
        '{"dir_info": {}}',
        '{"vcs_info": {"commit_id": "main"}}',
        '{"vcs_info": {"commit_id": 7}}',
    ],
)
def test_where_nobody_noted_one_there_is_none(monkeypatch, text):
    noted(monkeypatch, text)
    assert own_commit() == {}
    assert "transplant-commit" not in sealed()[0].libraries
