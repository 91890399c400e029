"""`plan` and `net retire | rollback | claim | lineage` beside a center that serves, on either database."""

from __future__ import annotations

import json
import sys

import pytest
from fakes.real_center import real_center
from fakes.waiting import wait

from central import cli
from transplant.errors import MergeNotPossible, NotFound
from transplant.types import MergeState, Task, Verdict

CLASSIFY = Task.CLASSIFICATION


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request):
    if request.param == "sqlite":
        yield None
        return
    postgres = request.getfixturevalue("postgres")
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, url):
    """Run a command; return its exit code, its JSON (or None) and its words."""

    def run(*arguments):
        where = [] if url is None else ["--registry-url", url]
        command = ["transplant-central", *map(str, arguments), "--home", str(tmp_path), *where]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        document = json.loads(said.out) if "--json" in arguments and not ended.value.code else None
        return ended.value.code, document, said.out + said.err

    return run


def published(center, category):
    """Answer every candidate of a site until its merges have ended."""
    client = center.client(f"site-{category}")

    def done():
        for key, _ in client.fetch_candidates():
            good = {"error": 5.0, "iou": 90.0}
            client.report_verdict(Verdict(key, good, good, {"error": 50.0, "iou": 0.0}, 9))
        merges = client.list_merges(category)
        return bool(merges) and all(merge.state is MergeState.PUBLISHED for merge in merges)

    wait(done, 30.0)


def test_an_operator_looks_into_the_net_and_changes_it_while_it_is_served(tmp_path, url, run):
    settings = {} if url is None else {"registry_url": url}
    with real_center(tmp_path, founder="dog", **settings) as center:
        for category in ("dog", "cat"):
            center.bring(category, tasks=(CLASSIFY,))
            published(center, category)
        client = center.client("site-cat")
        second = wait(lambda: v if (v := client.get_version()).number == 2 else None)

        code, lineage, _ = run("net", "lineage", "cat", "classification", "--json")
        assert code == 0
        verdict = lineage["gates"]["verdict"]
        assert (verdict["site"], verdict["signature"]) == ("site-cat", "valid")
        assert lineage["approved_by"][0]["who"] == "site site-cat"
        code, _, words = run("net", "lineage", "cat", "classification")
        assert (code, "Approved by site site-cat" in words) == (0, True)

        code, _, words = run("net", "retire", "cat")
        assert (code, words) == (0, "published version 3 with 1 routes\n")
        assert [route.category for route in client.get_version().routes] == ["dog"]
        code, _, words = run("net", "retire", "dog")
        assert (code, "last routes" in words) == (MergeNotPossible.exit_code, True)
        code, _, words = run("net", "retire", "hen")
        assert (code, "has no route of hen" in words) == (NotFound.exit_code, True)

        code, _, words = run("net", "rollback", 2)
        assert (code, words) == (0, "published version 4 with 2 routes\n")
        assert client.get_version().routes == second.routes
        assert [version.number for version in client.list_versions()] == [1, 2, 3, 4]
        assert client.list_versions()[1] == second
        run("net", "retire", "cat")
        code, _, words = run("net", "rollback", 2, "--category", "cat", "--task", "classification")
        assert (code, words) == (0, "published version 6 with 2 routes\n")
        assert client.get_version().routes == second.routes

        code, plan, _ = run("plan", "--json")
        assert (code, plan["tasks"], plan["waiting"]) == (0, [], [])
        assert run("net", "claim", "cat", "--site", "site-hen")[0] == NotFound.exit_code

        (merge,) = center.bring("cow", tasks=(CLASSIFY,))
        code, _, words = run("net", "cancel", merge.merge_key[:12])
        assert (code, words) == (0, f"{merge.merge_key}  cow/classification is cancelled\n")
        (merge,) = center.client("site-cow").list_merges("cow")
        assert (merge.state, merge.reason) == (MergeState.CANCELLED, "cancelled by operator console")
        code, _, words = run("net", "retry", merge.merge_key)
        assert (code, "is cancelled" in words) == (MergeNotPossible.exit_code, True)
        assert run("net", "cancel", "none-such")[0] == NotFound.exit_code


def test_a_plan_is_shown_before_anything_runs_with_the_settings_that_were_served(tmp_path, url, run):
    settings = {} if url is None else {"registry_url": url}
    with real_center(tmp_path, founder="dog", layers=2, **settings) as center:
        center.bring("cat", tasks=(CLASSIFY,))
    code, plan, _ = run("plan", "--json")
    assert (code, plan["tasks"]) == (0, [])  # cat awaits its founder
    code, _, words = run("plan")
    assert (code, "0 merges would be planned" in words) == (0, True)


def test_every_command_needs_a_center(run):
    for arguments in (
        ("plan",),
        ("net", "retire", "cat"),
        ("net", "rollback", 1),
        ("net", "claim", "cat", "--site", "site-cat"),
        ("net", "cancel", "0"),
        ("net", "retry", "0"),
        ("net", "lineage", "cat", "classification"),
    ):
        code, _, words = run(*arguments)
        assert (code, "provision" in words) == (64, True)
