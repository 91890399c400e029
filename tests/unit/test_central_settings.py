"""Settings and the command line: every mistake at once, in plain words."""

from __future__ import annotations

import json
import sys

import pytest

from central import cli
from central.home import is_serving, only_serve
from central.net.served_settings import served_settings
from central.settings import CentralSettings, read_settings
from central.usecases.center import ProbePolicy
from transplant.errors import InvalidSettings
from transplant.nets.learner_config import LearnerConfig
from transplant.types import Task


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in CentralSettings.model_fields:
        monkeypatch.delenv(f"TRANSPLANT_CENTRAL_{name.upper()}", raising=False)


def test_flags_win_over_the_environment_over_defaults(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSPLANT_CENTRAL_STEPS", "11")
    monkeypatch.setenv("TRANSPLANT_CENTRAL_LAYERS", "2")
    settings = read_settings({"home": tmp_path, "steps": 7, "founder": None})
    learner = json.loads(settings.policy().plan.learner)
    assert (learner["steps"], learner["layers"], learner["kernel"]) == (7, 2, LearnerConfig().kernel)
    assert "seed" not in learner
    assert LearnerConfig.from_dict(learner).steps == 7


def test_what_nobody_chose_is_left_to_the_image_size_of_each_merge(tmp_path):
    settings = read_settings({"home": tmp_path, "synthetic_images": 50})
    learner = json.loads(settings.policy().plan.learner)
    assert learner["synthetic_images"] == 50
    assert not {"steps", "batch", "held_out_images", "seed"} & learner.keys()
    document = json.loads(settings.document())
    assert (document["steps"], document["batch"], document["synthetic_images"]) == (None, None, 50)
    assert LearnerConfig.from_dict(learner) == LearnerConfig(synthetic_images=50)


def test_every_mistake_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSPLANT_CENTRAL_STEPPS", "1")
    flags = {
        "home": tmp_path,
        "workers": 0,
        "kernel": 2,
        "listen": "nowhere",
        "method": "magic",
        "founder": "A B",
        "probe_count": 9000,
    }
    with pytest.raises(InvalidSettings) as caught:
        read_settings(flags)
    for name in (
        "TRANSPLANT_CENTRAL_STEPPS",
        "workers",
        "kernel",
        "listen",
        "method",
        "founder",
        "probe_count",
    ):
        assert name in str(caught.value)


def test_the_settings_say_what_is_asked_of_a_site(tmp_path):
    flags = {"probe_pool": 500, "probe_count": 200, "probe_grid": 8, "probe_more": 2, "drawings": 0.9}
    assert read_settings({"home": tmp_path} | flags).policy().probe == ProbePolicy(500, 200, 8, 90, 2)
    assert read_settings({"home": tmp_path}).policy().probe == ProbePolicy()


@pytest.mark.parametrize(
    ("task", "image_px", "asked"),
    [
        (Task.CLASSIFICATION, 32, (1600, 480)),  # 16 times the pool, 8 times the count
        (Task.CLASSIFICATION, 64, (900, 480)),  # 9 images of 64 px are computed like one of 224
        (Task.CLASSIFICATION, 96, (400, 400)),  # 4 times the pool; 8 times 60 would be more than it holds
        (Task.CLASSIFICATION, 128, (100, 60)),
        (Task.CLASSIFICATION, 224, (100, 60)),
        (Task.CLASSIFICATION, 512, (100, 60)),
        (Task.SEGMENTATION, 32, (100, 60)),
    ],
)
def test_more_is_asked_where_answers_and_images_are_small(task: Task, image_px: int, asked: tuple[int, int]):
    assert ProbePolicy(100, 60).asked(task, image_px) == asked


def test_what_is_asked_stays_within_what_an_answer_may_hold():
    policy = ProbePolicy(1 << 20, 1 << 16, more=16)
    assert policy.asked(Task.CLASSIFICATION, 32) == (1 << 20, 1 << 16)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://center:secret-word@db/transplant",
        "postgresql+psycopg://center@db/transplant?password=secret-word&sslmode=require",
    ],
)
def test_the_saved_settings_hold_no_password(tmp_path, url):
    settings = read_settings({"home": tmp_path, "registry_url": url})
    document = json.loads(settings.document())
    assert "secret-word" not in json.dumps(document)
    assert document["registry_url"].startswith("postgresql+psycopg://center")
    assert "db/transplant" in document["registry_url"]
    assert settings.url == url


