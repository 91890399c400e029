"""A net that grows, loses routes and gets them back: real registry and store, the loop turned by hand."""

from __future__ import annotations

import pytest
from fakes.grown_center import good_verdict
from fakes.turned_center import World, accept, site
from sqlalchemy import update

from central.fsck.inspect_center import inspect_center
from central.merge.plan import plan
from central.merge.situation import Ending, PlanPolicy, Standing
from central.net.lineage import lineage_document
from central.net.plan_report import plan_document, plan_tables
from central.registry.audit_book import Action
from central.registry.tables import ProbeDigestRow
from central.report import status_document, status_tables
from central.usecases.change_net import retire_routes, roll_back
from central.usecases.decide_claim import claims_of, decide_claim, left_behind
from central.usecases.module_shelf import ModuleShelf
from central.usecases.plan_merges import plan_merges
from central.usecases.read_catalog import get_manifest
from central.usecases.read_merges import fetch_candidates
from central.usecases.report_verdict import report_verdict
from central.usecases.request_merge import request_merge
from central.usecases.situation import situation_of
from transplant.artifact.digest import sha256_file
from transplant.artifact.net_document import net_digest, net_document
from transplant.errors import ForgettingDetected, MergeNotPossible, NotFound, SignatureInvalid
from transplant.types import Identity, MergeState, ModuleKind, Role, Task, Verdict

CLASSIFY, SEGMENT = Task.CLASSIFICATION, Task.SEGMENTATION


def refuse(world, category):
    """Let the site say that every candidate is as bad as the floor."""
    floor = {"error": 50.0, "iou": 0.0}
    for key, _ in fetch_candidates(world.center, site(category)):
        verdict = Verdict(key, {"error": 5.0, "iou": 90.0}, floor, floor, 9)
        report_verdict(world.center, site(category), verdict)


def routes(world):
    return [(route.category, route.task) for route in world.newest().routes]


def events(world):
    with world.registry.read() as books:
        return [(event.kind, event.category) for event in books.events.after(0)]


def actions(world):
    with world.registry.read() as books:
        books.audit.verify()
        return [entry.action for entry in books.audit.last(1000)]


def versions(world):
    with world.registry.read() as books:
        return books.versions.after(0)


def test_everything_that_was_ever_published_is_rebuilt_byte_for_byte(world):
    """Founding, growth, a newer teacher, a retired category, two rollbacks: seven versions, as they were."""
    told, seen = [], set()

    def note():
        for version in versions(world):
            if version.number not in seen:
                seen.add(version.number)
                told.append((net_document(version), {m: payload(world, m) for m in version.module_ids()}))

    world.bring("dog", 1)
    world.rounds()
    note()
    world.grow("cat", 2)
    note()
    old = world.newest().routes[1]
    world.grow("cat", 3)  # the site trained a newer teacher
    note()
    assert routes(world) == [("dog", CLASSIFY), ("cat", CLASSIFY)]
    new = world.newest().routes[1]
    assert (new.category_module != old.category_module, new.task_module) == (True, old.task_module)
    assert [len(proof_of(world, number)) for number in (2, 3)] == [3, 3]  # two modules and a route are kept
    retire_routes(world.center, "cat")
    note()
    assert routes(world) == [("dog", CLASSIFY)]
    world.rounds()
    assert routes(world) == [("dog", CLASSIFY)]  # and stays away
    assert roll_back(world.center, 2).routes == versions(world)[1].routes
    note()
    assert roll_back(world.center, 3).routes == versions(world)[2].routes
    note()
    world.grow("cow", 4)
    note()
    assert [version.number for version in versions(world)] == [1, 2, 3, 4, 5, 6, 7]
    assert routes(world) == [("dog", CLASSIFY), ("cat", CLASSIFY), ("cow", CLASSIFY)]
    world.revive()  # nothing of it was remembered by the process alone
    for number, (document, payloads) in enumerate(told, start=1):
        with world.registry.read() as books:
            version = books.versions.get(number)
        assert net_document(version) == document
        assert {m: payload(world, m) for m in version.module_ids()} == payloads
    chain = versions(world)
    assert [v.parent_digest for v in chain[1:]] == [net_digest(v) for v in chain[:-1]]
    kinds = [kind for kind, _ in events(world)]
    assert kinds.count("VersionPublished") == 7
    assert ("RouteReplaced", "cat") in events(world)
    assert ("RouteRetired", "cat") in events(world)
    assert ("RouteReturned", "cat") in events(world)
    assert {Action.ROUTES_RETIRED, Action.VERSION_ROLLED_BACK} <= set(actions(world))
    assert damage(world) == []


def damage(world):
    """Return what fsck finds beside that these modules came without a network."""
    findings = inspect_center(world.settings).findings
    unsent = {"module-event", "module-site-missing", "module-verdict"}
    return [finding for finding in findings if finding.is_damage and finding.kind not in unsent]


