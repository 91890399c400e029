"""A net that grows, and who decides how: real registry and store, the loop turned by hand."""

from __future__ import annotations

import pytest
from fakes.grown_center import good_verdict
from fakes.grown_world import actions, damage, events, plan_of, refuse, routes, versions
from fakes.turned_center import World, accept, site

from central.merge.situation import Ending, Standing
from central.net.lineage import lineage_document
from central.net.plan_report import plan_document, plan_tables
from central.registry.audit_book import Action
from central.report import status_document, status_tables
from central.usecases.change_net import retire_routes
from central.usecases.decide_claim import claims_of, decide_claim
from central.usecases.read_merges import fetch_candidates
from central.usecases.report_verdict import report_verdict
from central.usecases.request_merge import request_merge
from central.usecases.situation import situation_of
from transplant.artifact.net_document import net_document
from transplant.errors import NotFound, SignatureInvalid
from transplant.types import MergeState, ModuleKind, Task

CLASSIFY, SEGMENT = Task.CLASSIFICATION, Task.SEGMENTATION


def test_a_refused_canary_leaves_the_published_route_alone(founded):
    founded.grow("cat", 2)
    before = founded.newest()
    founded.bring("cat", 3)
    for _ in range(4):
        founded.rounds(4)
        founded.engine.finish()
        founded.rounds(4)
        refuse(founded, "cat")
    assert founded.newest() == before
    with founded.registry.read() as books:
        *_, first, larger = books.merges.list("cat")
        (left,) = [w for w in plan_of(books).waiting if w.category == "cat"]
        document = lineage_document(books, "cat", CLASSIFY)
    assert [m.status.state for m in (first, larger)] == [MergeState.REJECTED] * 2
    assert larger.task.settings["layers"] == first.task.settings["layers"] + 2
    assert left.standing is Standing.GIVEN_UP
    assert "on the site's data" in left.reason
    assert [each["state"] for each in document["attempts"]] == ["rejected"] * 2
    assert all(each["figures"]["closed"] == 0.0 for each in document["attempts"])


def test_of_several_hosts_the_best_goes_on_and_the_next_takes_its_turn(tmp_path):
    world = World(tmp_path, residents=2, hosts_at_once=2)
    world.bring("dog", 1)
    world.rounds()
    world.bring("hen", 2)
    world.rounds()
    assert [route.adapter for route in world.newest().routes] == [None, None]
    world.bring("cat", 3)
    world.rounds()
    assert len(world.engine.orders) == 2
    first = next(iter(world.engine.orders))
    only_one(world, first)
    world.rounds()
    assert {status.state for status in world.merges("cat")} == {MergeState.CANDIDATE, MergeState.LEARNING}
    world.engine.finish()
    world.rounds()
    states = {status.state: status for status in world.merges("cat")}
    assert set(states) == {MergeState.CANDIDATE, MergeState.VALIDATING}
    best, reserve = states[MergeState.VALIDATING], states[MergeState.CANDIDATE]
    assert best.figures["agreement"] >= reserve.figures["agreement"]
    learned = list(world.engine.submitted)
    refuse(world, "cat")
    world.rounds()
    assert world.merges("cat")[[s.merge_key for s in world.merges("cat")].index(reserve.merge_key)].state is (
        MergeState.VALIDATING
    )
    assert world.engine.submitted == learned  # it was learned already
    accept(world, "cat")
    world.rounds()
    assert world.newest().routes[-1].merge_key == reserve.merge_key
    world.registry.close()


def only_one(world, key):
    """Let one worker finish while the others go on."""
    others = {name: order for name, order in world.engine.orders.items() if name != key}
    world.engine.orders = {key: world.engine.orders[key]}
    world.engine.finish()
    world.engine.orders |= others


def test_the_published_one_outdoes_the_rest(tmp_path):
    world = World(tmp_path, residents=2, hosts_at_once=2)
    for category, seed in (("dog", 1), ("hen", 2)):
        world.bring(category, seed)
        world.rounds()
    world.grow("cat", 3)
    with world.registry.read() as books:
        endings = sorted(merge.ending for merge in books.merges.known() if merge.category == "cat")
    assert endings == [Ending.OUTDONE, Ending.PUBLISHED]
    world.registry.close()


def test_a_category_that_two_sites_claim_is_decided_by_the_operator(founded):
    founded.grow("cat", 2)
    assert founded.bring("cat", 3, owner="cow") == ()
    founded.rounds()
    assert founded.newest().number == 2
    with founded.registry.read() as books:
        (claim,) = claims_of(books)
        (left,) = plan_of(books).waiting
    assert (claim.category, claim.sites, claim.holder) == ("cat", ("site-cat", "site-cow"), "site-cat")
    assert (left.site, left.standing) == ("site-cow", Standing.CONTESTED)
    assert ("CategoryContested", "cat") in events(founded)
    with pytest.raises(NotFound, match="no complete teacher"):
        decide_claim(founded.center, "cat", "site-hen")
    assert decide_claim(founded.center, "cat", "site-cow") == 1
    assert decide_claim(founded.center, "cat", "site-cow") == 0
    assert routes(founded) == [("dog", CLASSIFY), ("cat", CLASSIFY)]  # as before, until the gates are passed
    founded.rounds(4)
    founded.engine.finish()
    founded.rounds()
    accept(founded, "cow")
    founded.rounds()
    with founded.registry.read() as books:
        document = lineage_document(books, "cat", CLASSIFY)
        assert books.modules.has(versions(founded)[1].routes[1].category_module)  # the other's is kept
    assert document["sites"] == ["site-cow", "site-dog"]
    gave = {"who": "the operator", "by": "gave the category to site site-cow"}
    assert gave in document["approved_by"]
    with founded.registry.read() as books:
        assert (
            gave not in lineage_document(books, "cat", CLASSIFY, 2)["approved_by"]
        )  # the other site's route
    assert actions(founded).count(Action.CATEGORY_DECIDED) == 1


