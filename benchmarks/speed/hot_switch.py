"""`transplant-bench speed hot-switch`: a served net changes its version under a thousand requests in flight.

A net of random `vgg_small` modules is served by `transplant-central serve-net` on a Ray of its own. All
requests are sent at once; as soon as the first is answered the next version is published, every logit of
which is another. A request must be answered, and each of its answers must be that of the version that the
reply names. The time that they take beside that of as many requests without a switch is what switching costs.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from rich.table import Table

from benchmarks.machine import this_machine
from benchmarks.quality.folder import note_cases
from benchmarks.records import Record, RecordBook
from benchmarks.speed.sealed_version import shift, write_version
from benchmarks.speed.serve_nets import IMAGE_PX, ServeCase, net_of
from central.serving.answering import ServedNet
from central.serving.asks import Ask, Refused
from transplant.artifact.net_folder import NetFolder
from transplant.errors import BenchmarkFailed, TransplantError
from transplant.nets.architecture_table import default_architecture
from transplant.rpc.prediction import Prediction, PredictionClient
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from transplant.nets.transplant_net import TransplantNet

BENCH = "hot-switch"
_CASE = ServeCase("vgg_small", Task.CLASSIFICATION, 1, 3, 3, categories=5)
_OVER_HTTP = 50
_REPLICAS = 2
_APART = 1.0  # by how much a logit of one version must differ from the other's to tell which one answered
_NEAR = 1e-3  # batches of other sizes round otherwise
_START_S, _ANSWER_S = 120.0, 300.0

Logits = dict[tuple[int, str], float]
"""(picture of the request, category) -> logit."""


@dataclass(frozen=True)
class Switching:
    """What became of requests across a switch.

    Args:
        sent: requests, over gRPC and HTTP.
        by_version: how many were answered by which version.
        failed: how many were not answered.
        mixed: how many hold an answer that is not of the version that they name.
        seconds: wall time from the first request to the last answer.
        switch_s: wall time from the publication to the first answer of the new version over gRPC; None: no
            switch.
    """

    sent: int
    by_version: Mapping[int, int]
    failed: int
    mixed: int
    seconds: float
    switch_s: float | None = None


def run_hot_switch(out: Path, console: Console, *, requests: int, command: str) -> list[str]:
    """Measure what `out` has not yet, show it, and return the bars that were missed.

    Args:
        out: folder of the records; the net is served from a folder in it.
        console: where the table is shown.
        requests: in flight over gRPC when the version changes; 50 more come over HTTP.
        command: what was typed, for the list of runs.
    """
    machine, book, began_s, ran = this_machine(), RecordBook(out), time.monotonic(), 0
    if not book.has(_records(requests)[-1]):
        root = out / f"net-{time.time_ns()}"
        net = net_of(_CASE)
        _publish(root, net, 1)
        with served(root, "--replicas", str(_REPLICAS)) as about:
            calm = under_load(root, about, requests, lambda: None)
            switched = under_load(root, about, requests, lambda: _publish(root, _shifted(net), 2))
        for record in _records(requests, calm, switched, commit=machine.commit):
            book.add(record)
        ran = 1
    records = [record for record in book if record.bench == BENCH]
    console.print(_table(records))
    note_cases(out, machine, command, ran, began_s)
    return [
        f"{record.metric}: {record.value:.0f}, the bar is 0"
        for record in records
        if record.unit == "requests" and record.metric in ("failed", "mixed") and record.value
    ]


def under_load(
    root: Path, about: Mapping[str, Any], requests: int, publish: Callable[[], object]
) -> Switching:
    """Send all requests at once, publish behind the first answer, and wait for every answer.

    Args:
        root: folder of the served net, with every version that may answer.
        about: addresses, as serve.json tells them.
        requests: over gRPC; 50 more come over HTTP.
        publish: writes the next version, or nothing.

    Raises:
        BenchmarkFailed: if the versions cannot be told apart, all were answered before the publication, or
            the new version did not come.
    """
    pictures = (_picture(0), _picture(1))
    folder, was = NetFolder.at(root), int(about["version"])
    told: list[tuple[int, Logits]] = []
    came_s: dict[int, float] = {}
    failed = 0
    with PredictionClient(about["grpc"]) as client, ThreadPoolExecutor(4) as wires:
        began_s = time.monotonic()
        flying = [client.begin(pictures, Task.CLASSIFICATION, _ANSWER_S) for _ in range(requests)]
        for place, each in enumerate(flying):
            each.when_done(lambda place=place: came_s.setdefault(place, time.monotonic()))
        others = [wires.submit(_over_http, about["http"], pictures[0]) for _ in range(_OVER_HTTP)]
        flying[0].result()
        unanswered = sum(not each.done() for each in flying)
        publish()
        published_s = time.monotonic()
        newest = folder.version().number
        if newest != was and unanswered < requests // 2:
            raise BenchmarkFailed(f"only {unanswered} of {requests} requests were in flight at the switch")
        new_s: list[float] = []
        for place, answer in enumerate([*flying, *others]):
            try:
                reply = answer.result()
            except (TransplantError, urllib.error.URLError, OSError, ValueError):
                failed += 1
                continue
            told.append(_numbered(reply))
            if told[-1][0] != was:
                new_s.append(came_s.get(place, time.monotonic()))
        seconds = time.monotonic() - began_s
        while newest != was and not new_s:
            if time.monotonic() - published_s > _ANSWER_S:
                raise BenchmarkFailed(f"version {newest} did not answer within {_ANSWER_S:g} s")
            told.append(_numbered(client.begin(pictures, Task.CLASSIFICATION, _ANSWER_S).result()))
            if told[-1][0] != was:
                new_s.append(time.monotonic())
    switch_s = min(new_s) - published_s if new_s else None
    wanted = {number: _answers(folder, number, pictures) for number in {was, newest}}
    if newest != was and any(abs(wanted[was][key] - wanted[newest][key]) < _APART for key in wanted[was]):
        raise BenchmarkFailed("the two versions answer too much alike to be told apart")
    versions = {number: sum(version == number for version, _ in told) for number in sorted(wanted)}
    return Switching(requests + _OVER_HTTP, versions, failed, mixed(told, wanted), seconds, switch_s)


def mixed(told: Iterable[tuple[int, Logits]], wanted: Mapping[int, Logits]) -> int:
    """Return how many replies hold a logit that is not of the version that they name.

    Args:
        told: the version that each reply names, and its logits.
        wanted: version -> what it answers.
    """
    return sum(
        version not in wanted
        or any(abs(logit - wanted[version][key]) > _NEAR for key, logit in logits.items())
        for version, logits in told
    )


@contextmanager
def served(root: Path, *flags: str) -> Generator[dict[str, Any]]:
    """Run `serve-net` on an exported net; yield what its serve.json says.

    Raises:
        BenchmarkFailed: if it does not come up, or does not end well; with what it said.
    """
    command = [
        sys.executable, "-m", "central.cli", "serve-net", "--net", str(root), "--http-port", "0",
        "--grpc-listen", "127.0.0.1:0", "--poll-s", "0.1", *flags,
    ]  # fmt: skip
    log, about = root / "log", root / "serve.json"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file, stdout=file)
    try:
        until_s = time.monotonic() + _START_S
        while not about.is_file():
            if process.poll() is not None or time.monotonic() > until_s:
                raise BenchmarkFailed(f"serve-net did not come up: {log.read_text()[-500:]}")
            time.sleep(0.1)
        yield json.loads(about.read_text())
    finally:
        process.terminate()
        code = process.wait(_START_S)
    if code or about.exists():
        raise BenchmarkFailed(f"serve-net ended with {code}: {log.read_text()[-500:]}")


def _publish(root: Path, net: TransplantNet, number: int) -> None:
    architecture = default_architecture(_CASE.arch, IMAGE_PX[_CASE.arch])
    write_version(root, net, net.version.routes, number, architecture)


def _shifted(net: TransplantNet) -> TransplantNet:
    """Return the net, every logit of which is larger by five."""
    shift(net.assemble(net.version.routes[0]).task_module, 5.0)
    return net


def _answers(folder: NetFolder, number: int, pictures: tuple[bytes, ...]) -> Logits:
    answered = ServedNet.load(folder, number).answer([Ask(pictures, Task.CLASSIFICATION)])[0]
    if isinstance(answered, Refused):
        raise BenchmarkFailed(f"version {number} refused the pictures: {answered.message}")
    logits = [{each.category: each.logit for each in answer} for answer in answered.answers]
    return _numbered(Prediction(number, tuple(logits)))[1]


def _numbered(reply: Prediction) -> tuple[int, Logits]:
    logits = {
        (place, category): logit
        for place, answer in enumerate(reply.logits)
        for category, logit in answer.items()
    }
    return reply.version, logits


def _over_http(address: str, picture: bytes) -> Prediction:
    request = urllib.request.Request(f"http://{address}/predict", picture, {"content-type": "image/png"})
    with urllib.request.urlopen(request, timeout=_ANSWER_S) as reply:  # noqa: S310 - loopback
        document = json.load(reply)
    logits = {each["category"]: each["logit"] for each in document["answers"][0]}
    return Prediction(document["version"], (logits,))


def _picture(seed: int) -> bytes:
    out, side = io.BytesIO(), IMAGE_PX[_CASE.arch]
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _records(
    requests: int, calm: Switching | None = None, switched: Switching | None = None, commit: str | None = None
) -> list[Record]:
    """Return the records, without figures where there are none yet."""
    method = f"{requests} requests over gRPC and {_OVER_HTTP} over HTTP, {_REPLICAS} replicas"

    def record(metric: str, unit: str, value: float, **more: Any) -> Record:
        return Record(
            BENCH, metric, value, unit, arch=_CASE.arch, method=method, categories=_CASE.categories,
            task=_CASE.task.value, commit=commit, **more,
        )  # fmt: skip

    if calm is None or switched is None:
        return [record("switch_wall_time", "s", 0.0)]
    old, new = switched.by_version.values()
    return [
        record("failed", "requests", switched.failed),
        record("mixed", "requests", switched.mixed),
        record("answered_before", "requests", old),
        record("answered_after", "requests", new),
        record(
            "load_wall_time", "s", switched.seconds, baseline=calm.seconds,
            ratio=switched.seconds / calm.seconds,
        ),
        record("switch_wall_time", "s", switched.switch_s or 0.0),
    ]  # fmt: skip


def _table(records: Sequence[Record]) -> Table:
    table = Table("what", "figure", "beside no switch", "bar")
    for record in records:
        shown = f"{record.value:.2f} s" if record.unit == "s" else f"{record.value:.0f}"
        beside = "" if record.ratio is None else f"{record.ratio:.2f}"
        table.add_row(record.metric, shown, beside, "0" if record.metric in ("failed", "mixed") else "")
    return table
