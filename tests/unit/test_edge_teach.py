"""Training: fair losses, harmless augmentation, and a resumed run that ends with the same weights."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from fakes.tiny_data import SquareData

from edge.datasets.site_dataset import VOID, Split
from edge.teach.augment import Augmentation
from edge.teach.checkpoint import TrainingInputs, load_checkpoint, save_checkpoint
from edge.teach.losses import classification_loss, positive_weight, segmentation_loss
from edge.teach.progress import figures_line, shown_progress
from edge.teach.recipe import Recipe
from edge.teach.teach import teach
from edge.teach.teaching import EpochRecord, TeachingState, begin, measured, run_epoch, start_from_sibling
from transplant.errors import CheckpointInvalid, DatasetInvalid, UnknownArchitecture
from transplant.nets.architecture_table import default_architecture
from transplant.types import Task

RECIPE = Recipe(epochs=3, batch_size=8, learning_rate=0.01, seed=7)
BOTH = (Task.CLASSIFICATION, Task.SEGMENTATION)


def test_void_pixels_change_no_loss():
    logits = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.randint(0, 2, (2, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    targets[0, :2] = VOID
    loss = segmentation_loss(logits, targets)
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[0, 0, :2].any()
    assert logits.grad[0, 0, 2:].any()
    assert segmentation_loss(logits, torch.full_like(targets, VOID)).item() == 0.0


def test_perfect_answers_cost_nothing():
    targets = torch.zeros(1, 4, 4, dtype=torch.uint8)
    targets[0, :2] = 1
    assert segmentation_loss((targets.float() * 60 - 30)[:, None], targets).item() < 1e-3
    labels = torch.tensor([0, 1], dtype=torch.uint8)
    assert classification_loss(torch.tensor([[-30.0], [30.0]]), labels, 1.0).item() < 1e-6


def test_both_classes_weigh_the_same():
    assert positive_weight(torch.tensor([1, 0, 0, 0], dtype=torch.uint8)) == 3.0
    assert positive_weight(torch.ones(4, dtype=torch.uint8)) == 1.0


def test_masks_move_with_their_pictures():
    data = SquareData().load(Split.TRAIN)
    augmentation = Augmentation(shift_px=3, zoom=0.15, contrast=0.0, mirror=True, exchange_colours=True)
    images, masks = augmentation.apply(data.images, data.masks, torch.Generator().manual_seed(0))
    assert masks is not None
    assert torch.equal(images.amax(dim=1) == 250, masks == 1)
    assert not torch.equal(images, data.images)
    again, _ = augmentation.apply(data.images, data.masks, torch.Generator().manual_seed(0))
    assert torch.equal(images, again)


def test_a_digit_is_never_mirrored():
    data = replace(SquareData().load(Split.TRAIN), mirror_invariant=False, colour_invariant=True)
    augmentation = Augmentation.for_data(data)
    assert not augmentation.mirror
    assert augmentation.exchange_colours
    assert augmentation.zoom == augmentation.contrast == 0.0


def test_the_learning_rate_warms_up_and_ends_at_zero():
    recipe = Recipe(epochs=4, learning_rate=0.1, warm_up_epochs=1.0)
    rates = [recipe.learning_rate_at(step, 10) for step in range(40)]
    assert rates[0] < rates[5] < rates[10]
    assert max(rates) <= 0.1
    assert rates[-1] < 0.001


def test_a_teacher_learns_and_is_read_back(tmp_path):
    recipe = replace(RECIPE, epochs=4)
    data = SquareData(count=64)
    teacher = teach(data, "vgg_small", recipe, tmp_path)
    figures = measured(teacher.net, data.load(Split.TEST))
    assert figures[Task.SEGMENTATION]["iou"] > 60
    assert (teacher.epochs, teacher.sample_count, teacher.tasks) == (4, 64, BOTH)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = teach(data, "vgg_small", recipe, tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    _assert_equal(teacher.net.state_dict(), again.net.state_dict())


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_a_killed_training_ends_as_if_it_had_not_been(tmp_path, optimiser):
    recipe = replace(RECIPE, optimiser=optimiser, learning_rate=0.002)
    straight = teach(SquareData(), "vgg_small", recipe, tmp_path / "straight")

    class KilledError(Exception):
        pass

    class Killer:
        def on_batch(self, epoch, done, of):
            del of
            if (epoch, done) == (self.epoch, 2):
                raise KilledError

        def on_epoch(self, record): ...

        def say(self, line): ...

    for epoch in (1, 2):
        killer = Killer()
        killer.epoch = epoch
        with pytest.raises(KilledError):
            teach(SquareData(), "vgg_small", recipe, tmp_path / "killed", progress=killer)
    resumed = teach(SquareData(), "vgg_small", recipe, tmp_path / "killed")
    assert resumed.training_key == straight.training_key
    assert resumed.best == straight.best
    _assert_equal(resumed.net.state_dict(), straight.net.state_dict())
    assert len(list((tmp_path / "killed").glob("*.safetensors"))) == 1


def test_the_classifier_starts_from_the_segmentation_trunk():
    net = begin(default_architecture("vgg_small", 32), BOTH, RECIPE).net
    head = net.task_modules["classification"].layers[-1].weight.clone()
    start_from_sibling(net)
    chain = [layer for layer in net.task_modules["classification"].layers if hasattr(layer, "weight")]
    trunk = [layer for layer in net.task_modules["segmentation"].stages.modules() if hasattr(layer, "weight")]
    assert len(trunk) == 4
    for own, theirs in zip(chain, trunk, strict=False):
        assert torch.equal(own.weight, theirs.weight)
        assert own.weight.data_ptr() != theirs.weight.data_ptr()
    assert torch.equal(head, chain[-1].weight)
    alone = begin(default_architecture("vgg_small", 32), (Task.CLASSIFICATION,), RECIPE).net
    before = {name: value.clone() for name, value in alone.state_dict().items()}
    start_from_sibling(alone)
    _assert_equal(before, alone.state_dict())


def test_another_seed_is_another_teacher(tmp_path):
    one = teach(SquareData(), "vgg_small", replace(RECIPE, epochs=1), tmp_path / "a")
    other = teach(SquareData(), "vgg_small", replace(RECIPE, epochs=1, seed=8), tmp_path / "b")
    weight = "category_module.layers.0.weight"
    assert not torch.equal(one.net.state_dict()[weight], other.net.state_dict()[weight])


def test_a_checkpoint_of_other_settings_or_data_is_refused_and_restarted_on_demand(tmp_path):
    recipe = replace(RECIPE, epochs=1)
    teach(SquareData(), "vgg_small", recipe, tmp_path)
    with pytest.raises(CheckpointInvalid, match=r"learning_rate was 0\.01, is 0\.02"):
        teach(SquareData(), "vgg_small", replace(recipe, learning_rate=0.02), tmp_path)
    with pytest.raises(CheckpointInvalid, match="the data changed"):
        teach(SquareData(colour=1), "vgg_small", recipe, tmp_path)
    teach(SquareData(colour=1), "vgg_small", recipe, tmp_path, restart=True)


@pytest.mark.parametrize("damage", ["json", "payload", "gone"])
def test_a_damaged_checkpoint_is_named(tmp_path, damage):
    inputs, state = _one_epoch(tmp_path)
    payload = next(tmp_path.glob("*.safetensors"))
    match damage:
        case "json":
            (tmp_path / "checkpoint.json").write_text("{")
        case "payload":
            payload.write_bytes(payload.read_bytes()[:-1] + b"x")
        case _:
            payload.unlink()
    with pytest.raises(CheckpointInvalid, match="--restart"):
        load_checkpoint(tmp_path, inputs, state)


def test_a_kill_between_payload_and_document_leaves_the_epoch_before(tmp_path):
    inputs, state = _one_epoch(tmp_path)
    document = (tmp_path / "checkpoint.json").read_bytes()
    first = next(tmp_path.glob("*.safetensors"))
    kept = first.read_bytes()
    run_epoch(state, *_splits(), RECIPE)
    save_checkpoint(tmp_path, inputs, state)
    (tmp_path / "checkpoint.json").write_bytes(document)  # as if the last write had not happened
    first.write_bytes(kept)
    fresh = begin(inputs.architecture, BOTH, RECIPE)
    assert load_checkpoint(tmp_path, inputs, fresh)
    assert len(fresh.history) == 1


def test_training_ends_early_when_nothing_gets_better():
    def after(scores):
        history = [EpochRecord(at, 0.0, score, {}) for at, score in enumerate(scores)]
        return TeachingState(None, None, history).finished(Recipe(epochs=20, patience=2))

    assert not after([])
    assert not after([50, 60, 55])
    assert after([50, 60, 55, 60])
    assert after([50.0] * 3)
    assert after(range(20))


def test_what_cannot_be_taught_is_said_at_once(tmp_path):
    with pytest.raises(DatasetInvalid, match="no masks"):
        teach(SquareData(with_masks=False), "vgg_small", RECIPE, tmp_path, tasks=BOTH)
    with pytest.raises(UnknownArchitecture):
        teach(SquareData(), "resnet", RECIPE, tmp_path)
    with pytest.raises(DatasetInvalid, match="diverged"):
        teach(SquareData(), "vgg_small", replace(RECIPE, learning_rate=1e6), tmp_path)


def test_without_masks_classification_alone_is_taught(tmp_path):
    teacher = teach(SquareData(with_masks=False), "vgg_small", replace(RECIPE, epochs=1), tmp_path)
    assert teacher.tasks == (Task.CLASSIFICATION,)


def test_lines_where_there_is_no_terminal(capsys):
    with shown_progress("digit-3", 2) as progress:
        progress.on_batch(0, 1, 2)
        progress.on_epoch(EpochRecord(0, 0.5, 90, {"classification": {"error": 4.25}}))
    assert "digit-3  epoch 1/2  loss 0.500  error 4.25 %" in capsys.readouterr().err
    assert figures_line({"segmentation": {"iou": 61.0, "pixel_accuracy": 90.0}}) == "iou 61.00 %"


def _splits():
    return SquareData().load(Split.TRAIN), SquareData().load(Split.VALIDATION)


def _one_epoch(directory):
    train, validation = _splits()
    architecture = default_architecture("vgg_small", 32)
    inputs = TrainingInputs(RECIPE, architecture, BOTH, (train.fingerprint, validation.fingerprint))
    state = begin(architecture, BOTH, RECIPE)
    run_epoch(state, train, validation, RECIPE)
    save_checkpoint(directory, inputs, state)
    assert json.loads((directory / "checkpoint.json").read_text())["inputs"]["recipe"]["seed"] == 7
    return inputs, state


def _assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