def test_a_task_that_a_site_never_taught_is_supervised_marked_and_validated_by_who_has_data(tmp_path):
    world = World(tmp_path, supervisors=1)
    world.bring("dog", 1, (CLASSIFY, SEGMENT))
    world.rounds()
    world.bring("cat", 2)
    world.rounds(2)
    world.engine.finish()
    world.rounds(2)
    accept(world, "cat")
    world.rounds(4)
    (order,) = world.engine.orders.values()
    assert order.supervisor
    world.engine.finish()
    world.rounds()
    assert fetch_candidates(world.center, site("cat")) == ()
    ((_, candidate),) = fetch_candidates(world.center, site("dog"))
    assert (candidate.category, candidate.task, candidate.supervised_by) == ("cat", SEGMENT, "dog")
    accept(world, "dog")
    world.rounds()
    assert ("cat", SEGMENT) in routes(world)
    with world.registry.read() as books:
        document = lineage_document(books, "cat", SEGMENT)
        newest = books.versions.newest()
    assert document["route"]["supervised_by"] == "dog"
    assert document["gates"]["verdict"]["site"] == "site-dog"
    assert {each["category"] for each in document["modules"]} == {"cat", "dog"}
    assert b'"supervised_by":"dog"' in net_document(newest)
    assert damage(world) == []
    world.registry.close()


def test_the_lineage_of_a_route_tells_of_everything_it_was_made_from(founded):
    founded.grow("cat", 2)
    with founded.registry.read() as books:
        document = lineage_document(books, "cat", CLASSIFY)
        with pytest.raises(NotFound, match="the versions 2 have"):
            lineage_document(books, "cat", CLASSIFY, 1)
    assert document["sites"] == ["site-cat", "site-dog"]
    assert document["version"]["number"] == 2
    roles = {each["role"]: each for each in document["modules"]}
    assert set(roles) == {
        *("category module", "adapter", "task module", "teacher's task module", "host's category module"),
    }
    assert roles["adapter"]["site"] == "central"
    assert {"torch", "python", "transplant"} <= set(roles["adapter"]["libraries"])
    assert document["merge"]["learner"]["steps"] == 2
    assert [step["to"] for step in document["merge"]["steps"]][-1] == "published"
    assert document["gates"]["unchanged"] == {"version": 2, "compared": 3, "equal": 3}
    assert document["gates"]["verdict"]["signature"] == "missing"
    assert document["history"] == [{"version": 2, "what": "published"}]
    retire_routes(founded.center, "cat")
    with founded.registry.read() as books:
        history = lineage_document(books, "cat", CLASSIFY, 2)["history"]
        with pytest.raises(NotFound, match="the versions 2 have"):
            lineage_document(books, "cat", CLASSIFY)
    assert history[-1] == {"version": 3, "what": "left"}


def test_unsigned_verdicts_are_refused_unless_the_operator_takes_them(tmp_path):
    world = World(tmp_path, unsigned_verdicts="refuse")
    world.bring("dog", 1)
    world.rounds()
    world.bring("cat", 2)
    world.rounds(4)
    world.engine.finish()
    world.rounds()
    ((key, _),) = fetch_candidates(world.center, site("cat"))
    with pytest.raises(SignatureInvalid, match="signed verdicts only"):
        report_verdict(world.center, site("cat"), good_verdict(key))
    assert world.merges("cat")[0].state is MergeState.VALIDATING
    world.registry.close()


def test_the_plan_shows_what_is_queued_where_it_leads_and_what_waits(founded):
    founded.engine.capacity = 0
    founded.bring("cat", 2)
    founded.bring("cat", 3, owner="cow")
    founded.rounds(2)
    with founded.registry.read() as books:
        document = plan_document(books, founded.center.policy.plan)
        state = status_document(books, founded.home, serving=False, policy=founded.center.policy.plan)
    (queued,) = document["queued"]
    assert (queued["category"], queued["kind"], queued["host"]) == ("cat", "learn", "dog")
    assert queued["layers"] == queued["learner"]["layers"]
    assert (document["tasks"], document["under_way"]) == ([], 0)
    assert [row["standing"] for row in document["waiting"]] == ["contested"]
    assert len(plan_tables(document)) == 3
    claim = {"category": "cat", "sites": ["site-cat", "site-cow"], "holder": "site-cat"}
    assert state["contested"] == [claim]
    assert any("net claim cat --site NAME" in line for line in status_tables(state) if isinstance(line, str))


def test_sites_that_founded_together_join_into_one_module_without_learning(founded):
    """Equal bytes under another id, because it is another site's: registered as a site would ship it."""
    dog = founded.newest().routes[0]
    f = founded.register(ModuleKind.CATEGORY, None, 7, "cat")
    g = founded.register(ModuleKind.TASK, CLASSIFY, 1 + 50, "cat", (f,))  # the seed of dog's
    assert g != dog.task_module
    request_merge(founded.center, site("cat"), f, [g])
    founded.rounds()
    _, cat = founded.newest().routes
    assert (cat.category_module, cat.adapter, cat.task_module) == (f, None, dog.task_module)
    assert not founded.engine.submitted
    with founded.registry.read() as books:
        document = lineage_document(books, "cat", CLASSIFY)
        assert [r.host.category for r in situation_of(books).residents] == ["dog"]
    assert document["approved_by"] == [{"who": "site site-cat", "by": "its own teacher is the route"}]
    assert document["sites"] == ["site-cat", "site-dog"]
    founded.grow("cow", 3)
    assert founded.newest().routes[2].task_module == dog.task_module
    assert damage(founded) == []
