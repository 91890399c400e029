"""The transplant net: category modules, task modules and the adapters between them, like LEGO."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from torch import Tensor, nn

from transplant.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transplant.types import NetVersion, Route, Task

M = TypeVar("M", bound=nn.Module)


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

    Raises:
        NotFound: if a module of the version is missing.
    """

    def __init__(self, version: NetVersion, modules: Mapping[str, nn.Module]) -> None:
        missing = [module_id for module_id in version.module_ids() if module_id not in modules]
        if missing:
            raise NotFound(f"version {version.number} needs the modules {', '.join(m[:12] for m in missing)}")
        self.version = version
        self._modules = {module_id: freeze(modules[module_id]) for module_id in version.module_ids()}

    def route(self, category: str, task: Task) -> RouteNet:
        """Return images -> logits for one category and task.

        Raises:
            NotFound: if this version has no such route; the message lists those it has.
        """
        for line in self.version.routes:
            if (line.category, line.task) == (category, task):
                return self.assemble(line)
        known = ", ".join(f"{line.category}/{line.task}" for line in self.version.routes)
        raise NotFound(f"version {self.version.number} has no route {category}/{task}; it has {known}")

    def assemble(self, line: Route) -> RouteNet:
        """Join the three modules of one line."""
        adapter = nn.Identity() if line.adapter is None else self._modules[line.adapter]
        return RouteNet(self._modules[line.category_module], adapter, self._modules[line.task_module])


def freeze(net: M) -> M:
    """Switch to evaluation mode and take every parameter out of training; return the same object."""
    net.eval()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    return net
