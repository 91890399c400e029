"""A site's policy: what it tells at each level, with noise or without, and that g_T can stay at home."""

from __future__ import annotations

import os

import pytest
import torch
from fakes.taught_site import seal_squares, taught_squares
from fakes.tiny_data import SquareData

from edge.datasets.open_data import RememberedData
from edge.disclosing import Noise, Policy, Ship
from edge.outbox import Outbox
from edge.probe import answer_probes
from edge.push import enqueue, push_outbox, request_merge
from edge.seal import payload_path, read_sealed, seal_teacher
from edge.settings import EdgeSettings
from edge.site_home import SiteHome
from transplant.artifact.disclosed import load_answers, load_statistics
from transplant.datafree.probe import answered_logits, probe_images
from transplant.errors import DatasetInvalid, InvalidSettings, MergeNotPossible
from transplant.nets.measures import as_images
from transplant.types import Disclosure, ModuleKind, Task

BOTH = (Task.CLASSIFICATION, Task.SEGMENTATION)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A teacher with enough images of either class for statistics."""
    return taught_squares(tmp_path_factory.mktemp("teacher"), count=208, batch_size=16)


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch):
    for name in list(os.environ):
        if name.startswith("TRANSPLANT_EDGE_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("level", [Disclosure.MOMENTS, Disclosure.PCA])
def test_statistics_are_sealed_beside_f(taught, home, level):
    sealed = seal_squares(taught, home, policy=Policy(level, directions=5))
    f, told, *modules = sealed.manifests()
    assert (told.kind, told.parents, len(modules)) == (ModuleKind.STATISTICS, (f.module_id,), 2)
    assert f.statistics.level is Disclosure.SCALE
    read = load_statistics(told, payload_path(home.sealed, told.module_id))
    assert read.level is level
    assert [one.sample_count for one in read.classes] == [104, 104]
    if level is Disclosure.PCA:
        assert read.classes[0].directions_KCHW.shape[0] == 5
    assert seal_squares(taught, home, policy=Policy(level, directions=5)) == read_sealed(home) == sealed
    assert (
        seal_squares(taught, home, policy=Policy(level, directions=6)) != sealed
        or level is Disclosure.MOMENTS
    )


def test_with_noise_nothing_exact_is_told_and_it_is_drawn_once(taught, home, tmp_path):
    noise = Noise(epsilon=2.0, delta=1e-6, clip_norm=20.0)
    exact = seal_squares(taught, SiteHome(tmp_path / "exact"), policy=Policy(Disclosure.MOMENTS))
    sealed = seal_squares(taught, home, policy=Policy(Disclosure.MOMENTS, noise=noise))
    told = sealed.statistics
    assert told.metrics == {"epsilon": 2.0, "delta": pytest.approx(1e-6), "clip_norm": 20.0}
    assert sealed.category_module.metrics == told.metrics  # its small figures are noisy, too
    assert exact.category_module.metrics == exact.statistics.metrics == {}
    assert sealed.category_module.statistics.channel_mean != exact.category_module.statistics.channel_mean
    read = load_statistics(told, payload_path(home.sealed, told.module_id))
    implied = sum(one.mean_C / 2 for one in read.classes)
    assert sealed.category_module.statistics.channel_mean == pytest.approx(implied.tolist(), rel=1e-4)
    assert seal_squares(taught, home, policy=Policy(Disclosure.MOMENTS, noise=noise)) == sealed
    again = seal_squares(taught, SiteHome(tmp_path / "again"), policy=Policy(Disclosure.MOMENTS, noise=noise))
    assert again.statistics.module_id != told.module_id  # not a function of anything that others know


def test_too_few_images_are_said_before_anything_is_sealed(taught, home):
    teacher, _ = taught
    few = RememberedData(SquareData(count=198))
    with pytest.raises(DatasetInvalid, match="needs 100 images"):
        seal_teacher(teacher, few, home, site="site-a", category="square", policy=Policy(Disclosure.MOMENTS))
    assert not list(home.sealed.glob("*.json")) if home.sealed.exists() else True


def test_a_task_module_that_stays_at_home_is_not_even_sealed(taught, home, center):
    teacher, _ = taught
    sealed = seal_squares(taught, home, policy=Policy(ship=Ship.OUTPUTS))
    assert (sealed.manifests(), sealed.tasks, sealed.complete) == ((sealed.category_module,), BOTH, False)
    outbox = Outbox(home.outbox)
    enqueue(sealed, outbox)
    push_outbox(outbox, home, center)
    with pytest.raises(MergeNotPossible, match="transplant-edge answer"):
        request_merge(sealed, center)
    sealed = answer_probes(center, home, teacher.net, sealed)
    assert sealed.complete
    assert sealed == read_sealed(home)
    enqueue(sealed, outbox)
    push_outbox(outbox, home, center)
    assert {path.stem for path in home.sealed.glob("*.safetensors")} == center.registered()
    assert {manifest.kind for manifest in sealed.manifests()} == {ModuleKind.CATEGORY, ModuleKind.ANSWERS}
    for task, manifest in sealed.answers.items():
        answers = load_answers(manifest, payload_path(home.sealed, manifest.module_id))
        with torch.no_grad():
            exact = teacher.net.route(task)(as_images(probe_images(answers.request, answers.chosen_N)))
        told = answered_logits(answers)
        assert float((told - exact.mean((2, 3), keepdim=True)).abs().max() if exact.ndim == 4 else 0.0) < 1.0


def test_what_was_answered_is_not_answered_again(taught, home, center, monkeypatch):
    teacher, _ = taught
    sealed = seal_squares(taught, home, policy=Policy(ship=Ship.OUTPUTS))
    enqueue(sealed, Outbox(home.outbox))
    push_outbox(Outbox(home.outbox), home, center)
    answered = answer_probes(center, home, teacher.net, sealed)
    monkeypatch.setattr("edge.probe.answer_probe", lambda *_: pytest.fail("answered twice"))
    assert answer_probes(center, home, teacher.net, read_sealed(home)) == answered


def test_a_request_about_images_of_another_size_is_said(taught, home, center):
    teacher, _ = taught
    sealed = seal_squares(taught, home, policy=Policy(ship=Ship.OUTPUTS))
    enqueue(sealed, Outbox(home.outbox))
    push_outbox(Outbox(home.outbox), home, center)
    center.probe = center.probe.__class__(**{**vars(center.probe), "image_px": 64})
    with pytest.raises(MergeNotPossible, match="images of 64 px, this net takes 32 px"):
        answer_probes(center, home, teacher.net, sealed)


def test_a_site_that_ships_modules_after_all_seals_them(taught, home):
    outputs = seal_squares(taught, home, policy=Policy(ship=Ship.OUTPUTS))
    modules = seal_squares(taught, home, policy=Policy())
    assert outputs.category_module == modules.category_module
    assert (len(modules.task_modules), modules.answers, modules.complete) == (2, {}, True)


def test_the_settings_make_the_policy(tmp_path):
    flags = {"home": tmp_path, "disclosure": "moments", "ship": "outputs", "directions": 8}
    assert EdgeSettings.of(flags).policy == Policy(Disclosure.MOMENTS, 8, None, Ship.OUTPUTS)
    private = EdgeSettings.of(flags | {"epsilon": 1.0, "delta": 1e-7, "clip_norm": 3.0})
    assert private.policy.noise == Noise(1.0, 1e-7, 3.0)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"disclosure": "all"}, "--disclosure"),
        ({"ship": "images"}, "--ship"),
        ({"directions": 0}, "--directions"),
        ({"disclosure": "pca", "epsilon": 1.0, "clip_norm": 1.0}, "protects --disclosure moments, not pca"),
        ({"epsilon": 1.0, "clip_norm": 1.0}, "protects --disclosure moments, not none"),
        ({"disclosure": "moments", "epsilon": 1.0}, "--clip-norm: --epsilon needs it"),
        ({"disclosure": "moments", "epsilon": -1.0, "clip_norm": 1.0}, "--epsilon"),
        ({"disclosure": "moments", "epsilon": 1.0, "delta": 1.0, "clip_norm": 1.0}, "--delta"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(tmp_path, flags, message):
    with pytest.raises(InvalidSettings, match=message):
        EdgeSettings.of({"home": tmp_path} | flags)
