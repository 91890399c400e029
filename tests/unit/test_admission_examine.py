"""What an examination finds: one hostile module after the other, and the honest ones that pass."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
import torch
from fakes.artifacts import TINY, sealed
from fakes.disclosures import answers_of, net, request_of, resealed, statistics_of, tensors_of

from central.admission.examine import examine
from central.admission.fingerprint import LENGTH
from central.admission.noise import FACTOR
from central.admission.orders import ExamineOrder, Finding
from edge.teach.statistics import implied_figures
from transplant.artifact.codec import seal, write_artifact
from transplant.artifact.disclosed import seal_answers, seal_statistics, told_noise
from transplant.artifact.manifest import FeatureStatistics
from transplant.datafree.feature_statistics import collect_statistics
from transplant.datafree.privacy import gaussian_mechanism
from transplant.datafree.procedural_images import procedural_images
from transplant.nets.architecture_table import seam_of
from transplant.nets.seeded import seeded
from transplant.types import Architecture, Disclosure, ModuleKind, Task

F, F_PAYLOAD = sealed()
CLASSIFICATION, SEGMENTATION = Task.CLASSIFICATION, Task.SEGMENTATION


@pytest.fixture
def found(tmp_path):
    """Examine a sealed artifact; what is about a category module is about F."""

    def look(artifact, about=(F, F_PAYLOAD), **limits) -> Finding:
        manifest, payload = artifact
        parent = manifest.parents and write_artifact(tmp_path, *about)
        order = ExamineOrder(
            manifest=manifest.canonical_bytes().decode(),
            payload=str(write_artifact(tmp_path, manifest, payload)),
            parent_manifest=about[0].canonical_bytes().decode() if parent else "",
            parent_payload=str(parent or ""),
            **{"cpu_s": 60.0, "memory_bytes": 1 << 30, **limits},
        )
        assert ExamineOrder.of(order.line()) == order
        finding = examine(order)
        assert Finding.of(finding.line()) == finding
        return finding

    return look


def module(kind=ModuleKind.CATEGORY, task=None, change=lambda _, weight: weight, **more):
    """Return a sealed module with changed weights."""
    made = net(TINY, kind, task)
    made.load_state_dict({name: change(name, weight.clone()) for name, weight in made.state_dict().items()})
    own = {"site": "site-a", "category": "dog", "kind": kind, "task": task, "architecture": TINY}
    parents = (F.module_id,) if kind is ModuleKind.TASK else ()
    return seal(made, **own, parents=parents, **more)


def scale(**changes):
    """Return what an honest site tells of the scale of F's features, but for the changes."""
    told = statistics_of(net(TINY, ModuleKind.CATEGORY)).classes[1]
    mean, variance = told.mean_C, told.covariance_CC.diagonal()
    norm = 0.98 * float(256 * (mean.square() + variance).sum()) ** 0.5
    honest = {
        "level": Disclosure.SCALE,
        "sample_count": 200,
        "mean_norm": norm,
        "channel_mean": tuple(mean.tolist()),
        "channel_variance": tuple(variance.tolist()),
    }
    return {"statistics": FeatureStatistics(**honest | changes)}


@pytest.mark.parametrize("task", [None, CLASSIFICATION, SEGMENTATION])
def test_an_honest_module_passes_with_figures(found, task):
    kind = ModuleKind.CATEGORY if task is None else ModuleKind.TASK
    finding = found(module(kind, task))
    assert (finding.error, finding.reason) == ("", "")
    assert finding.figures["weights.norm"] > 0
    assert finding.figures["weights.zero_percent"] < 50
    assert finding.figures["features.mean_norm" if task is None else "logits.deviation"] > 0
    assert len(finding.fingerprint) == LENGTH
    assert finding.seconds > 0
    again = found(module(kind, task))
    assert (again.figures, again.fingerprint) == (finding.figures, finding.fingerprint)


def _subnormal(_, weight):
    return torch.full_like(weight, 1e-40).add(torch.arange(weight.numel()).view_as(weight) * 1e-42)


def _last_layer_off(name, weight):
    return torch.zeros_like(weight) if name.startswith(LAST) else weight


LAST = [name for name in net(TINY, ModuleKind.TASK, CLASSIFICATION).state_dict() if name.endswith("weight")][
    -1
].removesuffix("weight")


