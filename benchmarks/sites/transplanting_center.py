"""What the center does with shipped teachers: it founds a net, learns adapters, and calibrates the routes.

As the planner has it (`central.merge.plan`), the first teacher founds the net, and its task module is the g_S
that every later category is led into. A route's scores are its calibrated log-odds
(`transplant.nets.prediction`): its site measures the temperature where the labels are and tells the number,
so no label and no picture leaves a site.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from benchmarks.journey.pictures import wilson_interval
from transplant.artifact.digest import derive_seed
from transplant.datafree.pipeline import TransplantLearner
from transplant.nets.architecture_table import adapter_architecture, default_architecture, seam_of
from transplant.nets.architectures import build_category_module, build_task_module
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learner_profile import with_profile
from transplant.nets.learning import AdapterProblem, run_learner
from transplant.nets.measures import as_images
from transplant.nets.pixel_budget import images_at_once
from transplant.nets.prediction import Calibration
from transplant.nets.temperature import TEMPERATURE
from transplant.nets.transplant_net import RouteNet, freeze
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor, nn

    from benchmarks.sites.contender import Training
    from benchmarks.sites.engine import SiteReply
    from benchmarks.sites.federation import LocalData
    from transplant.types import Architecture

UNKNOWN = -1e4
"""The score of a category that nobody taught: it is never the answer."""
CANDIDATES = 2
"""Of a category's teachers so many are led into the net before one is chosen; each takes its own adapter."""
_IMAGES_A_STEP = 8
"""Synthetic images a step of an adapter: at 32 a batch each is seen four times."""
_LEAST_HELD_OUT = 64
_ADAPTER = LearnerConfig()


@dataclass(frozen=True, eq=False)
class Offer:
    """A teacher that a site shipped.

    Args:
        category: its number.
        site: who offers it.
        category_module: f, frozen.
        task_module: g_T, frozen.
        error: on what the site held out, percent.
        held_out: on how many pictures that was.
        temperature: at which its answers are as sure there as they are right.
    """

    category: int
    site: int
    category_module: nn.Module
    task_module: nn.Module
    error: float
    held_out: int
    temperature: float = 1.0

    @property
    def worst_error(self) -> float:
        """Return the upper end of the 95 % Wilson interval: few pictures must not look like certainty."""
        return wilson_interval(self.error, self.held_out)[1]

    @property
    def key(self) -> str:
        """Return the name of the teacher's route on its way to sites."""
        return route_key(self.category, self.site)

    def alone(self) -> RouteNet:
        """Return the teacher as a route of its own."""
        return RouteNet(self.category_module, torch.nn.Identity(), self.task_module)


@dataclass(frozen=True, eq=False)
class CalibratedRoute:
    """A route with how sure its logits are."""

    offer: Offer
    net: RouteNet
    calibration: Calibration

    @torch.no_grad()
    def scores(self, images_u8: Tensor) -> Tensor:
        """Return calibrated log-odds (N,)."""
        logits = _logits(self.net, images_u8)
        return (logits - self.calibration.offset) / self.calibration.temperature


def teacher_route(offer: Offer) -> CalibratedRoute:
    """Return a teacher as it is, as sure as its site found it right."""
    return CalibratedRoute(offer, offer.alone(), Calibration(offer.temperature))


def route_key(category: int, site: int) -> str:
    """Return the name of the route of one site's teacher; it has no full stop."""
    return f"{category}-{site}"


def category_of(key: str) -> int:
    """Return the category in a `route_key`."""
    return int(key.partition("-")[0])


def adapter_shape(architecture: Architecture) -> Architecture:
    """Return the architecture of every adapter between two nets of this one: the learner's default."""
    channels = seam_of(architecture).channels
    return adapter_architecture(channels, channels, _ADAPTER.layers, _ADAPTER.kernel)


def offers_of(replies: Mapping[int, SiteReply], arch: str, image_px: int) -> list[Offer]:
    """Return the teachers in the sites' replies to `train_teachers`, by category and site."""
    architecture = default_architecture(arch, image_px)
    offers: list[Offer] = []
    for site, reply in replies.items():
        for name in reply.figures:
            number, _, figure = name.partition(".")
            if figure != "error":
                continue
            f = build_category_module(architecture)
            g = build_task_module(architecture, Task.CLASSIFICATION)
            for part, module in (("f", f), ("g", g)):
                prefix = f"{number}.{part}."
                module.load_state_dict(
                    {
                        key.removeprefix(prefix): tensor
                        for key, tensor in reply.tensors.items()
                        if key.startswith(prefix)
                    }
                )
                module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - absent from the stubs
            held_out = int(reply.figures[f"{number}.held_out"])
            temperature = reply.figures[f"{number}.{TEMPERATURE}"]
            offers.append(
                Offer(int(number), site, freeze(f), freeze(g), reply.figures[name], held_out, temperature)
            )
    return sorted(offers, key=lambda offer: (offer.category, offer.site))


