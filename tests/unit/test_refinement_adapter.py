"""Refining an adapter at a site: on the site's own images, without labels and with a few."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.tiny_data import SquareData
from fakes.tiny_nets import SMALL, tiny_net

from edge.datasets.site_dataset import Split
from transplant.errors import DatasetInvalid, InvalidSettings
from transplant.nets.adapter import Adapter
from transplant.nets.learning import LabelledSamples
from transplant.nets.measures import as_images
from transplant.refinement.adapter_refinement import RefinementProblem, refine, shifted
from transplant.refinement.refinement_config import RefinementConfig
from transplant.refinement.round_delta import add_to, parameters_of
from transplant.types import Task

FAST = RefinementConfig(steps=12, batch=8, learning_rate=5e-3, seed=3)


def site_problem(task: Task = Task.CLASSIFICATION, *, labelled: bool = False) -> RefinementProblem:
    data = SquareData(count=24).load(Split.TRAIN)
    teacher, host = tiny_net(1), tiny_net(2)
    samples = LabelledSamples(*data.examples(task)) if labelled else None
    return RefinementProblem(
        teacher.category_module,
        host.task_modules[task.value],
        teacher.category_module,
        teacher.task_modules[task.value],
        task,
        data.images,
        samples,
    )


def adapter_of() -> Adapter:
    channels = SMALL.ints("channels")[0]
    adapter = Adapter(channels, channels, 2, 3)
    adapter.start_near_transparent(1.0, 0.3, torch.Generator().manual_seed(5))
    return adapter


def apart(problem: RefinementProblem, adapter: Adapter) -> float:
    features, wanted = problem.features(problem.images)
    with torch.no_grad():
        return float((problem.task_module(adapter(features)) - wanted).abs().mean())


@pytest.mark.parametrize("task", list(Task))
def test_without_a_label_it_comes_nearer_to_the_teacher_on_the_sites_own_images(task: Task):
    problem, adapter = site_problem(task), adapter_of()
    before = apart(problem, adapter)
    delta = refine(problem, replace(FAST, steps=40), adapter)
    add_to(adapter, delta.tensors)
    assert apart(problem, adapter) < 0.8 * before
    assert delta.figures["labels"] == 0
    assert delta.figures["images"] == 24


def test_equal_seeds_give_equal_bits_and_rounds_and_seeds_differ():
    problem, adapter = site_problem(), adapter_of()
    one, again = (refine(problem, FAST, adapter, round_number=1, rounds=2).tensors for _ in range(2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    later = refine(problem, FAST, adapter, round_number=2, rounds=2).tensors
    other = refine(problem, replace(FAST, seed=4), adapter, round_number=1, rounds=2).tensors
    assert not any(torch.equal(one[name], tensors[name]) for name in one for tensors in (later, other))


def test_what_comes_out_is_a_difference_of_the_adapter_alone_and_nothing_else_moves():
    problem, adapter = site_problem(labelled=True), adapter_of()
    nets = (problem.category_module, problem.task_module, problem.teacher_task_module)
    frozen = [parameters_of(net) for net in nets]
    before = parameters_of(adapter)
    delta = refine(problem, replace(FAST, labels=4), adapter)
    assert {name: tensor.shape for name, tensor in delta.tensors.items()} == {
        name: tensor.shape for name, tensor in before.items()
    }
    assert "beta" not in delta.tensors
    for now, then in zip([parameters_of(net) for net in (*nets, adapter)], [*frozen, before], strict=True):
        assert all(torch.equal(now[name], then[name]) for name in then)
    assert set(delta.figures) == {"images", "labels", "loss", "task_loss"}


def test_a_long_difference_is_shortened_and_keeps_its_direction():
    problem, adapter = site_problem(), adapter_of()
    free, short = (refine(problem, replace(FAST, clip_norm=norm), adapter) for norm in (0.0, 0.01))
    assert free.norm > 0.02
    assert short.norm == pytest.approx(0.01, rel=1e-5)
    ratio = free.norm / short.norm
    assert all(torch.allclose(free.tensors[n], ratio * short.tensors[n], rtol=1e-4) for n in free.tensors)


def test_labels_are_read_only_where_the_policy_spends_some():
    problem, adapter = site_problem(labelled=True), adapter_of()
    flipped = replace(problem, labelled=LabelledSamples(problem.images, 1 - problem.labelled.targets))

    def learned(each: RefinementProblem, labels: int) -> torch.Tensor:
        return torch.cat(
            [t.flatten() for t in refine(each, replace(FAST, labels=labels), adapter).tensors.values()]
        )

    assert torch.equal(learned(problem, 0), learned(flipped, 0))
    assert not torch.equal(learned(problem, 4), learned(flipped, 4))
    with pytest.raises(DatasetInvalid, match="none were given"):
        refine(replace(problem, labelled=None), replace(FAST, labels=4), adapter)


def test_another_teacher_of_the_category_answers_through_its_own_category_module():
    problem, other = site_problem(), tiny_net(9)
    theirs = replace(
        problem,
        teacher_category_module=other.category_module,
        teacher_task_module=other.task_modules[Task.CLASSIFICATION.value],
    )
    _, wanted = theirs.features(problem.images)
    with torch.no_grad():
        assert torch.equal(wanted, other.route(Task.CLASSIFICATION)(as_images(problem.images)))


def test_masks_move_with_their_images():
    data = SquareData(count=8).load(Split.TRAIN)
    images, masks = shifted(data.images, data.masks, torch.Generator().manual_seed(1))
    assert masks is not None
    assert not torch.equal(images, data.images)
    assert torch.equal(images[:, 0] == 250, masks == 1)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"labels": -1}, {"clip_norm": float("nan")}, {"precision": "int8"}]
)
def test_a_knob_out_of_range_is_named(wrong: dict[str, object]):
    with pytest.raises(InvalidSettings, match=next(iter(wrong))):
        RefinementConfig.from_dict(wrong)
    with pytest.raises(InvalidSettings, match="stepss"):
        RefinementConfig.from_dict({"stepss": 3})