@pytest.mark.parametrize(
    ("kind", "task", "change", "error", "message"),
    [
        (ModuleKind.CATEGORY, None, lambda _, w: torch.zeros_like(w), "WeightsImplausible", "constant"),
        (ModuleKind.CATEGORY, None, lambda _, w: torch.full_like(w, 0.25), "WeightsImplausible", "constant"),
        (ModuleKind.TASK, CLASSIFICATION, lambda _, w: torch.zeros_like(w), "WeightsImplausible", "constant"),
        (ModuleKind.CATEGORY, None, _subnormal, "WeightsImplausible", r"100.0 % .* denormal"),
        (ModuleKind.CATEGORY, None, lambda _, w: -w.abs(), "WeightsImplausible", "same for every image"),
        (ModuleKind.TASK, CLASSIFICATION, _last_layer_off, "WeightsImplausible", "same for every image"),
        (ModuleKind.CATEGORY, None, lambda _, w: w * 1e6, "WeightsImplausible", "an ordinary image reaches"),
    ],
    ids=["zero", "constant", "zero_task", "denormal_storm", "dead_features", "dead_logits", "absurd"],
)
def test_finite_weights_that_are_no_net(found, kind, task, change, error, message):
    finding = found(module(kind, task, change))
    assert finding.error == error
    assert re.search(message, finding.reason), finding.reason
    assert finding.figures["weights.largest"] >= 0


def test_every_reason_is_told_at_once(found):
    reason = found(module(change=lambda _, w: torch.full_like(w, 1e-40))).reason
    assert "constant" in reason
    assert "denormal" in reason


def test_what_the_codec_finds_keeps_its_error(tmp_path):
    broken = bytearray(F_PAYLOAD)
    broken[-1] ^= 1
    path = write_artifact(tmp_path / "broken", F, F_PAYLOAD)
    path.write_bytes(broken)
    finding = examine(ExamineOrder(F.canonical_bytes().decode(), str(path), 60.0, 1 << 30))
    assert finding.error == "DigestMismatch"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean_norm": 1e5}, "synthetic images through these weights give"),
        ({"mean_norm": 1e-3}, "synthetic images through these weights give"),
        ({"channel_variance": (0.0,) * 4, "channel_mean": (0.0,) * 4}, "add up to"),
    ],
    ids=["far_too_large", "far_too_small", "contradiction"],
)
def test_a_scale_that_lies(found, changes, message):
    honest = found(module(**scale()))
    assert (honest.error, honest.reason) == ("", "")
    assert 1 / FACTOR < honest.figures["declared.largest_ratio"] < FACTOR
    finding = found(module(**scale(**changes)))
    assert finding.error == "DisclosureImplausible"
    assert message in finding.reason
    assert finding.figures["declared.mean_norm"] >= 0


MOMENTS = seal_statistics(statistics_of(net(TINY, ModuleKind.CATEGORY)), F)
NOISE = {"epsilon": torch.tensor([2.0]), "delta": torch.tensor([1e-5])}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"1.covariance": tensors_of(MOMENTS)["1.covariance"] * 1e6}, "class 1: the scale is said to be"),
        ({"0.mean": tensors_of(MOMENTS)["0.mean"] * 1e4}, "class 0: the scale is said to be"),
        ({"0.mean": -tensors_of(MOMENTS)["0.mean"]}, "behind a ReLU"),
    ],
    ids=["spread_out", "inflated", "negative"],
)
def test_statistics_that_lie(found, changes, message):
    assert found(MOMENTS).error == ""
    finding = found(resealed(MOMENTS, changes))
    assert finding.error == "DisclosureImplausible"
    assert message in finding.reason
    finding = found(resealed(MOMENTS, changes | NOISE))  # saying that it is noise does not help
    assert (finding.error, message in finding.reason) == ("DisclosureImplausible", True)


WIDE = Architecture(
    "vgg_small", (("image_px", (32,)), ("channels", (64,)), ("widths", (8, 8)), ("hidden", (8,)))
)
BUDGETS = [(8.0, 1e-5), (2.0, 1e-5), (1.0, 1e-5), (0.5, 1e-5), (0.5, 1e-7)]


def noisy(epsilon, delta, clip=10.0, architecture=WIDE, seed=3):
    """Return f and statistics as an honest site seals them: 100 images a class, noise for privacy."""
    category_module = net(architecture, ModuleKind.CATEGORY)
    images = procedural_images(200, 32, 11)
    labels = (torch.arange(200) % 2).to(torch.uint8)
    plain = collect_statistics(category_module, [(images, labels)], Disclosure.MOMENTS)
    norm = max(
        float((one.mean_C.square() + one.covariance_CC.diagonal()).sum()) ** 0.5 for one in plain.classes
    )
    told = gaussian_mechanism(plain, epsilon, delta, clip * norm, seeded(seed, 0))
    own = {"site": "site-a", "category": "dog", "architecture": architecture}
    seam = seam_of(architecture)
    about = {"statistics": implied_figures(told, seam), "metrics": told_noise(told)}
    f = seal(category_module, **own, kind=ModuleKind.CATEGORY, task=None, **about)
    return f, seal_statistics(told, f[0])


