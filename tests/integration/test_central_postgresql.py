"""A center on PostgreSQL: real gRPC, mTLS, files and database server, in this process and as commands."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.artifacts import TINY, sealed
from fakes.real_center import BOTH, FAST, real_center
from fakes.waiting import wait

from transplant.artifact.codec import write_artifact
from transplant.errors import NotFound, RegistryUnavailable
from transplant.rpc.channel import load_kit
from transplant.rpc.client import CentralClient
from transplant.types import MergeState, ModuleKind, Role, Task, Verdict

pytestmark = pytest.mark.postgres

COMMAND = Path(sys.executable).with_name("transplant-central")
ENDED = {MergeState.PUBLISHED, MergeState.REJECTED, MergeState.CANCELLED, MergeState.FAILED}


@pytest.fixture
def url(postgres):
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


def settled(client):
    """Answer every candidate with a good verdict until all merges have ended; return them."""

    def done():
        for key, _ in client.fetch_candidates():
            good = {"error": 5.0, "iou": 90.0}
            client.report_verdict(Verdict(key, good, good, {"error": 50.0, "iou": 0.0}, 9))
        merges = client.list_merges()
        return merges if merges and all(merge.state in ENDED for merge in merges) else None

    return wait(done, 30.0)


def test_a_net_grows_on_postgresql(tmp_path, url):
    with real_center(tmp_path, registry_url=url, founder="dog") as center:
        for category in ("dog", "cat"):
            center.bring(category, tasks=(Task.CLASSIFICATION,))
            merges = settled(center.client(f"site-{category}"))
            assert {merge.state for merge in merges} == {MergeState.PUBLISHED}
        versions = center.client("bob", Role.OPERATOR).list_versions()
        assert [len(version.routes) for version in versions] == [1, 2]
        center.restart()
        assert center.client("bob", Role.OPERATOR).list_versions() == versions
        assert not (tmp_path / "registry.sqlite").exists()


def test_a_site_gets_through_a_restart_of_the_database(tmp_path, url, postgres):
    with real_center(tmp_path, registry_url=url) as center:
        teacher = center.teacher("dog", tasks=(Task.CLASSIFICATION,))
        client = center.client("site-dog", deadline_s=20.0)
        for manifest in teacher.manifests:
            upload_id = client.declare(manifest).upload_id
            postgres.restart()  # every connection of the center's pool is dead now
            client.upload(upload_id, teacher.paths[manifest.module_id])
            client.commit(upload_id, manifest.payload_sha256)
        impatient = center.client("site-dog", deadline_s=0.0)
        postgres.stop()
        try:
            with pytest.raises(RegistryUnavailable, match="does not answer"):
                impatient.list_modules()
        finally:
            postgres.start()
        client.request_merge(teacher.f.module_id, [g.module_id for g in teacher.g.values()])
        assert {merge.state for merge in settled(client)} == {MergeState.PUBLISHED}


def test_callers_may_say_anything(tmp_path, url):
    with real_center(tmp_path, registry_url=url) as center:
        client = center.client("site-dog")
        for unknown in ("nul \x00 inside", "x" * 5000, "'; DROP TABLE sites; --"):
            assert client.list_modules(unknown) == []
            for ask in (
                client.upload_status,
                client.get_manifest,
                lambda each: client.commit(each, "0" * 64),
            ):
                with pytest.raises(NotFound):
                    ask(unknown)
        for number in (7, 2**31, 2**64 - 1):
            with pytest.raises(NotFound):
                client.get_version(number)


# --- as commands ---------------------------------------------------------------------------------


def command(*arguments) -> str:
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Served:
    """`transplant-central serve` as a process."""

    def __init__(self, home: Path, url: str) -> None:
        self._home = home
        names = ("steps", "synthetic_images", "minimum_agreement", "checkpoint_every", "runner")
        flags = [f"--{name.replace('_', '-')}={FAST[name]}" for name in names]
        place = ["--home", home, "--listen", "127.0.0.1:0", "--registry-url", url]
        (home / "serve.json").unlink(missing_ok=True)
        with (home / "log").open("ab") as log:
            self.process = subprocess.Popen([COMMAND, "serve", *place, *flags], stderr=log)
        wait(lambda: self.process.poll() is not None or (home / "serve.json").is_file(), 60.0)
        assert self.process.poll() is None, (home / "log").read_text()
        self.address = json.loads((home / "serve.json").read_text())["address"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) in {0, -signal.SIGKILL}

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)


def push(client, folder):
    """Push a tiny teacher as a site does and ask for its merges."""
    own = {"site": "north", "category": "dog"}
    f, payload = sealed(architecture=TINY, **own)
    parts = [(f, payload)]
    parts += [
        sealed(ModuleKind.TASK, task, TINY, seed=5, parents=(f.module_id,), **own)
        for task in (Task.CLASSIFICATION, Task.SEGMENTATION)
    ]
    for manifest, payload in parts:
        declared = client.declare(manifest)
        client.upload(declared.upload_id, write_artifact(folder, manifest, payload))
        client.commit(declared.upload_id, manifest.payload_sha256)
    client.request_merge(f.module_id, [manifest.module_id for manifest, _ in parts[1:]])


@pytest.mark.slow
def test_the_commands_work_on_postgresql(tmp_path, url):
    home, kit = tmp_path / "home", tmp_path / "kit"
    place = ("--home", str(home), "--registry-url", url)
    assert "made a CA" in command("provision", "ca", *place, "--host", "127.0.0.1")
    site = ("north", "--category", "dog", "--center", "127.0.0.1:7443", "--out", str(kit))
    command("provision", "site", *place, *site)
    with Served(home, url) as served, CentralClient(load_kit(kit), served.address) as client:
        push(client, tmp_path / "outbox")
        served.kill()
    with Served(home, url) as served, CentralClient(load_kit(kit), served.address) as client:
        assert {merge.task for merge in settled(client)} == set(BOTH)
        status = json.loads(command("status", *place, "--json"))
    assert (status["version"], status["modules"]) == (1, 3)
    assert [site["site"] for site in status["sites"]] == ["north"]
    shown = json.loads(command("net", "show", *place, "--json"))
    assert [route["task"] for route in shown["routes"]] == ["classification", "segmentation"]
    assert "revoked 1" in command("provision", "revoke", "site", "north", *place)
    assert not (home / "registry.sqlite").exists()
