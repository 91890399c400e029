"""What the center asks a site, to protobuf and back: a site works for no request that is out of bounds."""

from __future__ import annotations

from transplant.nets.architectures import tensor_layout
from transplant.nets.disclosure_layouts import answers_architecture
from transplant.nets.disclosures import ProbeRequest
from transplant.rpc.convert_values import TASKS, enum_from_proto
from transplant.rpc.messages import AskedProbe
from transplant.types import ModuleKind
from transplant.v1 import probe_pb2


def asked_probe_to_proto(asked: AskedProbe) -> probe_pb2.ProbeRequest:
    """Return what a site is asked."""
    request = asked.request
    return probe_pb2.ProbeRequest(
        category_module=asked.category_module,
        task=TASKS[request.task],
        generator=request.generator,
        seed=request.seed,
        pool=request.pool,
        count=request.count,
        image_px=request.image_px,
        drawings_percent=request.drawings_percent,
        grid=request.grid,
    )


def asked_probe_from_proto(message: probe_pb2.ProbeRequest) -> AskedProbe:
    """Read what the center asks.

    Raises:
        UnknownArchitecture: if it asks more than the closed table of answers allows.
        InvalidSettings: if the task is not one.
    """
    request = ProbeRequest(
        generator=message.generator,
        seed=message.seed,
        pool=message.pool,
        count=message.count,
        image_px=message.image_px,
        drawings_percent=message.drawings_percent,
        grid=message.grid,
        task=enum_from_proto(TASKS, message.task, "task"),
    )
    tensor_layout(answers_architecture(request), ModuleKind.ANSWERS, request.task)
    return AskedProbe(message.category_module, request)
