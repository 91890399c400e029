"""Refinement for real: a SuperLink and three SuperNodes as processes, TLS, keys of sites' certificates."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from fakes.center_home import provision_sites
from fakes.tiny_data import write_folder
from fakes.turned_center import World, site
from fakes.waiting import wait

from central.identity.provision import revoke_certificates
from central.refine.federated_run import Rounds, RunState
from central.refine.refinement import Refined, refine_category
from central.usecases import propose_refined
from central.usecases.propose_refined import refinable_route
from central.usecases.read_merges import fetch_candidates
from central.usecases.report_verdict import report_verdict
from edge.refine_node import RefineNode, supernode
from edge.settings import EdgeSettings
from edge.site import Site
from transplant.artifact.codec import write_artifact
from transplant.artifact.manifest import parse_manifest
from transplant.backends.flower_programs import free_port
from transplant.backends.system_clock import SystemClock
from transplant.refinement.refinement_config import RefinementConfig
from transplant.types import Role, Task, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from transplant.backends.flower_programs import TiedProcess

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(600)]

NAMES = ("site-cat", "site-second", "site-third")
CLASSIFY = Task.CLASSIFICATION


def grown(home: Path) -> World:
    """Return a center with certificates and a net of two categories; three sites hold the second one."""
    world = World(home)
    with world.registry.write() as books:
        books.sites.admit("site-dog", ("dog",), world.clock.now())
    provision_sites(home, world.registry, NAMES, "cat")
    world.grow("dog", 1)
    world.grow("cat", 2)
    return world


def sites(world: World, folder: Path, link: str = "127.0.0.1:1") -> list[Site]:
    """Return three sites with pictures, a trained teacher and the modules of the route."""
    data = write_folder(folder / "pictures")
    made: list[Site] = []
    for name in NAMES:
        home = folder / name
        if made:
            shutil.copytree(made[0].home.root, home)
        flags = {"home": home, "kit": world.home / "kits" / name, "category": "cat", "data": f"folder:{data}"}
        own = {"refine": link, "epochs": 1, "tasks": "classification", "image_px": 32}
        each = Site(EdgeSettings.of(flags | own))
        each.teach()
        made.append(each)
    pull(world, made)
    return made


def pull(world: World, members: list[Site]) -> None:
    """Lay the modules of the route as it is now at sites, which no center serves here."""
    route = refinable_route(world.center, "cat", CLASSIFY).route
    for module_id in (route.category_module, route.adapter, route.task_module):
        with world.registry.read() as books:
            manifest = parse_manifest(books.modules.get(module_id).manifest)
        payload = world.center.store.path_of(manifest.payload_sha256).read_bytes()
        for each in members:
            write_artifact(each.home.modules, manifest, payload)


def test_two_rounds_of_three_sites_of_which_one_is_killed_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # What the center itself measures costs pictures, and is another test's (test_refine_gates.py).
    monkeypatch.setattr(
        propose_refined, "agreement_with_teacher", lambda _order, _adapter: {"agreement": 80.0}
    )
    world = grown(tmp_path / "home")
    members = sites(world, tmp_path / "sites")
    nodes: list[TiedProcess] = []
    told: list[str] = []

    def join(line: str) -> None:
        told.append(line)
        for each in members:
            node = supernode(each, each.kit, line.rsplit(" ", 1)[-1])
            node.start()
            nodes.append(node)

    def kill_the_third() -> None:
        wait(lambda: len(nodes) == 3 and b"Sent successfully" in nodes[2].log.read_bytes(), 250)
        os.killpg(nodes[2].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_the_third)
    killer.start()
    try:
        refined = refine_category(
            world.center,
            world.settings,
            "cat",
            CLASSIFY,
            RefinementConfig(steps=3, batch=4),
            Rounds(rounds=2, quorum=2, wait_s=250, timeout_s=250, patience=1.0, seed=7),
            "127.0.0.1:0",
            progress=join,
        )
    finally:
        killer.join()
        for node in nodes:
            node.stop()
    first, second = refined.record.rounds
    assert refined.record.state is RunState.DONE
    assert (len(told), set(refined.record.sites) >= {"site-cat", "site-second"}) == (1, True)
    assert "site-third" in first.answered
    assert second.answered == ("site-cat", "site-second")
    assert all(each.figures["labels"] == 0 and not each.refused for each in (first, second))
    for each in members:
        log = (each.home.refine / "node.log").read_text()
        assert "--insecure" not in log
    world.rounds(2)
    ((key, route),) = fetch_candidates(world.center, site("cat"))
    assert key == refined.merge_key
    report_verdict(
        world.center, site("cat"), Verdict(key, {"error": 5.0}, {"error": 4.0}, {"error": 50.0}, 9)
    )
    world.rounds(2)
    assert route in world.newest().routes
    world.registry.close()


def test_nodes_of_agents_come_to_one_run_after_another_and_a_site_that_is_revoked_stays_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        propose_refined, "agreement_with_teacher", lambda _order, _adapter: {"agreement": 80.0}
    )
    world = grown(tmp_path / "home")
    listen = f"127.0.0.1:{free_port()}"
    members = sites(world, tmp_path / "sites", listen)
    log = members[2].home.refine / "node.log"
    ended = threading.Event()

    def live(member: Site) -> None:
        with RefineNode(member) as node:
            while not ended.wait(0.2):
                node.turn()

    def answers() -> int:
        return log.read_bytes().count(b"Sent successfully")

    def run(rounds: int, quorum: int) -> Refined:
        return refine_category(
            world.center,
            world.settings,
            "cat",
            CLASSIFY,
            RefinementConfig(steps=3, batch=4),
            Rounds(rounds=rounds, quorum=quorum, sites_a_round=3, wait_s=250, timeout_s=250, seed=7),
            listen,
        )

    def judge(key: str) -> None:
        world.rounds(2)
        figures = {"error": 5.0}, {"error": 4.0}, {"error": 50.0}
        report_verdict(world.center, site("cat"), Verdict(key, *figures, 9))
        world.rounds(2)

    def revoke_the_third_once_it_answered(before: int) -> None:
        wait(lambda: answers() > before, 500)
        revoke_certificates(world.registry, SystemClock(), Role.SITE, "site-third", None)

    agents = [threading.Thread(target=live, args=(member,)) for member in members]
    for agent in agents:
        agent.start()
    try:
        first = run(rounds=1, quorum=3)
        judge(first.merge_key)
        pull(world, members)
        revoker = threading.Thread(target=revoke_the_third_once_it_answered, args=(answers(),), daemon=True)
        revoker.start()
        second = run(rounds=3, quorum=2)
        revoker.join()
    finally:
        ended.set()
        for agent in agents:
            agent.join()
    assert first.record.sites == NAMES
    assert second.record.state is RunState.DONE
    assert "site-third" not in second.record.rounds[-1].answered
    assert set(second.record.rounds[-1].asked) == {"site-cat", "site-second"}
    judge(second.merge_key)
    (route,) = [each for each in world.newest().routes if each.category == "cat"]
    assert route.merge_key == second.merge_key
    world.registry.close()
