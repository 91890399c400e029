"""What a merge does follows the size of its images, and nobody's own choice is overruled."""

from __future__ import annotations

import pytest

from transplant.nets.architecture_table import default_architecture, image_px, seam_of
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learner_profile import FULL_PX, PROFILED, image_px_of, with_profile

DEFAULT = LearnerConfig()


@pytest.mark.parametrize("image_px", [32, 48, FULL_PX])
def test_up_to_64_px_the_numbers_are_the_defaults(image_px: int) -> None:
    assert with_profile({}, image_px) == {name: getattr(DEFAULT, name) for name in PROFILED}
    assert (DEFAULT.steps, DEFAULT.synthetic_images) == (3000, 24_000)
    assert with_profile({"batch": 128}, image_px)["steps"] == 3000


@pytest.mark.parametrize("image_px", [66, 80, 96, 128, 224, 512])
@pytest.mark.parametrize("chosen", [{}, {"batch": 1}, {"batch": 64}])
def test_above_it_no_more_pixels_are_used(image_px: int, chosen: dict[str, int]) -> None:
    numbers = with_profile(chosen, image_px)
    pixels = image_px**2
    assert numbers["synthetic_images"] * pixels <= DEFAULT.synthetic_images * FULL_PX**2
    assert numbers["steps"] * numbers["batch"] * pixels <= DEFAULT.steps * DEFAULT.batch * FULL_PX**2
    assert 1 <= numbers["steps"] <= DEFAULT.steps
    assert 128 <= numbers["held_out_images"] <= DEFAULT.held_out_images
    assert numbers["batch"] * pixels <= max(chosen.get("batch", 0) * pixels, 1 << 19)
    LearnerConfig.from_dict(numbers)  # all in range


def test_the_table_of_the_docstring() -> None:
    told = {px: tuple(with_profile({}, px)[name] for name in PROFILED) for px in (64, 96, 128, 224)}
    assert told == {
        64: (32, 3000, 24_000, 512),
        96: (32, 1333, 10_666, 227),
        128: (32, 750, 6000, 128),
        224: (10, 783, 1959, 128),
    }


def test_who_sets_one_number_keeps_it_and_the_others_follow() -> None:
    numbers = with_profile({"steps": 5, "batch": None, "layers": 2}, 224)
    assert (numbers["steps"], numbers["layers"]) == (5, 2)
    assert numbers["batch"] == with_profile({}, 224)["batch"]
    assert with_profile({"batch": 32}, 224)["steps"] < with_profile({}, 224)["steps"]
    assert with_profile({"steps": 0}, 224)["steps"] == 0


@pytest.mark.parametrize(("name", "side"), [("vgg_small", 32), ("vgg_small", 96), ("vgg16", 224)])
def test_a_seam_tells_the_image_size(name: str, side: int) -> None:
    architecture = default_architecture(name, side)
    assert image_px_of(seam_of(architecture)) == image_px(architecture) == side
