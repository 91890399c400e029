"""A version on a disk becomes a net again, and leaves as modules with a card, a program and an ONNX file."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from fakes.net_on_disk import net_on_disk

from transplant.artifact import export_net as exporting
from transplant.artifact.digest import sha256_file
from transplant.artifact.export_net import export_net
from transplant.artifact.net_folder import NetFolder
from transplant.datafree.learn_guides import learn_guides
from transplant.datafree.procedural_images import procedural_images
from transplant.errors import ArtifactRejected, ExportFailed, InvalidSettings, NotFound
from transplant.nets.transplant_net import TransplantNet
from transplant.types import Task

IMAGES = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_a_net_is_loaded_from_where_it_lies(tmp_path):
    folder, version = net_on_disk(tmp_path)
    net = TransplantNet.load(folder.version(), folder)
    assert net.version == version
    for task in Task:
        told = net.predict(IMAGES, task=task)
        torch.testing.assert_close(
            told.logits_BG[:, 1], net.route("c1", task)(IMAGES)[:, 0], rtol=1e-4, atol=1e-5
        )
    with pytest.raises(NotFound, match="version 7"):
        folder.version(7)
    with pytest.raises(NotFound, match="any version"):
        NetFolder.at(tmp_path / "empty").version()


def test_guides_lie_beside_their_version(tmp_path):
    folder, version = net_on_disk(tmp_path)
    net = folder.load_net(version)
    assert not net.guides
    folder.keep_guides(version, learn_guides(net, Task.CLASSIFICATION, procedural_images(64, 32, seed=0)))
    again = folder.load_net(version)
    assert {category for category, _ in again.guides} == {"c0", "c1", "c2"}
    assert again.predict(IMAGES, task=Task.CLASSIFICATION, budget=1).ran_BG.sum() == 5


def test_an_export_with_its_card_is_a_net_again(tmp_path):
    folder, version = net_on_disk(tmp_path / "home")
    net = folder.load_net(version)
    written = export_net(folder, net, tmp_path / "out", ["safetensors"])
    card = json.loads((tmp_path / "out" / "card.json").read_bytes())
    assert card["version"] == 1
    assert card["input"]["side"] == [32]
    assert {(route["category"], route["task"]) for route in card["routes"]} == {
        (f"c{i}", task.value) for i in range(3) for task in Task
    }
    assert card["modules"][version.routes[0].category_module]["site"] == "site-a"
    for name, sha256 in card["files"].items():
        assert sha256_file(tmp_path / "out" / name) == sha256
    assert len(card["files"]) + 1 == len(written)
    again = NetFolder.at(tmp_path / "out")
    assert torch.equal(
        again.load_net(again.version()).predict(IMAGES, task=Task.CLASSIFICATION).logits_BG,
        net.predict(IMAGES, task=Task.CLASSIFICATION).logits_BG,
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("form", ["torch", "onnx"])
def test_programs_answer_any_number_of_images_as_the_net_does(tmp_path, form):
    if form == "onnx":
        pytest.importorskip("onnxscript", reason="pip install 'transplant[onnx]'")
    folder, version = net_on_disk(tmp_path / "home", categories=2)
    net = folder.load_net(version)
    export_net(folder, net, tmp_path / "out", [form])
    for task in Task:
        wanted = net.predict(IMAGES, task=task).logits_BG
        if form == "torch":
            told = torch.export.load(tmp_path / "out" / "programs" / f"{task}.pt2").module()(IMAGES)
        else:
            import onnxruntime

            path = tmp_path / "out" / "programs" / f"{task}.onnx"
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            told = torch.from_numpy(session.run(None, {"images": IMAGES.numpy()})[0])
        torch.testing.assert_close(told, wanted, rtol=1e-3, atol=1e-4)


def test_a_program_that_answers_otherwise_is_not_kept(tmp_path, monkeypatch):
    folder, version = net_on_disk(tmp_path / "home", categories=2)
    net = folder.load_net(replace(version, routes=version.routes[::2]))
    saved = torch.export.save
    wrong = torch.export.export(torch.nn.Flatten(), (IMAGES[:1],))
    monkeypatch.setattr(exporting.torch.export, "save", lambda _, path: saved(wrong, path))
    with pytest.raises(ExportFailed, match="not kept"):
        export_net(folder, net, tmp_path / "out", ["torch"])
    assert list((tmp_path / "out" / "programs").iterdir()) == []


def test_what_cannot_be_exported_is_said_first(tmp_path, monkeypatch):
    folder, version = net_on_disk(tmp_path / "home", categories=1)
    net = folder.load_net(version)
    with pytest.raises(InvalidSettings, match="safetensors, torch, onnx; got keras"):
        export_net(folder, net, tmp_path / "out", ["keras"])
    monkeypatch.setattr(exporting, "_NEEDED", ("onnx", "no_such_library"))
    with pytest.raises(InvalidSettings, match=r"transplant\[onnx\]"):
        export_net(folder, net, tmp_path / "out", ["onnx"])
    payload = folder.payload(version.routes[0].category_module)
    payload.write_bytes(payload.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ArtifactRejected):
        export_net(folder, net, tmp_path / "out", ["safetensors"])
    assert not (tmp_path / "out" / "card.json").exists()
