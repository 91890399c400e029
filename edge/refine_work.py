"""What this site does in a federated round, under its own policy: its images and labels stay here.

A refinement starts from the published route, whose modules the site has by their digests and verifies. What
the center asks for is bounded by what the site allows: nothing at all unless it takes part, and no more
labels than its own number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from edge.datasets.site_dataset import Split
from edge.found_work import found_round
from edge.pull import fetch, net_folder
from edge.seal import read_sealed
from edge.teach.augment import Augmentation
from transplant.artifact.digest import derive_seed
from transplant.errors import DatasetInvalid, ManifestInvalid, NotAllowed, NotFound
from transplant.nets.architecture_table import image_px
from transplant.nets.learning import LabelledSamples
from transplant.nets.transplant_net import freeze
from transplant.refinement.adapter_refinement import RefinementProblem, refine
from transplant.refinement.refinement_config import RefinementConfig
from transplant.refinement.round_delta import RoundDelta, add_to

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from edge.site import Site
    from transplant.artifact.round_order import RefinedRoute, RoundOrder
    from transplant.nets.adapter import Adapter
    from transplant.types import Task


def work_of_round(site: Site, order: RoundOrder, arrays: Mapping[str, Tensor]) -> RoundDelta:
    """Do what a round asks of this site; return the difference to what was sent out.

    Args:
        site: this site, its teacher trained.
        order: what the center asks.
        arrays: what all rounds before came to, as a difference to the published start.

    Raises:
        NotAllowed: if the site takes no part, or the category is not its own.
        PayloadMalformed: if `arrays` are not the start's tensors.
        ArtifactRejected: if a module is not what its id says.
        DatasetInvalid: if there is nothing to learn from, or images are of another size than the route's.
    """
    if site.settings.refine is None:
        raise NotAllowed("this site takes no part in federated rounds (its --refine is not set)")
    if order.route is not None:
        return refine_route(site, order, order.route, arrays)
    if order.net is not None:
        if not site.settings.found:
            raise NotAllowed("this site founds no net: it trains on all its labels (--found lets it)")
        return found_round(site, order, order.net, arrays)
    raise ManifestInvalid("this round has no route to refine, and no net to found")


def refine_route(
    site: Site, order: RoundOrder, route: RefinedRoute, arrays: Mapping[str, Tensor]
) -> RoundDelta:
    """Refine the adapter of a published route on the training images of this site; see `work_of_round`."""
    if route.category != site.category:
        raise NotAllowed(f"this site holds {site.category}, and not {route.category}")
    asked = RefinementConfig.from_dict(order.settings)
    config = asked.at_site(
        derive_seed("refine", str(order.seed), site.name), min(asked.labels, site.settings.refine_labels)
    )
    adapter = cast("Adapter", _module(site, route.adapter))
    add_to(adapter, arrays)
    problem = _problem(site, route, with_labels=config.labels > 0)
    return refine(problem, config, adapter, round_number=order.round, rounds=order.rounds)


def _problem(site: Site, route: RefinedRoute, *, with_labels: bool) -> RefinementProblem:
    data = site.data.load(Split.TRAIN)
    f = freeze(_module(site, route.category_module))
    taken = image_px(net_folder(site.home).manifest(route.category_module).architecture.to_type())
    if data.image_px != taken:
        raise DatasetInvalid(
            f"the route takes images of {taken} px, and this site's are of {data.image_px} px (--image-px)"
        )
    own_f, own_g = _teacher(site, route.task)
    if _made_here(site, route.category_module):
        own_f = f  # the same net: its features are computed once
    return RefinementProblem(
        category_module=f,
        task_module=freeze(_module(site, route.task_module)),
        teacher_category_module=own_f,
        teacher_task_module=own_g,
        task=route.task,
        images=data.images,
        labelled=LabelledSamples(*data.examples(route.task)) if with_labels else None,
        augment=Augmentation.for_data(data).apply,
    )


def _made_here(site: Site, module_id: str) -> bool:
    """Tell whether a category module is the one that this site's teacher was cut from, and was shipped."""
    try:
        return read_sealed(site.home).category_module.module_id == module_id
    except NotFound:
        return False  # its teacher was never sealed: the route is another site's


def _teacher(site: Site, task: Task) -> tuple[nn.Module, nn.Module]:
    net = freeze(site.teach().net)
    if task.value not in net.task_modules:
        raise NotAllowed(f"this site's teacher was not taught {task.value}")
    return net.category_module, net.task_modules[task.value]


def _module(site: Site, module_id: str) -> nn.Module:
    """Return a module of the net: from where it was pulled to, else from the center; verified either way."""
    try:
        return net_folder(site.home).load(module_id)
    except NotFound:
        with site.client() as client:
            fetch(client, site.home, module_id)
        return net_folder(site.home).load(module_id)
