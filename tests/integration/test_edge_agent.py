"""The agent from an empty disk to a report, beside a center that founds, asks and publishes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from threading import Event

import pytest
from fakes.memory_center import MemoryCenter
from fakes.tiny_data import write_folder

from edge.agent import run_agent
from edge.cli import run
from edge.settings import EdgeSettings
from edge.site import Site
from transplant.artifact.codec import read_manifest
from transplant.artifact.net_document import net_digest
from transplant.errors import NotAllowed
from transplant.types import MergeState, ModuleKind, NetVersion


class KilledError(BaseException):
    """Stands for kill -9."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("data") / "own", count=40)


@pytest.fixture
def center(tmp_path):
    return MemoryCenter(tmp_path / "center")


def _site(tmp_path, pictures, category, **more):
    flags = {"home": tmp_path / category, "site": f"site-{category}", "category": category, "epochs": 1}
    flags |= {"data": f"folder:{pictures}", "image_px": 32, "batch_size": 8, "learning_rate": 0.01}
    return Site(EdgeSettings.of(flags | {"poll_interval_s": 0.01} | more))


def _report(site):
    return json.loads(site.home.report.read_text())


def test_founder_and_follower_end_with_reports(tmp_path, pictures, center):
    for category in ("circle", "square"):
        site = _site(tmp_path, pictures, category)
        run_agent(site, center, until_published=True)
        report = _report(site)
        assert [route["state"] for route in report["routes"]] == ["published"] * 2
        assert all(route["transplanted"] for route in report["routes"])
        assert report["bytes_shipped"] > 0
        assert report["raw_bytes_kept"] == 40 * (4 * 1024 + 1)
    assert len(center.versions) == 4
    assert len(center.verdicts) == 2
    assert center.retried == 0  # an agent only asks; to try again somebody has to want it
    settled = len(center.calls)
    run_agent(site, center, until_published=True)  # started again: nothing is shipped or asked anew
    assert {"declare", "upload", "commit", "download", "report_verdict"}.isdisjoint(center.calls[settled:])


def test_a_site_whose_routes_were_taken_out_of_the_net_does_not_wait_for_them(tmp_path, pictures, center):
    run_agent(_site(tmp_path, pictures, "circle"), center, until_published=True)
    site = _site(tmp_path, pictures, "square")
    run_agent(site, center, until_published=True)
    newest = center.versions[-1]
    kept = tuple(route for route in newest.routes if route.category == "circle")
    center.versions.append(NetVersion(newest.number + 1, net_digest(newest), kept))
    run_agent(site, center, until_published=True)
    assert all(route["transplanted"] == {} for route in _report(site)["routes"])


def test_a_follower_keeps_its_task_modules_at_home(tmp_path, pictures, center):
    run_agent(_site(tmp_path, pictures, "circle"), center, until_published=True)
    before = center.registered()
    site = _site(tmp_path, pictures, "square", ship="outputs")
    run_agent(site, center, until_published=True)
    assert [route["state"] for route in _report(site)["routes"]] == ["published"] * 2
    brought = [read_manifest(center.directory / f"{each}.json") for each in center.registered() - before]
    own = [manifest.kind for manifest in brought if manifest.site == "site-square"]
    assert sorted(own) == [ModuleKind.ANSWERS, ModuleKind.ANSWERS, ModuleKind.CATEGORY]
    assert len(center.requested) == 3  # two answers, no statistics
    settled = len(center.calls)
    run_agent(site, center, until_published=True)
    assert {"list_probe_requests", "upload", "commit"}.isdisjoint(center.calls[settled:])


def test_killed_while_it_answers_it_ends_with_the_same_answers(tmp_path, pictures, center):
    run_agent(_site(tmp_path, pictures, "circle"), center, until_published=True)
    undisturbed = MemoryCenter(tmp_path / "undisturbed")
    run_agent(_site(tmp_path / "u", pictures, "circle"), undisturbed, until_published=True)
    run_agent(_site(tmp_path / "u", pictures, "square", ship="outputs"), undisturbed, until_published=True)
    site = _site(tmp_path, pictures, "square", ship="outputs")
    for call in ("list_probe_requests", "declare", "commit", "request_merge"):

        def kill(made, call=call):
            if made == call:
                raise KilledError

        center.before = kill
        with pytest.raises(KilledError):
            run_agent(site, center, until_published=True)
    center.before = lambda _call: None
    run_agent(site, center, until_published=True)
    assert center.registered() == undisturbed.registered()