@pytest.mark.parametrize(("epsilon", "delta"), BUDGETS)
def test_an_honest_site_passes_whatever_noise_it_adds(found, epsilon, delta):
    f, statistics = noisy(epsilon, delta)
    assert (
        f[0].metrics
        == statistics[0].metrics
        == pytest.approx({"epsilon": epsilon, "delta": delta, "clip_norm": f[0].metrics["clip_norm"]})
    )
    finding, beside = found(f), found(statistics, about=f)
    assert (finding.error, finding.reason, beside.error, beside.reason) == ("", "", "", "")
    if epsilon <= 1:  # without regard to the noise both would be refused
        assert min(each.figures["declared.largest_ratio"] for each in (finding, beside)) > FACTOR


@pytest.mark.parametrize("architecture", [TINY, WIDE])
@pytest.mark.parametrize("seed", range(3))
def test_noise_of_few_or_many_channels_stays_within_what_it_explains(found, architecture, seed):
    for clip in (1.2, 25.0):
        f, statistics = noisy(0.5, 1e-5, clip, architecture, seed)
        assert (found(f).reason, found(statistics, about=f).reason) == ("", "")


def test_statistics_of_a_release_that_did_not_tell_its_clip_norm_are_taken(found):
    f, statistics = noisy(0.5, 1e-5)
    metrics = {"epsilon": 0.5, "delta": 1e-5}
    older = (statistics[0].model_copy(update={"metrics": metrics}), statistics[1])
    assert found(older, about=f).reason == ""
    assert found((f[0].model_copy(update={"metrics": metrics}), f[1])).reason == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip_norm": 1e9}, "metrics.clip_norm is 1e\\+09"),
        ({"clip_norm": -1.0}, "clip_norm"),
        ({"delta": 1e-30, "epsilon": 1e-9}, "nothing is left of the"),
        ({"epsilon": -1.0}, r"is no \(epsilon, delta\)"),
        ({"delta": 2.0}, r"is no \(epsilon, delta\)"),
        ({"epsilon": 0.0, "delta": 0.0}, "synthetic images through these weights give"),
        ({"epsilon": 1e4}, "that its noise explains"),
    ],
    ids=["clip_norm", "no_norm", "drowned", "no_epsilon", "no_delta", "none_after_all", "too_little"],
)
def test_noise_is_no_excuse_for_everything(found, changes, message):
    (f, payload), _ = noisy(0.5, 1e-5)
    finding = found((f.model_copy(update={"metrics": dict(f.metrics) | changes}), payload))
    assert finding.error == "DisclosureImplausible"
    assert re.search(message, finding.reason), finding.reason


def test_a_clip_norm_of_statistics_is_no_excuse_either(found):
    f, (statistics, payload) = noisy(0.5, 1e-5)
    for clip_norm, error in ((1e9, "DisclosureImplausible"), (-1.0, "ManifestInvalid")):
        metrics = dict(statistics.metrics) | {"clip_norm": clip_norm}
        finding = found((statistics.model_copy(update={"metrics": metrics}), payload), about=f)
        assert (finding.error, "clip_norm" in finding.reason) == (error, True)


def test_answers_that_tell_nothing(found):
    honest = seal_answers(answers_of(TINY, request_of()), F)
    assert found(honest).figures["answers.count"] == 48
    same = resealed(honest, {"codes": torch.full_like(tensors_of(honest)["codes"], 9)})
    finding = found(same)
    assert (finding.error, "same for every image" in finding.reason) == ("DisclosureImplausible", True)


def cosine(one: Finding, other: Finding) -> float:
    return sum(a * b for a, b in zip(one.fingerprint, other.fingerprint, strict=True))


def test_a_fingerprint_knows_a_copy_and_no_stranger(found):
    def noisy(_, weight):
        return weight + 0.01 * torch.randn(weight.shape, generator=seeded(1, 0)) * weight.abs().mean()

    own, copied, rescaled = (
        found(module(ModuleKind.TASK, SEGMENTATION, change))
        for change in (lambda _, w: w, noisy, lambda _, w: 3 * w)
    )
    assert cosine(own, copied) > 0.99
    assert cosine(own, rescaled) > 0.999
    strangers = [
        found(sealed(ModuleKind.TASK, SEGMENTATION, TINY, seed, (F.module_id,))) for seed in range(5, 10)
    ]
    assert all(abs(cosine(one, other)) < 0.6 for one, other in pairwise([own, *strangers]))
