"""The rounds of a run, over Flower's grid: who is asked, whose answer counts, and when to go on without one.

Sites are chosen by name with a generator of our own, so a run can be repeated; an answer is looked at before
a number of it is used, and a site that sent something else is named in the record; a round ends when
all have answered, when the quorum has and the others have been waited for, or when its time is over. So the
worst that sites can do is to end the run in a documented state.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from central.refine.attendance import LONGEST_LOOK_S, LOOK_S, Waiter, chosen_sites, sites_there
from central.refine.federated_run import RoundRecord, RunRecord, RunState
from central.refine.strategies import ARRAYS, FIGURES, ORDER, WEIGHT, strategy_of
from transplant.artifact.npy_tensor import array_of, tensor_from_npy
from transplant.artifact.round_order import RoundOrder
from transplant.errors import ArtifactRejected, PayloadMalformed, TensorNotFinite
from transplant.refinement.round_delta import MOST_IMAGES, check_delta, never_still

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from flwr.app import Message
    from flwr.serverapp import Grid
    from torch import Tensor

    from central.refine.federated_run import FederatedRun

log = logging.getLogger(__name__)

TOLD = ("delta", "epsilon", "images", "labels", "loss", "task_loss")
"""The figures of an answer: these, all of them, and no others."""


@dataclass
class _Answers:
    """What came back in a round, by site."""

    good: dict[str, Message] = field(default_factory=dict[str, "Message"])
    refused: dict[str, str] = field(default_factory=dict[str, str])


class _Shown:
    """A grid as far as a strategy looks at it: the nodes that were chosen."""

    def __init__(self, node_ids: Iterable[int]) -> None:
        self._node_ids = list(node_ids)

    def get_node_ids(self) -> list[int]:
        return list(self._node_ids)


def run_rounds(
    grid: Grid,
    run: FederatedRun,
    waiter: Waiter | None = None,
    shut: Callable[[], Collection[str]] = tuple,
) -> tuple[RunRecord, dict[str, Tensor]]:
    """Hold all rounds of a run; where a net is founded, hand what came of them out to all sites.

    Args:
        grid: Flower's.
        run: what to ask, of whom, and how.
        waiter: the clock.
        shut: returns the nodes that may not take part any more, asked again and again.

    Returns:
        How it ended, and what all rounds came to: the difference to the start, empty where it is not DONE.
    """
    strategy, waiter = strategy_of(run.rounds), waiter or Waiter()
    sum_so_far = {name: torch.zeros(shape) for name, shape in run.shapes.items()}
    records: list[RoundRecord] = []
    for number in range(1, run.all_rounds + 1):
        there = sites_there(grid.get_node_ids, run, number, waiter, shut)
        if len(there) < run.rounds.quorum:
            reason = (
                f"{len(there)} of {run.rounds.quorum} sites were there within {run.rounds.wait_s:g} s "
                f"({', '.join(sorted(there)) or 'none'}); round {number}"
            )
            return RunRecord(RunState.NO_SITES, reason, tuple(records)), {}
        last = number > run.rounds.rounds
        asked = tuple(sorted(there)) if last else chosen_sites(sorted(there), run, number)
        messages = strategy.configure_train(
            number,
            ArrayRecord({name: Array(array_of(tensor)) for name, tensor in sum_so_far.items()}),
            ConfigRecord({ORDER: _order(run, number)}),
            cast("Grid", _Shown(there[site] for site in asked)),
        )
        named = {there[site]: site for site in asked}
        answers = _exchange(grid, run, named, list(messages), sum_so_far, waiter, shut)
        used = [answers.good[site] for site in sorted(answers.good)]  # sums of floats depend on the order
        record = _record(number, asked, answers)
        records.append(record)
        log.info("round %d of %d: %s", number, run.rounds.rounds, _line(record))
        if len(used) < run.rounds.quorum:
            reason = f"round {number}: {_line(record)}; {run.rounds.quorum} usable answers are needed"
            return RunRecord(RunState.NO_QUORUM, reason, tuple(records)), {}
        if last:
            break
        try:
            arrays, _ = strategy.aggregate_train(number, used)
            sum_so_far = _aggregated(arrays, run.shapes)
        except (ArithmeticError, ValueError, TypeError, ArtifactRejected) as error:
            reason = f"round {number}: {run.rounds.strategy} made nothing of the answers: {error}"
            return RunRecord(RunState.FAILED, reason, tuple(records)), {}
    return RunRecord(RunState.DONE, "", tuple(records)), sum_so_far


def checked_answer(
    message: Message, run: FederatedRun, sent: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Return tensors and figures of an answer.

    Args:
        message: as received.
        run: what was asked.
        sent: the tensors that went out.

    Raises:
        ArtifactRejected: if it holds anything else than was asked for, or numbers that are none.
    """
    if message.has_error():
        raise ArtifactRejected(str(message.error.reason)[:400])
    content = message.content
    arrays, figures = content.get(ARRAYS), content.get(FIGURES)
    if set(content) != {ARRAYS, FIGURES} or not isinstance(arrays, ArrayRecord):
        raise PayloadMalformed(f"an answer holds {ARRAYS} and {FIGURES}, this one {sorted(content)[:6]}")
    if not isinstance(figures, MetricRecord) or set(figures) != set(TOLD):
        raise PayloadMalformed(f"the figures of an answer are {', '.join(TOLD)}")
    told: dict[str, float] = {}
    for name, value in figures.items():
        if isinstance(value, list) or not math.isfinite(value):
            raise TensorNotFinite(f"{name} is no number")
        told[name] = float(value)
    if min(told["epsilon"], told["delta"], told["labels"]) < 0:
        raise PayloadMalformed("a figure is negative that counts something")
    if not 1 <= told[WEIGHT] <= MOST_IMAGES:
        raise PayloadMalformed(f"{told[WEIGHT]:g} images: no site has so many, or so few")
    if set(arrays) != set(run.shapes):
        odd = ", ".join(sorted(set(arrays) ^ set(run.shapes))[:4])
        raise PayloadMalformed(f"the tensors are not those that were sent out: {odd[:200]}")
    found = {name: tensor_from_npy(array.data, run.shapes[name]) for name, array in arrays.items()}
    check_delta(found, run.shapes)
    moved = {name: tensor - sent[name] for name, tensor in found.items()}
    check_delta(moved, run.shapes, run.rounds.most_norm)
    return found, told


