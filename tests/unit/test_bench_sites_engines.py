"""Rounds count what travels, whatever carries it, and both engines lead to the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from benchmarks.sites.engine import AT_HOME, SiteReply, Traffic, for_site
from benchmarks.sites.federation import LocalData
from benchmarks.sites.in_process import InProcess
from benchmarks.sites.patience import ASKED_AT_MOST, ask_until_all
from benchmarks.sites.peers.local_training import train_locally
from benchmarks.sites.references_site import send_pictures
from benchmarks.sites.run_kept import Kept
from benchmarks.sites.run_rounds import Rounds
from benchmarks.sites.run_works import WORKS, Done, Told, name_of, work_of
from benchmarks.sites.scenarios_attendance import Attendance, Presence
from benchmarks.sites.transplanting_site import train_teachers
from transplant.errors import CheckpointInvalid, InvalidSettings, UnknownArchitecture

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FOUR_BYTES, EIGHT_BYTES = torch.zeros(1), torch.zeros(2)


class Post:
    """A carrier that remembers what it took where, and answers with eight bytes."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[int, Told]]] = []

    def carry(self, work: str, told: Mapping[int, Told]) -> dict[int, Done]:
        self.taken.append((work, dict(told)))
        return {site: Done(SiteReply({"back": EIGHT_BYTES}, {"site": float(site)}), 0.5) for site in told}


def test_bytes_rounds_and_seconds_are_counted_each_way():
    engine = Rounds(Post())
    replies = engine.ask(send_pictures, [2, 0, 1], {"w": FOUR_BYTES}, {"seed": 7})
    assert list(replies) == [2, 0, 1]
    assert engine.traffic == Traffic(bytes_up=24, bytes_down=12, rounds=1)
    assert engine.site_seconds == 1.5


def test_what_is_for_one_site_reaches_that_site_alone_and_what_it_has_does_not_count():
    post = Post()
    engine = Rounds(post)
    sent = {"all": FOUR_BYTES, for_site(1, "mine"): EIGHT_BYTES, for_site(1, f"{AT_HOME}had"): EIGHT_BYTES}
    engine.ask(send_pictures, [0, 1, 11], sent, {})
    told = post.taken[0][1]
    assert {site: sorted(each.tensors) for site, each in told.items()} == {
        0: ["all"], 1: ["all", f"{AT_HOME}had", "mine"], 11: ["all"],
    }  # fmt: skip
    assert told[0].tensors is told[11].tensors, "what is the same is there once"
    assert engine.traffic.bytes_down == 3 * 4 + 8


def test_seeds_differ_by_site_and_round_and_are_the_same_next_time():
    seeds: list[list[object]] = []
    for _ in range(2):
        post = Post()
        engine = Rounds(post)
        for _ in range(2):
            engine.ask(send_pictures, [0, 1], {}, {"seed": 3})
        seeds.append([each.settings["seed"] for _, told in post.taken for each in told.values()])
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 4


def test_who_is_away_gets_nothing_and_who_is_too_late_was_sent_it_for_nothing():
    attendance = Attendance(seed=2, dropout=0.3, stragglers=0.7)
    presence = {site: attendance.presence(site, 1) for site in range(30)}
    kinds = {kind: [site for site, each in presence.items() if each is kind] for kind in Presence}
    assert all(kinds.values())
    post = Post()
    engine = Rounds(post, attendance)
    replies = engine.ask(send_pictures, range(30), {"w": FOUR_BYTES}, {})
    assert list(replies) == kinds[Presence.HERE] == list(post.taken[0][1])
    here, late = len(kinds[Presence.HERE]), len(kinds[Presence.TOO_LATE])
    assert engine.traffic == Traffic(bytes_up=8 * here, bytes_down=4 * (here + late), rounds=1)


def test_one_shot_waits_for_late_joiners_and_a_round_in_vain_carries_nothing():
    engine = Rounds(Post(), Attendance(late=1.0, late_until=8))
    replies = ask_until_all(engine, send_pictures, [0, 1], {"w": FOUR_BYTES}, {})
    assert list(replies) == [0, 1]
    assert engine.traffic == Traffic(bytes_up=16, bytes_down=8, rounds=8)
    assert engine.heard == {0, 1}
    ask_until_all(engine, send_pictures, [0, 1], {}, {})
    assert engine.traffic.rounds == 9, "who is there is asked once"


def test_one_shot_gives_up_on_who_never_comes():
    engine = Rounds(Post(), Attendance(dropout=0.999))
    assert ask_until_all(engine, send_pictures, [0, 1], {}, {}) == {}
    assert (engine.traffic.rounds, engine.heard) == (ASKED_AT_MOST, frozenset())


def test_only_what_stands_in_the_table_is_run():
    for name in WORKS:
        assert name_of(work_of(name)) == name
    with pytest.raises(InvalidSettings, match="no work"):
        work_of("os:system")

    def stranger(data, sent, settings):
        raise AssertionError((data, sent, settings))

    with pytest.raises(InvalidSettings, match="WORKS"):
        Rounds(Post()).ask(stranger, [0], {}, {})


def _pictures(count: int = 40) -> LocalData:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return LocalData(images, torch.arange(count) % 2, (0, 1))