def test_a_refused_route_ends_the_agent_with_its_state(tmp_path, pictures, center):
    run_agent(_site(tmp_path, pictures, "circle"), center, until_published=True)
    center.publishes = False
    site = _site(tmp_path, pictures, "square")
    run_agent(site, center, until_published=True)
    report = _report(site)
    assert [route["state"] for route in report["routes"]] == [MergeState.REJECTED.value] * 2
    assert all(route["transplanted"] == {} for route in report["routes"])
    flags = ["--home", str(site.home.root), "--data", f"folder:{pictures}", "--category", "square"]
    flags += ["--image-px", "32", "--epochs", "1", "--batch-size", "8", "--learning-rate", "0.01"]
    assert run(["evaluate", *flags, "--site", "site-square"]) == 0
    assert _report(site) == report  # measuring again forgets nothing


def test_a_center_that_comes_and_goes_is_waited_for(tmp_path, pictures, center):
    center.unreachable(5)
    run_agent(_site(tmp_path, pictures, "circle"), center, until_published=True)
    assert len(center.versions) == 2


def test_what_no_waiting_cures_ends_the_agent(tmp_path, pictures, center):
    def refuse(_call):
        raise NotAllowed("this site may not ship circle")

    center.before = refuse
    with pytest.raises(NotAllowed):
        run_agent(_site(tmp_path, pictures, "circle"), center, until_published=True)


def test_an_agent_without_an_end_leaves_when_it_is_told(tmp_path, pictures, center):
    stopped = Event()
    center.before = lambda _call: stopped.set() if len(center.versions) == 2 else None
    run_agent(_site(tmp_path, pictures, "circle"), center, until_published=False, stopped=stopped)
    assert len(center.versions) == 2


def test_killed_at_every_call_it_ends_with_the_same_modules(tmp_path, pictures, center):
    undisturbed = MemoryCenter(tmp_path / "undisturbed")
    for category in ("circle", "square"):
        run_agent(_site(tmp_path / "u", pictures, category), undisturbed, until_published=True)
        kills = 0
        while True:
            start, armed = len(center.calls), kills

            def kill(_call, start=start, armed=armed):
                if len(center.calls) - start > armed:
                    raise KilledError

            center.before = kill
            try:
                run_agent(_site(tmp_path / "k", pictures, category), center, until_published=True)
                break
            except KilledError:
                kills += 1
        assert kills > 0
        center.before = lambda _call: None
    assert center.registered() == undisturbed.registered()
    assert center.versions == undisturbed.versions
    assert len(center.verdicts) == len(undisturbed.verdicts)


@pytest.mark.slow
def test_kill_9_in_the_middle_of_training_changes_nothing(tmp_path):
    """A real process, really killed, ends with the checkpoint of one that was left alone."""
    pictures = write_folder(tmp_path / "own", count=200)
    options = ["--data", f"folder:{pictures}", "--category", "square", "--image-px", "32", "--epochs", "4"]
    options += ["--batch-size", "8", "--learning-rate", "0.01", "--threads", "1"]

    def command(home):
        return [sys.executable, "-m", "edge.cli", "train", "--home", str(tmp_path / home), *options]

    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRANSPLANT_")}
    subprocess.run(command("calm"), check=True, env=environment, capture_output=True)
    victim = subprocess.Popen(command("killed"), env=environment, stderr=subprocess.PIPE, text=True)
    assert victim.stderr is not None
    for line in victim.stderr:
        if "epoch 2/4" in line:
            break
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert victim.returncode == -signal.SIGKILL
    done = subprocess.run(command("killed"), check=True, env=environment, capture_output=True, text=True)
    assert "going on after epoch" in done.stderr
    calm, killed = (
        json.loads((tmp_path / home / "teacher" / "checkpoint.json").read_text())
        for home in ("calm", "killed")
    )
    assert calm == killed