def candidates_of(offers: Iterable[Offer]) -> list[Offer]:
    """Return for each category the few offers that are surely best, by the upper end of their errors.

    By category, the best one first. Each is led into the net, and sites say which route is the best: a
    teacher that is a little worse may lead into g_S better.
    """
    ranked = sorted(offers, key=lambda offer: (offer.category, offer.worst_error, offer.site))
    rank: dict[int, int] = {}
    chosen: list[Offer] = []
    for offer in ranked:
        rank[offer.category] = rank.get(offer.category, 0) + 1
        if rank[offer.category] <= CANDIDATES:
            chosen.append(offer)
    return chosen


class Center:
    """Founds a net and lets it grow.

    Args:
        training: steps of an adapter, batch size, precision and architecture.
        image_px: side of the pictures.
        drawings: which share of synthetic images are drawings (`benchmarks.operator`).
        seed: of the run.
        public: unlabelled public pictures, uint8 (N, 3, H, W), that adapters are learned on beside synthetic
            ones; None: synthetic ones alone.
    """

    def __init__(
        self, training: Training, image_px: int, drawings: float, seed: int, public: Tensor | None = None
    ) -> None:
        self._training = training
        self._image_px = image_px
        self._drawings = drawings
        self._seed = seed
        self._public = public
        self._founder: Offer | None = None

    def add(self, offer: Offer) -> tuple[CalibratedRoute, dict[str, float]]:
        """Found the net with a teacher, or learn the adapter that leads its f into the founder's g_S.

        Returns:
            The route, as sure as the teacher until sites have measured it, and the learner's data-free
            figures (none of a founder).
        """
        if self._founder is None:
            self._founder = offer
            return teacher_route(offer), {}
        founder = self._founder
        architecture = default_architecture(self._training.arch, self._image_px)
        problem = AdapterProblem(
            category_module=offer.category_module,
            teacher_task_module=offer.task_module,
            host_task_module=founder.task_module,
            host_category_module=founder.category_module,
            architecture=architecture,
            host_architecture=architecture,
            task=Task.CLASSIFICATION,
            proxy_images=self._public,
        )
        learned = run_learner(TransplantLearner(), problem, self._config(offer))
        route = RouteNet(offer.category_module, learned.adapter, founder.task_module)
        return CalibratedRoute(offer, route, Calibration(offer.temperature)), learned.figures

    def _config(self, offer: Offer) -> LearnerConfig:
        training = self._training
        chosen = {
            "method": "transplant",
            "steps": training.center_steps,
            "batch": training.batch_size,
            "drawings": self._drawings,
            "precision": training.precision,
            "seed": derive_seed("adapter", str(offer.category), str(offer.site), str(self._seed)),
        }
        settings = with_profile(chosen, self._image_px)
        # Short trainings get fewer images than the learner would make; long ones its own number.
        wanted = _IMAGES_A_STEP * max(1, training.center_steps)
        settings["synthetic_images"] = min(settings["synthetic_images"], wanted)
        settings["held_out_images"] = min(settings["held_out_images"], max(_LEAST_HELD_OUT, wanted))
        return LearnerConfig.from_dict(settings)


def scores_of(routes: Sequence[CalibratedRoute], images_u8: Tensor, categories: int) -> Tensor:
    """Return (N, K) scores: a category's routes are averaged, one without any is `UNKNOWN`."""
    columns = torch.full((len(images_u8), categories), UNKNOWN)
    for category in {route.offer.category for route in routes}:
        mine = [route.scores(images_u8) for route in routes if route.offer.category == category]
        columns[:, category] = torch.stack(mine).mean(dim=0)
    return columns


def scores_of_part(routes: Sequence[CalibratedRoute], test: LocalData, categories: int) -> Tensor:
    """Return the scores of those test pictures that show one of the first categories.

    All pictures are scored and these taken: as categories join, a route then sees its pictures in the same
    batches each time, and what does not change does not differ by a rounding either.
    """
    return scores_of(routes, test.images, categories)[test.labels < categories]


def bytes_of(routes: Sequence[CalibratedRoute]) -> int:
    """Return the size of the net of these routes; a module that routes share counts once."""
    modules = {
        id(module): module
        for route in routes
        for module in (route.net.category_module, route.net.adapter, route.net.task_module)
    }
    tensors = (tensor for module in modules.values() for tensor in module.state_dict().values())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@torch.no_grad()
def _logits(net: nn.Module, images_u8: Tensor) -> Tensor:
    parts = images_u8.split(images_at_once(images_u8.shape[-1], 256, 1 << 20))
    return torch.cat([net(as_images(part)).flatten() for part in parts])
