"""The transplant net: category modules, task modules and the adapters between them, like LEGO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch import Tensor, nn

from transplant.errors import InvalidSettings, NotFound
from transplant.nets.image_check import checked_images
from transplant.nets.joint_routes import JointRoutes
from transplant.nets.placement import CPU, beside, placed, to_device
from transplant.nets.prediction import Prediction
from transplant.nets.route_guide import RouteGuide, plausibility

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transplant.types import NetVersion, Route, Task

M = TypeVar("M", bound=nn.Module)
_REMEMBERED = 16


class ModuleSource(Protocol):
    """Where modules lie: a site's folder, a center's store."""

    def load(self, module_id: str) -> nn.Module:
        """Return a module, verified.

        Raises:
            NotFound: if it is not there.
            ArtifactRejected: if it is not what its id says.
        """
        ...


class RouteNet(nn.Module):
    """y = g_S(h(f(I))), frozen."""

    def __init__(self, category_module: nn.Module, adapter: nn.Module, task_module: nn.Module) -> None:
        super().__init__()
        self.category_module = category_module
        self.adapter = adapter
        self.task_module = task_module
        freeze(self)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the route's logits for float32 images in [0, 1]."""
        return self.task_module(self.adapter(self.category_module(images_BCHW)))


class TransplantNet:
    """One version of the net, assembled from its modules.

    Modules are shared between routes: two categories that use one task module hold the same object.

    Args:
        version: which routes there are.
        modules: module id -> module, for every id of `version.module_ids()`.
        guides: (category, task) -> what is known about a route beside its weights; of any, or of none.

    Raises:
        NotFound: if a module of the version is missing.
    """

    def __init__(
        self,
        version: NetVersion,
        modules: Mapping[str, nn.Module],
        guides: Mapping[tuple[str, Task], RouteGuide] | None = None,
    ) -> None:
        missing = [module_id for module_id in version.module_ids() if module_id not in modules]
        if missing:
            raise NotFound(f"version {version.number} needs the modules {', '.join(m[:12] for m in missing)}")
        self.version = version
        self._modules = {module_id: freeze(modules[module_id]) for module_id in version.module_ids()}
        self._guides = dict(guides or {})
        self._joint: dict[tuple[Route, ...], JointRoutes] = {}

    @classmethod
    def load(
        cls,
        version: NetVersion,
        source: ModuleSource,
        guides: Mapping[tuple[str, Task], RouteGuide] | None = None,
    ) -> TransplantNet:
        """Assemble a version from where its modules lie; each is read once, however many routes share it.

        Raises:
            NotFound: if a module is not there.
            ArtifactRejected: if a module is not what its id says.
        """
        return cls(version, {module_id: source.load(module_id) for module_id in version.module_ids()}, guides)

    @property
    def guides(self) -> Mapping[tuple[str, Task], RouteGuide]:
        """Return what is known about routes beside their weights."""
        return self._guides

    def guided(self, guides: Mapping[tuple[str, Task], RouteGuide]) -> TransplantNet:
        """Return the same net with other guides; the modules are the same objects."""
        return TransplantNet(self.version, self._modules, guides)

    def on(self, device: torch.device) -> TransplantNet:
        """Return the same net with its modules on a device; on the CPU, where they are, the same object."""
        modules = placed(self._modules, device)
        if all(modules[each] is self._modules[each] for each in modules):
            return self
        return TransplantNet(self.version, modules, self._guides)

    def route(self, category: str, task: Task) -> RouteNet:
        """Return images -> logits for one category and task.

        Raises:
            NotFound: if this version has no such route; the message lists those it has.
        """
        return self.assemble(self._line(category, task))

    def assemble(self, line: Route) -> RouteNet:
        """Join the three modules of one line."""
        return RouteNet(*self._parts(line))

    def categories(self, task: Task) -> tuple[str, ...]:
        """Return the categories that have a route for a task, in the order of the version."""
        return tuple(line.category for line in self.version.routes if line.task == task)

    def supervised(self, task: Task) -> dict[str, str]:
        """Return whose teacher taught a category's route for a task, of those that were not their own's."""
        routes = (line for line in self.version.routes if line.task == task and line.supervised_by)
        return {line.category: line.supervised_by for line in routes}

    @torch.no_grad()
    def predict(
        self,
        images_BCHW: Tensor,
        *,
        task: Task,
        categories: Sequence[str] | None = None,
        budget: int | None = None,
    ) -> Prediction:
        """Run the routes of one task on images.

        The answers are those of the routes one by one up to float rounding: f and h of one form are computed
        together, and each g_S for the maps of all its categories (`transplant.nets.joint_routes`).

        Args:
            images_BCHW: uint8 or float32 in [0, 1], (B, 3, side, side).
            task: which task.
            categories: which of them; default: all that have a route for the task.
            budget: run every f, but of each image only so many routes: those that are most plausible by
                their features. It takes guides with a plausibility.

        Raises:
            ImagesInvalid: if the images are not what the net takes.
            NotFound: if there is no such route.
            InvalidSettings: if a category is named twice, or for a budget that cannot be kept.
        """
        chosen = self.categories(task) if categories is None else tuple(categories)
        if not chosen:
            raise NotFound(f"version {self.version.number} has no route for {task}")
        if len(set(chosen)) < len(chosen):
            raise InvalidSettings("categories: one is named twice")
        lines = tuple(self._line(category, task) for category in chosen)
        routes = self._routes(lines)
        images = checked_images(
            images_BCHW, {line.task_module: self._modules[line.task_module] for line in lines}.values()
        )
        images = beside(images, self._modules[lines[0].category_module])
        guides = [self._guides.get((category, task), RouteGuide()) for category in chosen]
        if budget is None or (budget >= len(chosen)):
            logits = to_device(routes.logits(images), CPU)
            ran = torch.ones(logits.shape[:2], dtype=torch.bool)
        elif budget < 1:
            raise InvalidSettings(f"budget: at least 1 route must run; got {budget}")
        else:
            logits, ran = routes.chosen_logits(
                images, budget, lambda places, x: plausibility([guides[place] for place in places], x)
            )
        calibrations = tuple(guide.calibration for guide in guides)
        return Prediction(self.version.number, task, chosen, logits, calibrations, ran)

    def _line(self, category: str, task: Task) -> Route:
        for line in self.version.routes:
            if (line.category, line.task) == (category, task):
                return line
        known = ", ".join(f"{line.category}/{line.task}" for line in self.version.routes)
        raise NotFound(f"version {self.version.number} has no route {category}/{task}; it has {known}")

    def _parts(self, line: Route) -> tuple[nn.Module, nn.Module, nn.Module]:
        adapter = nn.Identity() if line.adapter is None else self._modules[line.adapter]
        return self._modules[line.category_module], adapter, self._modules[line.task_module]

    def _routes(self, lines: tuple[Route, ...]) -> JointRoutes:
        """Return the routes as one; what was put together is kept for the next images."""
        routes = self._joint.get(lines)
        if routes is None:
            if len(self._joint) >= _REMEMBERED:
                self._joint.clear()
            routes = self._joint[lines] = JointRoutes([self._parts(line) for line in lines])
        return routes


def freeze(net: M) -> M:
    """Switch to evaluation mode and take every parameter out of training; return the same object."""
    net.eval()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    return net
