"""Sites as the ClientApps of a Flower simulation, the contender inside its ServerApp.

The only file that knows Flower's simulation engine. Ray is started beforehand, at `RAY_ADDRESS` or on
loopback, so that its object store is capped and nobody else can reach it; Flower then takes what is there,
and shuts it down at the end. A site's pictures lie in a file that its worker reads: only the method's
tensors travel. Nodes are told apart by their partition, because their ids are random.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from benchmarks.sites.engine import SiteReply
from benchmarks.sites.federation import LocalData
from benchmarks.sites.run_works import Done, Told, do_work, work_of
from central.runners.ray_session import connect, session_environment
from transplant.errors import ERRORS, BenchmarkFailed, TransplantError

# Ray reads these when it is imported; what the user has set stays.
os.environ.update({**session_environment(), **os.environ})

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.sites.engine import Setting
    from benchmarks.sites.run_rounds import Carrier

Answer = TypeVar("Answer")

_OBJECT_STORE_BYTES = 200 << 20
_PULLED_EVERY_S = 0.1
_PARTITION = "partition-id"
_ARRAYS, _ASKED, _TOLD, _FAULT = "arrays", "asked", "told", "fault"
_SETTINGS, _FIGURES = "settings", "figures"


def simulated(
    sites: Sequence[LocalData],
    folder: Path,
    body: Callable[[Carrier], Answer],
    *,
    workers: int,
    threads: int,
    timeout_s: float,
    told: Callable[[int, int], None],
) -> Answer:
    """Run `body` inside a ServerApp, with a carrier whose sites are ClientApps, and return what it returns.

    Args:
        sites: what each holds.
        folder: where the sites' files are put; on a cluster every node must see it at this path.
        body: run once.
        workers: ClientApps side by side, where Ray is started here.
        threads: computing threads of each; only 1 is reproducible.
        timeout_s: a round that takes longer ends the run.
        told: called with (sites done, sites of the round).

    Raises:
        BenchmarkFailed: if the engine does not start or a site does not answer.
        TransplantError: what `body` or a site raised.
    """
    for number, data in enumerate(sites):
        _write(data, folder, number)
    answers: list[Answer] = []
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:  # pyright: ignore[reportUnusedFunction] - Flower calls it
        del context
        torch.set_num_threads(threads)
        answers.append(body(_Flower(grid, len(sites), folder, threads, timeout_s, told)))

    for name in ("flwr", "ray"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is raised, once
    try:
        connect(workers * threads, _OBJECT_STORE_BYTES, logging_level=logging.WARNING)
    except (OSError, RuntimeError, ValueError) as error:
        raise BenchmarkFailed(f"Ray did not start ({error}): try --engine local") from error
    try:
        run_simulation(
            server,
            _client_app(),
            num_supernodes=len(sites),
            backend_config={"client_resources": {"num_cpus": threads, "num_gpus": 0.0}},
        )
    except RuntimeError as error:
        raise BenchmarkFailed(f"Flower's simulation ended ({error}): try --engine local") from error
    if not answers:
        raise BenchmarkFailed("Flower's simulation ended before its ServerApp did: try --engine local")
    return answers[0]


class _Flower:
    """Implements `Carrier` on the grid of a running simulation."""

    def __init__(
        self,
        grid: Grid,
        sites: int,
        folder: Path,
        threads: int,
        timeout_s: float,
        told: Callable[[int, int], None],
    ) -> None:
        self._grid = grid
        self._folder = folder
        self._threads = threads
        self._timeout_s = timeout_s
        self._told = told
        self._nodes = self._partitions(sites)

    def carry(self, work: str, told: Mapping[int, Told]) -> dict[int, Done]:
        """Send work to the nodes of these sites and wait for all of them."""
        # Sites that are sent the same share one record: 200 sites do not take 200 times its memory.
        parcels = {id(each.tensors): each.tensors for each in told.values()}
        arrays = {key: ArrayRecord(OrderedDict(tensors)) for key, tensors in parcels.items()}
        messages = {
            site: Message(
                RecordDict(
                    {_ARRAYS: arrays[id(each.tensors)], _ASKED: self._asked(work, site, each.settings)}
                ),
                self._nodes[site],
                MessageType.TRAIN,
            )
            for site, each in told.items()
        }
        replies = self._answers(messages, self._told)
        return {site: _done(site, replies.pop(site)) for site in told}

    def _asked(self, work: str, site: int, settings: Mapping[str, Setting]) -> ConfigRecord:
        path = str(_path(self._folder, site).absolute())
        return ConfigRecord(
            {"work": work, "path": path, "threads": self._threads, _SETTINGS: json.dumps(dict(settings))}
        )

    def _partitions(self, sites: int) -> dict[int, int]:
        """Ask every node which site it is, once all have registered; return site -> node."""
        deadline_s = time.monotonic() + self._timeout_s
        while len(nodes := list(self._grid.get_node_ids())) < sites:
            if time.monotonic() > deadline_s:
                raise BenchmarkFailed(f"only {len(nodes)} of {sites} simulated sites came up")
            time.sleep(_PULLED_EVERY_S)
        messages = {node: Message(RecordDict(), node, MessageType.QUERY) for node in nodes}
        replies = self._answers(messages, lambda _done, _of: None)
        return {int(_told(reply)[_PARTITION]): node for node, reply in replies.items()}

    def _answers(
        self, messages: Mapping[int, Message], told: Callable[[int, int], None]
    ) -> dict[int, Message]:
        """Push messages and pull until each is answered; keys are those of `messages`."""
        sent_ids = list(self._grid.push_messages(messages.values()))
        waiting = dict(zip(sent_ids, messages, strict=True))
        deadline_s = time.monotonic() + self._timeout_s
        replies: dict[int, Message] = {}
        while waiting:
            for reply in self._grid.pull_messages(list(waiting)):
                key = waiting.pop(reply.metadata.reply_to_message_id)
                if reply.has_error():
                    raise BenchmarkFailed(f"site {key} failed: {_last_line(reply.error.reason)}")
                replies[key] = reply
                told(len(replies), len(messages))
            if waiting and time.monotonic() > deadline_s:
                raise BenchmarkFailed(
                    f"{len(waiting)} of {len(messages)} sites did not answer within {self._timeout_s:.0f} s: "
                    "take a longer --timeout, or fewer --images"
                )
            if waiting:
                time.sleep(_PULLED_EVERY_S)
        return replies


def _client_app() -> ClientApp:
    app = ClientApp()
    app.query()(_introduce)
    app.train()(_work)
    return app


def _introduce(message: Message, context: Context) -> Message:
    """Tell which site this node is."""
    return Message(
        RecordDict({_TOLD: ConfigRecord({_PARTITION: int(context.node_config[_PARTITION])})}),
        reply_to=message,
    )


def _work(message: Message, context: Context) -> Message:
    """Do what was asked on the pictures of this node's site; runs in a worker."""
    del context
    asked = message.content.config_records[_ASKED]
    sent = message.content.array_records[_ARRAYS].to_torch_state_dict()
    try:
        done = do_work(
            work_of(str(asked["work"])),
            _read(str(asked["path"])),
            sent,
            json.loads(str(asked[_SETTINGS])),
            int(str(asked["threads"])),
        )
    except TransplantError as error:
        fault = ConfigRecord({_FAULT: error.code(), "says": str(error)})
        return Message(RecordDict({_TOLD: fault}), reply_to=message)
    told = ConfigRecord({"seconds": done.seconds, _FIGURES: json.dumps(dict(done.reply.figures))})
    arrays = ArrayRecord(OrderedDict(done.reply.tensors))
    return Message(RecordDict({_ARRAYS: arrays, _TOLD: told}), reply_to=message)