def payload(world, module_id):
    with world.registry.read() as books:
        return sha256_file(ModuleShelf.of(world.center, books, [module_id]).path(module_id))


def proof_of(world, number):
    with world.registry.read() as books:
        return books.versions.proof(number)


def test_what_cannot_be_taken_away_or_brought_back_is_said(founded):
    with pytest.raises(MergeNotPossible, match="last routes"):
        retire_routes(founded.center, "dog")
    with pytest.raises(NotFound, match="no route of cat"):
        retire_routes(founded.center, "cat")
    with pytest.raises(NotFound, match="dog/segmentation"):
        retire_routes(founded.center, "dog", SEGMENT)
    with pytest.raises(MergeNotPossible, match="already"):
        roll_back(founded.center, 1)
    with pytest.raises(NotFound):
        roll_back(founded.center, 9)
    assert founded.newest().number == 1


def test_one_task_of_a_category_may_be_retired(world):
    world.bring("dog", 1, (CLASSIFY, SEGMENT))
    world.rounds()
    world.grow("cat", 2, (CLASSIFY, SEGMENT))
    retire_routes(world.center, "cat", SEGMENT)
    assert routes(world) == [("dog", CLASSIFY), ("dog", SEGMENT), ("cat", CLASSIFY)]


def test_one_route_comes_back_and_everything_else_stays(world):
    world.bring("dog", 1, (CLASSIFY, SEGMENT))
    world.rounds()
    world.grow("cat", 2, (CLASSIFY, SEGMENT))
    number = world.newest().number
    was = world.newest()
    retire_routes(world.center, "cat")  # by mistake
    world.grow("cow", 3)
    came = roll_back(world.center, number, "cat", SEGMENT)
    assert routes(world) == [("dog", CLASSIFY), ("dog", SEGMENT), ("cat", SEGMENT), ("cow", CLASSIFY)]
    assert came.routes[2] in was.routes
    roll_back(world.center, number, "cat")
    assert routes(world) == [
        *[("dog", CLASSIFY), ("dog", SEGMENT), ("cat", CLASSIFY), ("cat", SEGMENT), ("cow", CLASSIFY)]
    ]
    with pytest.raises(MergeNotPossible, match="has the routes of cat of version"):
        roll_back(world.center, number, "cat")
    with pytest.raises(NotFound, match="has no route of cow"):
        roll_back(world.center, number, "cow")
    with pytest.raises(MergeNotPossible, match="name the category"):
        roll_back(world.center, number, None, SEGMENT)
    assert damage(world) == []


def test_after_a_claim_back_the_earlier_routes_are_named_and_come_back(founded):
    founded.grow("cat", 2)
    first = founded.newest().routes[1]
    founded.bring("cat", 3, owner="cow")
    with founded.registry.read() as books:
        assert left_behind(books, "cat", "site-cat") == 0
    decide_claim(founded.center, "cat", "site-cow")
    while founded.newest().routes[1] == first:
        founded.rounds(2)
        founded.engine.finish()
        founded.rounds(2)
        accept(founded, "cow")
    assert decide_claim(founded.center, "cat", "site-cat") == 0
    with founded.registry.read() as books:
        number = left_behind(books, "cat", "site-cat")
    assert number == 2
    assert roll_back(founded.center, number, "cat").routes[1] == first
    founded.rounds()
    assert founded.newest().routes[1] == first  # and stays
    with founded.registry.read() as books:
        assert left_behind(books, "cat", "site-cat") == 0
        assert left_behind(books, "cat", "site-cow") == 3


def test_a_route_that_rotted_does_not_come_back(founded):
    founded.grow("cat", 2)
    adapter = founded.newest().routes[1].adapter
    retire_routes(founded.center, "cat")
    with founded.registry.read() as books:
        path = ModuleShelf.of(founded.center, books, [adapter]).path(adapter)
        key = books.versions.get(2).routes[1].merge_key
    with founded.registry.write() as books:
        changed = update(ProbeDigestRow).where(ProbeDigestRow.merge_key == key).values(logits_sha256="0" * 64)
        books.session.execute(changed)
    with pytest.raises(ForgettingDetected, match="otherwise than when it was published"):
        roll_back(founded.center, 2)
    assert path.is_file()
    assert founded.newest().number == 3


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


def plan_of(books):
    return plan(situation_of(books), PlanPolicy())


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


def test_what_was_published_once_stays_readable(founded):
    founded.grow("cat", 2)
    adapter = founded.newest().routes[1].adapter
    retire_routes(founded.center, "cat")
    reader = Identity(Role.READER, "ann")
    assert get_manifest(founded.center, reader, adapter).module_id == adapter


def test_planning_once_more_adds_nothing_whatever_happened(founded):
    founded.grow("cat", 2)
    retire_routes(founded.center, "cat")
    with founded.registry.write() as books:
        assert plan_merges(founded.center, books) == 0