def test_one_serve_a_home(tmp_path):
    assert not is_serving(tmp_path)
    with only_serve(tmp_path):
        assert is_serving(tmp_path)
        with pytest.raises(InvalidSettings, match="another"), only_serve(tmp_path):
            pass
    assert not is_serving(tmp_path)


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["transplant-central", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_provision_and_look(tmp_path, monkeypatch, capsys):
    home, kit = tmp_path / "home", tmp_path / "kit"
    code, out, _ = run(monkeypatch, capsys, "provision", "ca", "--home", home, "--host", "localhost")
    assert (code, "made a CA" in out) == (0, True)
    site = ("provision", "site", "north", "--home", home, "--category", "cow", "--category", "sheep")
    code, _, _ = run(monkeypatch, capsys, *site, "--center", "localhost:7443", "--out", kit)
    assert code == 0
    assert (kit / "kit.json").is_file()
    code, out, _ = run(monkeypatch, capsys, "status", "--home", home, "--json")
    document = json.loads(out)
    assert code == 69  # nothing serves this home
    assert (document["serving"], document["version"], document["merges"]) == (None, 0, [])
    assert document["sites"][0]["categories"] == ["cow", "sheep"]
    code, out, _ = run(monkeypatch, capsys, "status", "--home", home)
    assert "north" in out
    code, _, err = run(monkeypatch, capsys, "net", "show", "--home", home)
    assert (code, err) == (68, "error: NotFound: the net has not been founded yet\n")
    code, out, _ = run(monkeypatch, capsys, "provision", "revoke", "site", "north", "--home", home)
    assert (code, "revoked 1" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("serve", "--workers", "0"), 64, "workers"),
        (("serve",), 78, "provision ca"),
        (("status",), 64, "there is no center"),
        (("net", "show"), 64, "there is no center"),
        (("provision", "operator", "ann", "--center", "localhost:1", "--out", "kit"), 78, "provision ca"),
    ],
)
def test_an_error_is_one_line_with_its_exit_code(tmp_path, monkeypatch, capsys, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    found, _, err = run(monkeypatch, capsys, *arguments, "--home", tmp_path / "home")
    assert found == code
    assert err.startswith("error: ")
    assert words in err
    assert err.count("\n") == 1


def test_what_is_planned_is_the_operators_choice(tmp_path):
    chosen = {"residents": 2, "hosts_at_once": 3, "supervisors": 1, "kin": "cat:dog,cow:horse"}
    policy = read_settings({"home": tmp_path, "unsigned_verdicts": "accept", **chosen}).policy()
    assert (policy.plan.residents, policy.plan.hosts_at_once, policy.plan.supervisors) == (2, 3, 1)
    assert policy.plan.kin == {("cat", "dog"), ("cow", "horse")}
    assert policy.gates.unsigned_verdicts == "accept"
    plain = read_settings({"home": tmp_path}).policy()
    assert (plain.plan.supervisors, plain.gates.unsigned_verdicts) == (0, "refuse")
    for wrong in ({"kin": "cat"}, {"kin": "cat:dog:cow"}, {"kin": "cat:No Name"}, {"residents": 0}):
        with pytest.raises(InvalidSettings):
            read_settings({"home": tmp_path, **wrong})


def test_a_command_beside_a_center_takes_the_settings_that_it_serves_with(tmp_path):
    served = read_settings({"home": tmp_path / "before", "founder": "dog", "layers": 2, "workers": 7})
    (tmp_path / "settings.json").write_bytes(served.document())
    found = served_settings(tmp_path, None)
    assert (found.home, found.founder, found.layers, found.workers) == (tmp_path, "dog", 2, 7)
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(InvalidSettings, match="damaged"):
        served_settings(tmp_path, None)
    (tmp_path / "settings.json").unlink()
    assert served_settings(tmp_path, None).founder is None