def test_a_site_in_this_process_gets_copies_and_its_error_ends_the_round():
    data, seen = _pictures(), list[tuple[int, int]]()
    carrier = InProcess([data], told=lambda done, of: seen.append((done, of)))
    reply = Rounds(carrier).ask(send_pictures, [0], {}, {})[0]
    assert torch.equal(reply.tensors["images"], data.images)
    assert reply.tensors["images"].data_ptr() != data.images.data_ptr()
    assert seen == [(1, 1)]
    settings = {"arch": "resnet", "epochs": 1, "run_seed": 0}
    settings |= {"batch_size": 8, "learning_rate": 0.01, "precision": "float32"}
    with pytest.raises(UnknownArchitecture, match="resnet"):
        Rounds(carrier).ask(train_teachers, [0], {}, settings)


def test_teachers_are_kept_for_the_next_method_and_damage_is_named(tmp_path: Path):
    post = Post()
    kept = Kept(post, tmp_path / "kept", "federation")
    first, second = Rounds(kept), Rounds(kept)
    for engine in (first, second):
        replies = engine.ask(train_teachers, [0, 1], {}, {"run_seed": 1})
        assert replies[1].figures == {"site": 1.0}
        assert torch.equal(replies[1].tensors["back"], EIGHT_BYTES)
    assert len(post.taken) == 1
    assert second.traffic == first.traffic, "spared work counts as work"
    assert second.site_seconds == first.site_seconds

    Rounds(kept).ask(train_teachers, [0, 2], {}, {"run_seed": 1})
    assert list(post.taken[1][1]) == [2]
    Rounds(kept).ask(train_teachers, [0], {}, {"run_seed": 2})
    Rounds(Kept(post, tmp_path / "kept", "another")).ask(train_teachers, [0], {}, {"run_seed": 1})
    Rounds(kept).ask(train_locally, [0], {}, {"run_seed": 1})
    Rounds(kept).ask(train_locally, [0], {}, {"run_seed": 1})
    assert len(post.taken) == 6, "a work that reads the round's seed is never kept"

    for path in (tmp_path / "kept").glob("*.safetensors"):
        path.write_bytes(b"half of it")
    with pytest.raises(CheckpointInvalid, match="delete it"):
        Rounds(kept).ask(train_teachers, [0], {}, {"run_seed": 1})


CONTENDED = """
import sys
from dataclasses import replace
from pathlib import Path
import pytest, torch
from benchmarks.sites.contender import Training
from benchmarks.sites.in_process import InProcess
from benchmarks.sites.run_rounds import Rounds
from benchmarks.sites.scenarios import Scenario, ScenarioFlags, federation_of
from benchmarks.sites.transplanting import Transplant
from benchmarks.sites.transplanting_site import train_teachers
from transplant.errors import UnknownArchitecture

torch.set_num_threads(1)
flags = ScenarioFlags(Scenario.ONE_CATEGORY, "scenes", sites=2, seed=0, images=20, test=4)
training = Training(local_epochs=1, center_steps=2, batch_size=8, rounds=1)
seen = []

def body(carrier):
    engine = Rounds(carrier)
    if federation.seed:
        engine.ask(train_teachers, [0, 1], {}, wrong | {"arch": "vgg_small"})
        return "", {}, engine.traffic, ""
    outcome = Transplant(refine=True, labels=4)(federation, training, engine, lambda line: None)
    with pytest.raises(UnknownArchitecture) as told:
        Rounds(carrier).ask(train_teachers, [1], {}, wrong)
    return outcome.scores.numpy().tobytes().hex(), dict(outcome.figures), engine.traffic, str(told.value)

wrong = {"arch": "resnet", "epochs": 1, "run_seed": 0, "batch_size": 8, "learning_rate": 0.01}
wrong |= {"precision": "float32"}
for seed in (0, 1):  # Flower shuts Ray down behind each
    federation = federation_of(replace(flags, seed=seed), None)
    if sys.argv[1] == "flower":
        from benchmarks.sites.flower_engine import simulated

        folder = Path(sys.argv[2]) / str(seed)
        found = simulated(federation.sites, folder, body, workers=2, threads=1, timeout_s=100,
                          told=lambda done, of: seen.append((done, of)))
    else:
        found = body(InProcess(federation.sites, told=lambda done, of: seen.append((done, of))))
    print(found[:3])
    print(seen[-2:])
    print(found[3].rpartition("site 1: ")[1:])
"""
"""Printed by a process of its own: Ray takes over the settings of whoever imports it."""


def _contended(engine: str, folder: Path) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", CONTENDED, engine, str(folder)],
        env=environment, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)  # two simulations, each with a Ray of its own
def test_flower_leads_to_the_bytes_of_this_process_and_tells_a_sites_error(tmp_path: Path):
    ours, theirs = _contended("local", tmp_path), _contended("flower", tmp_path)
    assert theirs[:2] == ours[:2]
    assert "bytes_up=" in ours[0]
    assert ours[1] == "[(1, 1), (1, 1)]", "the gate of a refinement, and the site that fails"
    assert ours[2].startswith("('', \"architecture 'resnet'")
    assert theirs[2].startswith("('site 1: ', \"architecture 'resnet'")
    assert theirs[3:] == ours[3:], "the next federation of the same process"
    assert ours[4] == "[(1, 2), (2, 2)]"