def _exchange(
    grid: Grid,
    run: FederatedRun,
    asked: Mapping[int, str],
    messages: list[Message],
    sent: Mapping[str, Tensor],
    waiter: Waiter,
    shut: Callable[[], Collection[str]],
) -> _Answers:
    """Send the messages and take answers in until all have answered, or waiting longer is not worth it."""
    answers, began_s, look_s = _Answers(), waiter.now_s(), LOOK_S
    until_s = began_s + run.rounds.timeout_s
    nodes = [message.metadata.dst_node_id for message in messages]
    pushed = zip(grid.push_messages(messages), nodes, strict=False)  # none at all where they are too large
    waiting = {message_id: node_id for message_id, node_id in pushed if message_id}
    while waiting and waiter.now_s() < until_s:
        for reply in grid.pull_messages(list(waiting)):
            waiting.pop(reply.metadata.reply_to_message_id, None)
            site = asked.get(reply.metadata.src_node_id)
            if site is not None and site not in answers.good:
                _take(answers, site, reply, run, sent)
                look_s = LOOK_S
        gone = _shut_out(answers, asked, shut())
        waiting = {message_id: node_id for message_id, node_id in waiting.items() if node_id not in gone}
        if waiting:
            waiter.sleep(look_s)
            look_s = min(2 * look_s, LONGEST_LOOK_S)
            if len(answers.good) >= run.rounds.quorum and until_s == began_s + run.rounds.timeout_s:
                taken_s = waiter.now_s() - began_s
                until_s = min(until_s, began_s + (1 + run.rounds.patience) * taken_s)
    _shut_out(answers, asked, shut())
    return answers


def _shut_out(answers: _Answers, asked: Mapping[int, str], shut: Collection[str]) -> set[int]:
    """Refuse what nodes answered that may not take part any more; return those that were asked."""
    gone = {node_id for node_id in asked if str(node_id) in shut}
    for node_id in gone:
        answers.good.pop(asked[node_id], None)
        answers.refused[asked[node_id]] = "NotAllowed: its certificate is not good any more"
    return gone


def _take(
    answers: _Answers, site: str, reply: Message, run: FederatedRun, sent: Mapping[str, Tensor]
) -> None:
    try:
        tensors, told = checked_answer(reply, run, sent)
    except ArtifactRejected as error:
        log.warning("site %s: its answer is refused: %s: %s", site, error.code(), error)
        answers.refused[site] = f"{error.code()}: {error}"
        return
    if run.rounds.equal:  # central noise is accounted for so
        told[WEIGHT] = 1.0
    if run.rounds.epsilon:
        tensors = never_still(tensors, sent)
    arrays = ArrayRecord({name: Array(array_of(tensors[name])) for name in run.shapes})
    # Only what was checked goes on to the strategy: no byte of the received records does.
    reply.content = RecordDict({ARRAYS: arrays, FIGURES: MetricRecord({**told})})
    answers.good[site] = reply


def _aggregated(record: ArrayRecord | None, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    if record is None:
        raise PayloadMalformed("no answer was left to aggregate")
    found = {
        name: tensor_from_npy(Array(array.numpy().astype("float32")).data, shapes[name])
        for name, array in record.items()
    }
    check_delta(found, shapes)
    return found


def _order(run: FederatedRun, number: int) -> str:
    own = {"work": run.work, "run": run.run, "round": number, "rounds": run.rounds.rounds}
    return RoundOrder.model_validate({**own, "seed": run.rounds.seed, **run.order}).to_json()


def _record(number: int, asked: Sequence[str], answers: _Answers) -> RoundRecord:
    heard = answers.good.keys() | answers.refused.keys()
    figures: dict[str, float] = {}
    told = [answers.good[site].content.metric_records[FIGURES] for site in sorted(answers.good)]
    weights = [cast("float", each[WEIGHT]) for each in told]
    for name in TOLD:
        values = [cast("float", each[name]) for each in told]
        if name in (WEIGHT, "labels"):
            figures[name] = sum(values)
        elif name == "epsilon":
            figures[name] = max(values) if values and all(values) else 0.0  # one without noise: no bound
        elif name == "delta":
            figures[name] = max(values, default=0.0)
        elif weights:
            figures[name] = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
    silent = tuple(site for site in asked if site not in heard)
    return RoundRecord(number, tuple(asked), tuple(sorted(answers.good)), answers.refused, silent, figures)


def _line(record: RoundRecord) -> str:
    refused = ", ".join(f"{site} ({why})" for site, why in sorted(record.refused.items()))
    return (
        f"{len(record.answered)} of {len(record.asked)} answered"
        + (f"; refused: {refused}" if refused else "")
        + (f"; silent: {', '.join(record.silent)}" if record.silent else "")
    )