def _done(site: int, reply: Message) -> Done:
    told = _told(reply)
    if _FAULT in told:
        raise ERRORS.get(str(told[_FAULT]), BenchmarkFailed)(f"site {site}: {told['says']}")
    figures: dict[str, float] = json.loads(str(told[_FIGURES]))
    tensors = reply.content.array_records[_ARRAYS].to_torch_state_dict()
    return Done(SiteReply(dict(tensors), figures), float(told["seconds"]))


def _told(reply: Message) -> dict[str, Any]:
    return dict(reply.content.config_records[_TOLD])


def _path(folder: Path, site: int) -> Path:
    return folder / f"site-{site}.npz"


def _write(data: LocalData, folder: Path, site: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with _path(folder, site).open("wb") as file:
        np.savez(file, images=data.images.numpy(), labels=data.labels.numpy(), known=np.array(data.known))


@lru_cache(maxsize=1)  # of a worker: the next message may be for the same site, and one site fits into memory
def _read(path: str) -> LocalData:
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            images, labels = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])
            return LocalData(images, labels, tuple(arrays["known"].tolist()))
    except OSError as error:
        raise BenchmarkFailed(
            f"a worker does not see {path} ({error}): on a cluster --out must lie where every node sees it"
        ) from error


def _last_line(reason: str | None) -> str:
    lines = (reason or "").strip().splitlines()
    return lines[-1] if lines else "no reason told"
