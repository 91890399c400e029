"""The ClientApp: Flower's message in, this site's work, Flower's message out.

Up and down travel differences to a published start and nothing more: an ArrayRecord of the adapter's
parameters (of the shared task modules, where a net is founded), and figures of the site's whole data. The
figures are the same set at every site; under local differential privacy they tell nothing.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, cast

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod

from edge.refine_noise import RoundLedger
from edge.refine_work import work_of_round
from edge.settings import EdgeSettings
from edge.site import Site
from edge.site_home import read_document
from transplant.artifact.npy_tensor import array_of, tensor_from_npy
from transplant.artifact.round_order import read_round_order
from transplant.errors import InvalidSettings, ManifestInvalid, PayloadMalformed
from transplant.refinement.round_delta import never_still

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from edge.refine_noise import RoundNoise
    from transplant.artifact.round_order import RoundOrder
    from transplant.refinement.round_delta import RoundDelta

    Work = Callable[[RoundOrder, Mapping[str, Tensor]], RoundDelta]

ARRAYS, CONFIG, FIGURES, ORDER, HOME = "arrays", "config", "figures", "order", "home"
TOLD = ("images", "labels", "loss", "task_loss")
"""What every site tells of a round, with the privacy loss (`epsilon`, `delta`) that its noise stands for."""

_MOST_DIMENSIONS = 4

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Do the work of one round as the site whose folder this node was started with."""
    home = Path(str(context.node_config[HOME]))
    document = read_document(home / "settings.json")
    if document is None:
        raise InvalidSettings(f"{home} is no site's folder: transplant-edge agent starts this node")
    site = Site(EdgeSettings.of(document))
    noise = site.settings.round_noise
    order = _order(message)
    if noise is not None and not order.handed_out:  # behind the last one nothing of the data is told
        RoundLedger(site.home.refine / "privacy.json").enter(order, noise)
    return answer(message, context, lambda order, sent: work_of_round(site, order, sent), noise)


def answer(message: Message, context: Context, work: Work, noise: RoundNoise | None) -> Message:
    """Answer a message with the work of a round.

    Args:
        message: the order and the arrays.
        context: Flower's.
        work: order and tensors as received -> the difference to them.
        noise: of the site's local differential privacy; None: none.

    Raises:
        ManifestInvalid: if the message holds anything else.
    """
    if noise is None:
        return _worked(message, work)
    order = _order(message)
    told = dict.fromkeys(TOLD, 0.0) | {"images": 1.0, "epsilon": noise.epsilon, "delta": noise.delta}
    if order.handed_out:  # the answer is what was sent, whatever the work says: no noise covers it
        sent = _tensors(message)
        work(order, sent)
        return _reply(message, sent, told)
    clip, spread = noise.clip_norm, noise.deviation(order.rounds)
    # Flower's mod takes an epsilon of its own for each round; the one that makes it draw `spread`.
    slope = math.sqrt(2 * math.log(1.25 / noise.delta))
    mod = LocalDpMod(clip, 2 * clip, 2 * clip * slope / spread, noise.delta)
    reply = mod(message, context, lambda own, _context: _worked(own, work, clipped=True))
    arrays = cast("ArrayRecord", reply.content[ARRAYS])
    noised = {name: Array(array.numpy().astype("float32")) for name, array in arrays.items()}
    content = RecordDict({ARRAYS: ArrayRecord(noised), FIGURES: MetricRecord({**told})})
    return Message(content=content, reply_to=message)


def _worked(message: Message, work: Work, *, clipped: bool = False) -> Message:
    order, sent = _order(message), _tensors(message)
    done = work(order, sent)
    told = {name: done.figures.get(name, 0.0) for name in TOLD} | {"epsilon": 0.0, "delta": 0.0}
    moved = {name: sent[name] + delta for name, delta in done.tensors.items()}
    return _reply(message, never_still(moved, sent) if clipped else moved, told)


def _reply(message: Message, tensors: Mapping[str, Tensor], told: Mapping[str, float]) -> Message:
    arrays = ArrayRecord({name: Array(array_of(tensor)) for name, tensor in tensors.items()})
    content = RecordDict({ARRAYS: arrays, FIGURES: MetricRecord({**told})})
    return Message(content=content, reply_to=message)


def _order(message: Message) -> RoundOrder:
    record = message.content.get(CONFIG)
    if not isinstance(record, ConfigRecord) or not isinstance(record.get(ORDER), str):
        raise ManifestInvalid("this message holds no order of a round")
    return read_round_order(str(record[ORDER]))


def _tensors(message: Message) -> dict[str, Tensor]:
    record = message.content.get(ARRAYS)
    if not isinstance(record, ArrayRecord):
        raise ManifestInvalid("this message holds no arrays")
    found: dict[str, Tensor] = {}
    for name, array in record.items():
        if not 0 < len(array.shape) <= _MOST_DIMENSIONS:
            raise PayloadMalformed(f"{name[:80]} has {len(array.shape)} dimensions")
        found[name] = tensor_from_npy(array.data, tuple(array.shape))
    return found
