"""Hostile statistics and answers: each case is one artifact whose manifest is honest about its bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch
from fakes.artifacts import TINY, sealed
from fakes.disclosures import answers_of, net, request_of, resealed, statistics_of, tensors_of

from transplant.artifact.codec import write_artifact
from transplant.artifact.disclosed import load_answers, load_statistics, seal_answers, seal_statistics
from transplant.artifact.manifest import Manifest, parse_manifest
from transplant.errors import ArtifactRejected, ManifestInvalid, PayloadMalformed, TensorNotFinite
from transplant.types import Disclosure, ModuleKind, Task

if TYPE_CHECKING:
    from pathlib import Path

F, _ = sealed()
CATEGORY_MODULE = net(TINY, ModuleKind.CATEGORY)
MOMENTS = seal_statistics(statistics_of(CATEGORY_MODULE), F)
PCA = seal_statistics(statistics_of(CATEGORY_MODULE, Disclosure.PCA), F)
ANSWERS = seal_answers(answers_of(TINY, request_of()), F)
GRID = seal_answers(answers_of(TINY, request_of(Task.SEGMENTATION)), F)


@dataclass(frozen=True)
class Attack:
    """What is put in the place of one tensor, and the error that it must end in."""

    name: str
    origin: tuple[Manifest, bytes]
    changes: dict[str, Any]
    error: type[ArtifactRejected]
    message: str


def edited(origin: tuple[Manifest, bytes], name: str, place: tuple[int, ...], value: float) -> dict[str, Any]:
    tensor = tensors_of(origin)[name].clone()
    tensor[place] = value
    return {name: tensor}


def count(value: int) -> dict[str, Any]:
    return {"1.sample_count": torch.tensor([value], dtype=torch.int32)}


COVARIANCE = tensors_of(MOMENTS)["0.covariance"]
CHOSEN = tensors_of(ANSWERS)["chosen"]
NAN, RANGE = math.nan, "range"

ATTACKS = [
    Attack("nan_mean", MOMENTS, edited(MOMENTS, "0.mean", (0,), NAN), TensorNotFinite, "0.mean"),
    Attack(
        "infinite_covariance",
        MOMENTS,
        edited(MOMENTS, "1.covariance", (0, 0), math.inf),
        TensorNotFinite,
        "1.covariance",
    ),
    Attack("absurd_mean", MOMENTS, edited(MOMENTS, "1.mean", (3,), 1e30), TensorNotFinite, "1.mean"),
    Attack(
        "asymmetric", MOMENTS, edited(MOMENTS, "0.covariance", (0, 1), 5.0), PayloadMalformed, "not symmetric"
    ),
    Attack("not_psd", MOMENTS, {"0.covariance": -COVARIANCE}, PayloadMalformed, "semidefinite"),
    Attack("few_samples", MOMENTS, count(99), PayloadMalformed, "sample_count is 99"),
    Attack("no_samples", MOMENTS, count(0), PayloadMalformed, "sample_count is 0"),
    Attack("negative_samples", MOMENTS, count(-1), PayloadMalformed, "sample_count is -1"),
    Attack("nan_epsilon", MOMENTS, {"epsilon": torch.tensor([NAN])}, TensorNotFinite, "epsilon"),
    Attack("noise_without_delta", MOMENTS, {"epsilon": torch.tensor([1.0])}, PayloadMalformed, "epsilon"),
    Attack("nan_map", PCA, edited(PCA, "0.mean_map", (0, 0, 0), NAN), TensorNotFinite, "0.mean_map"),
    Attack(
        "map_of_another_mean",
        PCA,
        {"1.mean_map": tensors_of(PCA)["1.mean_map"] + 1},
        PayloadMalformed,
        "mean",
    ),
    Attack(
        "directions_of_nothing", PCA, {"1.directions": torch.zeros(4, 4, 16, 16)}, PayloadMalformed, "add up"
    ),
    Attack(
        "negative_residual",
        PCA,
        {"0.residual": -tensors_of(PCA)["0.residual"] - 1},
        PayloadMalformed,
        "residual",
    ),
    Attack("unsorted", ANSWERS, {"chosen": CHOSEN.flip(0)}, PayloadMalformed, "rise strictly"),
    Attack(
        "duplicate",
        ANSWERS,
        edited(ANSWERS, "chosen", (1,), int(CHOSEN[0])),
        PayloadMalformed,
        "rise strictly",
    ),
    Attack(
        "beyond_the_pool", ANSWERS, edited(ANSWERS, "chosen", (47,), 192), PayloadMalformed, "pool of 192"
    ),
    Attack("negative_place", ANSWERS, edited(ANSWERS, "chosen", (0,), -1), PayloadMalformed, "pool of 192"),
    Attack("nan_range", ANSWERS, edited(ANSWERS, RANGE, (0,), NAN), TensorNotFinite, RANGE),
    Attack("infinite_range", GRID, edited(GRID, RANGE, (1,), math.inf), TensorNotFinite, RANGE),
    Attack("reversed_range", GRID, {RANGE: torch.tensor([1.0, 0.0])}, TensorNotFinite, RANGE),
    Attack(
        "an_image_beside",
        GRID,
        {"images": torch.zeros(48, 3, 32, 32, dtype=torch.uint8)},
        ManifestInvalid,
        "no tensor",
    ),
    Attack(
        "labels_beside", MOMENTS, {"labels": torch.zeros(9, dtype=torch.uint8)}, ManifestInvalid, "no tensor"
    ),
    Attack(
        "fewer_answers", ANSWERS, {"codes": tensors_of(ANSWERS)["codes"][:40]}, ManifestInvalid, "codes is"
    ),
    Attack(
        "more_places", ANSWERS, {"chosen": torch.arange(60, dtype=torch.int32)}, ManifestInvalid, "chosen is"
    ),
    Attack("exact_answers", ANSWERS, {"codes": torch.zeros(48)}, ManifestInvalid, "codes is u8, not f32"),
    Attack(
        "finer_grid", GRID, {"codes": torch.zeros(48, 32, 32, dtype=torch.uint8)}, ManifestInvalid, "codes is"
    ),
    Attack(
        "weights_as_codes",
        MOMENTS,
        {"0.mean": torch.zeros(4, dtype=torch.uint8)},
        ManifestInvalid,
        "0.mean is f32",
    ),
    Attack(
        "count_as_float",
        MOMENTS,
        {"0.sample_count": torch.tensor([200.0])},
        ManifestInvalid,
        "is i32, not f32",
    ),
]


def read(manifest: Manifest, path: Path) -> object:
    return (
        load_answers(manifest, path)
        if manifest.kind is ModuleKind.ANSWERS
        else load_statistics(manifest, path)
    )


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_ends_in_its_error(attack, tmp_path):
    manifest, payload = resealed(attack.origin, attack.changes)
    path = write_artifact(tmp_path, manifest, payload)
    with pytest.raises(attack.error, match=attack.message) as caught:
        read(manifest, path)
    assert type(caught.value) is attack.error


@pytest.mark.parametrize("origin", [MOMENTS, PCA, ANSWERS, GRID], ids=["moments", "pca", "answers", "grid"])
def test_the_honest_ones_pass(origin, tmp_path):
    manifest, payload = resealed(origin, {})
    assert manifest == origin[0]
    read(manifest, write_artifact(tmp_path, manifest, payload))


def test_a_net_is_not_smuggled_in_as_bytes():
    """The types that only disclosures may have stay forbidden for weights."""
    for dtype in ("u8", "i32"):
        manifest, _ = sealed()
        tensors = (manifest.tensors[0].model_copy(update={"dtype": dtype}), *manifest.tensors[1:])
        with pytest.raises(ManifestInvalid, match=r"tensors\.0\.dtype"):
            parse_manifest(manifest.model_copy(update={"tensors": tensors}).canonical_bytes())
