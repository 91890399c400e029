"""The weighted mean of sites' weights: Flower's own, so that the number is Flower's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

from benchmarks.sites.peers.local_training import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from benchmarks.sites.engine import SiteReply


def weighted_mean(replies: Mapping[int, SiteReply]) -> dict[str, Tensor]:
    """Return sum_i n_i w_i / sum_i n_i over the sites that answered (McMahan et al. 2017, algorithm 1).

    It is what `aggregate_train` of Flower's FedAvg does (FedProx inherits it) once the replies are off
    their messages, which exist within a run of Flower's alone.

    Args:
        replies: at least one, each with `num-examples` above 0.
    """
    records = [
        RecordDict(
            {
                "arrays": ArrayRecord(dict(reply.tensors)),
                "metrics": MetricRecord({EXAMPLES: reply.figures[EXAMPLES]}),
            }
        )
        for reply in replies.values()
    ]
    return dict(aggregate_arrayrecords(records, EXAMPLES).to_torch_state_dict())
