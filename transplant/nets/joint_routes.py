"""All routes of one task at once: f and h of one form together, each g_S for the maps of all its categories.

The operations are those of the routes one by one; what is saved is the fixed cost of small calls and the
reading of weights. Work is cut into parts of so few maps that they stay in a core's cache, which also bounds
the memory: it does not grow with the number of categories or images beyond the answers themselves.

Shape suffixes: B images, G categories, C channels, H and W places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from transplant.nets.category_group import CategoryGroup, form_of
from transplant.nets.pixel_budget import images_at_once
from transplant.nets.placement import CPU, to_device
from transplant.nets.shared_task import SharedTask

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from torch import nn

    Scores = Callable[[Sequence[int], Tensor], Tensor]
    """Places of categories of one form and their features, category by category (G B, C, H, W) -> how
    plausible each is in each image, (G, B)."""

_MAPS_AT_ONCE = 32
_PIXELS_AT_ONCE = 1 << 15
_PARTS_REMEMBERED = 16
"""Features that wait for the choice of routes may be so many times what is computed at a time."""


@dataclass(frozen=True)
class _Host:
    """One g_S and the categories that use it: groups of one form of f and h, with their places among all."""

    shared: SharedTask
    groups: tuple[tuple[tuple[int, ...], CategoryGroup], ...]

    @property
    def places(self) -> list[int]:
        """Return the places of all its categories, group by group."""
        return [place for places, _ in self.groups for place in places]


class JointRoutes:
    """Routes of one task.

    Args:
        routes: f, h (an identity where there is none) and g_S of each category; g_S may be shared.
    """

    def __init__(self, routes: Sequence[tuple[nn.Module, nn.Module, nn.Module]]) -> None:
        alike: dict[int, dict[Hashable, list[int]]] = {}
        for place, (f, h, g) in enumerate(routes):
            alike.setdefault(id(g), {}).setdefault(form_of(f, h), []).append(place)
        self._count = len(routes)
        self._hosts = tuple(
            _Host(
                SharedTask(routes[next(iter(forms.values()))[0]][2]),
                tuple(
                    (tuple(places), CategoryGroup([routes[place][:2] for place in places]))
                    for places in forms.values()
                ),
            )
            for forms in alike.values()
        )

    def logits(self, images_BCHW: Tensor) -> Tensor:
        """Return all routes' logits, (B, G) or (B, G, H, W), for float32 images in [0, 1]."""
        at_once = _at_once(images_BCHW)
        parts = images_BCHW.split(at_once)
        told: list[Tensor] = []
        for host in self._hosts:
            rows = host.shared.logits(_filled(_maps(host, parts, at_once), at_once))
            categories = len(host.places)
            by_category = [
                part.unflatten(0, (categories, -1))
                for part in rows.split([categories * len(part) for part in parts])
            ]
            told.append(torch.cat(by_category, dim=1).squeeze(2))
        places = torch.tensor([place for host in self._hosts for place in host.places])
        return torch.cat(told)[places.argsort()].transpose(0, 1)

    def chosen_logits(self, images_BCHW: Tensor, budget: int, scores: Scores) -> tuple[Tensor, Tensor]:
        """Run every f, and of each image the `budget` routes whose features score highest.

        Returns:
            Logits as `logits` gives them, NaN where a route was not run; and which were run, bool (B, G).
        """
        at_once = _at_once(images_BCHW)
        together = max(1, _PARTS_REMEMBERED * at_once // self._count)
        told = [self._chosen(part, at_once, budget, scores) for part in images_BCHW.split(together)]
        logits, ran = zip(*told, strict=True)
        return torch.cat(logits), torch.cat(ran)

    def _chosen(
        self, images_BCHW: Tensor, at_once: int, budget: int, scores: Scores
    ) -> tuple[Tensor, Tensor]:
        count = len(images_BCHW)
        features: dict[int, Tensor] = {}
        scores_BG = torch.empty(count, self._count)
        for places, maps in self._features(images_BCHW, at_once):
            features.update(zip(places, maps.chunk(len(places)), strict=True))
            scores_BG[:, list(places)] = scores(places, to_device(maps, CPU)).T
        ran_BG = torch.zeros(count, self._count, dtype=torch.bool)
        ran_BG.scatter_(1, scores_BG.topk(min(budget, self._count), dim=1).indices, value=True)
        told: list[tuple[Tensor, Tensor]] = []  # flat places in (B, G), rows of logits
        for host in self._hosts:
            wanted = {place: ran_BG[:, place].nonzero().flatten() for place in host.places}
            at = torch.cat([self._count * images + place for place, images in wanted.items()])
            if len(at):
                maps = (
                    group.adapt(features[place][wanted[place]], index)
                    for places, group in host.groups
                    for index, place in enumerate(places)
                    if len(wanted[place])
                )
                rows = host.shared.logits(_filled(maps, at_once)).squeeze(1)
                told.append((at, to_device(rows, CPU)))
        logits = torch.full((count * self._count, *told[0][1].shape[1:]), torch.nan)
        for at, rows in told:
            logits[at] = rows
        return logits.unflatten(0, (count, self._count)), ran_BG

    def _features(self, images_BCHW: Tensor, at_once: int) -> Iterator[tuple[tuple[int, ...], Tensor]]:
        """Yield places of categories and their f(I), category by category."""
        for host in self._hosts:
            for places, group in host.groups:
                for first, last in _steps(len(group), at_once, len(images_BCHW)):
                    yield places[first:last], group.features(images_BCHW, first, last)


def _at_once(images_BCHW: Tensor) -> int:
    """Return for how many maps of these images' size f, h and the lower part of g_S run together."""
    return images_at_once(images_BCHW.shape[-1], _MAPS_AT_ONCE, _PIXELS_AT_ONCE)


def _maps(host: _Host, parts: Sequence[Tensor], at_once: int) -> Iterator[Tensor]:
    """Yield h(f(I)): image part by image part, in each category by category."""
    for part in parts:
        for _, group in host.groups:
            for first, last in _steps(len(group), at_once, len(part)):
                yield group.adapted(part, first, last)


def _steps(categories: int, at_once: int, images: int) -> Iterator[tuple[int, int]]:
    """Yield [first, last) of as many categories as run together on so many images."""
    step = max(1, at_once // images)
    for first in range(0, categories, step):
        yield first, min(first + step, categories)


def _filled(maps: Iterable[Tensor], at_once: int) -> Iterator[Tensor]:
    """Yield the same maps, small parts joined to about `at_once`, and large ones cut."""
    waiting: list[Tensor] = []
    for each in maps:
        for part in each.split(at_once):
            waiting.append(part)
            if sum(map(len, waiting)) >= at_once:
                yield waiting[0] if len(waiting) == 1 else torch.cat(waiting)
                waiting = []
    if waiting:
        yield waiting[0] if len(waiting) == 1 else torch.cat(waiting)
