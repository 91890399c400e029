"""What tests ask of a net that grew: its routes, events, versions, and whether anything is damaged."""

from __future__ import annotations

from central.fsck.inspect_center import inspect_center
from central.merge.plan import plan
from central.merge.situation import PlanPolicy
from central.usecases.module_shelf import ModuleShelf
from central.usecases.read_merges import fetch_candidates
from central.usecases.report_verdict import report_verdict
from central.usecases.situation import situation_of
from fakes.turned_center import site
from transplant.artifact.digest import sha256_file
from transplant.types import Verdict


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


def plan_of(books):
    return plan(situation_of(books), PlanPolicy())
