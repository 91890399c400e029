"""Answer the center's probes, so that the task modules stay here: synthetic images in, coarse codes out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge.seal import SealedTeacher, read_answers, read_sealed, record_answers
from transplant.artifact.codec import write_artifact
from transplant.artifact.disclosed import seal_answers
from transplant.datafree.probe import answer_probe
from transplant.errors import MergeNotPossible
from transplant.nets.architecture_table import image_px
from transplant.nets.disclosure_layouts import answers_architecture
from transplant.nets.placement import CPU, placed

if TYPE_CHECKING:
    import torch

    from edge.site_home import SiteHome
    from transplant.nets.teacher_net import TeacherNet
    from transplant.rpc.client import CentralClient

log = logging.getLogger(__name__)


def answer_probes(
    client: CentralClient,
    home: SiteHome,
    net: TeacherNet,
    sealed: SealedTeacher,
    device: torch.device = CPU,
) -> SealedTeacher:
    """Answer and seal what the center asks about this teacher; what was answered before stays.

    The same request gives the same answers (on a CPU), so that a crash in the middle changes nothing.

    Returns:
        The sealed teacher with its answers; it is not `complete` while the center has not asked.

    Raises:
        MergeNotPossible: if the center wants this category's modules (it founds the net), or asks about
            images that this release or this net does not have.
    """
    f = sealed.category_module
    answers = dict(read_answers(home, f.module_id))
    for asked in client.list_probe_requests(f.category):
        task, request = asked.request.task, asked.request
        if asked.category_module != f.module_id or task not in sealed.tasks:
            continue  # an earlier teacher's, or a task that this one was not taught
        known = answers.get(task)
        if known is not None and known.architecture.to_type() == answers_architecture(request):
            continue
        if request.image_px != image_px(f.architecture.to_type()):
            raise MergeNotPossible(
                f"the center asks about images of {request.image_px} px, this net takes "
                f"{image_px(f.architecture.to_type())} px: is it the center that this teacher was sent to?"
            )
        log.info("answering %d of up to %d synthetic images for %s", request.count, request.pool, task)
        parts = placed((net.category_module, net.task_modules[task.value]), device)
        told = answer_probe(request, *parts)
        manifest, payload = seal_answers(told, f)
        write_artifact(home.sealed, manifest, payload)
        answers[task] = manifest
        record_answers(home, f.module_id, answers)
    return read_sealed(home)
