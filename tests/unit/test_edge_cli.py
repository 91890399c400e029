"""The command line: all mistakes at once, exit codes from the error table, plain sentences."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext

import pytest
from fakes.tiny_data import write_folder

from edge.cli import run
from edge.settings import EdgeSettings
from transplant.errors import ERRORS, InvalidSettings
from transplant.types import Disclosure, Task


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch):
    for name in list(os.environ):
        if name.startswith("TRANSPLANT_"):
            monkeypatch.delenv(name)


def test_flags_over_environment_over_defaults(monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSPLANT_EDGE_EPOCHS", "3")
    monkeypatch.setenv("TRANSPLANT_EDGE_SEED", "5")
    monkeypatch.setenv("TRANSPLANT_EDGE_TASKS", "classification")
    monkeypatch.setenv("TRANSPLANT_DATA", "/packs")
    settings = EdgeSettings.of({"home": tmp_path, "seed": 9, "epochs": None})
    assert (settings.epochs, settings.seed, settings.recipe.seed) == (3, 9, 9)
    assert str(settings.data_root) == "/packs"
    assert settings.tasks == (Task.CLASSIFICATION,)
    assert settings.disclosure is Disclosure.NONE
    monkeypatch.delenv("TRANSPLANT_EDGE_EPOCHS")
    assert EdgeSettings.of({"home": tmp_path}).recipe.epochs == 8
    assert EdgeSettings.of({"home": tmp_path, "data": "voc_mammals"}).recipe.epochs == 20
    assert str(EdgeSettings.of({"home": tmp_path, "data_root": "/own"}).data_root) == "/own"


def test_all_mistakes_are_told_at_once(monkeypatch):
    monkeypatch.setenv("TRANSPLANT_EDGE_EPOCHES", "3")
    with pytest.raises(InvalidSettings) as told:
        EdgeSettings.of(
            {"epochs": 0, "precision": "int8", "category": "My Cat", "disclosure": "all", "tasks": ["x"]}
        )
    for part in (
        "EPOCHES: there is no such",
        "--home",
        "--epochs",
        "--precision",
        "--category",
        "--disclosure",
        "--task",
    ):
        assert part in str(told.value)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["train", "--home", "{home}"], "InvalidSettings"),
        (["train", "--home", "{home}", "--category", "cat"], "InvalidSettings"),
        (["train", "--home", "{home}", "--category", "digit-1", "--arch", "alexnet"], "UnknownArchitecture"),
        (["train", "--home", "{home}", "--category", "cat", "--data", "folder:{home}/no"], "DatasetNotFound"),
        (
            [
                "train",
                "--home",
                "{home}",
                "--category",
                "cat",
                "--data",
                "voc_mammals",
                "--data-root",
                "{home}/no",
            ],
            "DatasetNotFound",
        ),
        (["push", "--home", "{home}", "--kit", "{home}/no"], "CertificateInvalid"),
        (["pull", "--home", "{home}"], "InvalidSettings"),
    ],
)
def test_an_error_is_one_line_with_its_exit_code(tmp_path, capsys, arguments, error):
    code = run([argument.format(home=tmp_path) for argument in arguments])
    assert code == ERRORS[error].exit_code
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(f"error: {error}: ")


def test_a_wrong_flag_is_a_usage_error(capsys):
    assert run(["train", "--epoch-s", "3"]) == InvalidSettings.exit_code
    assert "No such option" in capsys.readouterr().err


def test_a_bug_is_an_incident_not_a_traceback_on_the_last_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("edge.cli.read_sealed", lambda _home: 1 / 0)
    monkeypatch.setattr("edge.site.Site.client", lambda _site: nullcontext())
    assert run(["push", "--home", str(tmp_path)]) == 70
    assert "error: UnexpectedFailure: this is a bug; please report incident" in capsys.readouterr().err


def test_train_seal_evaluate_from_a_folder_of_own_pictures(tmp_path, capsys):
    folder = write_folder(tmp_path / "own", count=40)
    common = ["--home", str(tmp_path / "home"), "--data", f"folder:{folder}", "--category", "square"]
    common += ["--image-px", "32", "--epochs", "1", "--batch-size", "8", "--learning-rate", "0.01"]
    assert run(["train", *common]) == 0
    assert "square: best of 1 epochs is 1" in capsys.readouterr().out
    assert run(["seal", *common, "--site", "site-a"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert run(["evaluate", *common, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [route["task"] for route in report["routes"]] == ["classification", "segmentation"]
    assert all(route["transplanted"] == {} for route in report["routes"])
    assert json.loads((tmp_path / "home" / "settings.json").read_text())["epochs"] == 1
    assert run(["evaluate", *common]) == 0
    assert "no route yet" in capsys.readouterr().out
    assert run(["evaluate", *common, "--version", "4"]) == ERRORS["NotFound"].exit_code
