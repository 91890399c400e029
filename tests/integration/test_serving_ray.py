"""A net on a real Ray Serve: both doors, and a switch of versions under a thousand requests."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
from fakes.net_on_disk import net_on_disk
from fakes.waiting import wait
from PIL import Image

from central.serving.answering import ServedNet
from central.serving.asks import Ask
from transplant.types import Task
from transplant.v1 import manifest_pb2, prediction_pb2, prediction_pb2_grpc

IN_FLIGHT = 1000
OVER_HTTP = 50


def picture(seed):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 32, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


PICTURES = (picture(0), picture(1))


def told_by(answers):
    return {(place, each.category): each.logit for place, answer in enumerate(answers) for each in answer}


@contextmanager
def served(root, *flags):
    """Run `serve-net` on an exported net; yield what its serve.json says."""
    command = [
        sys.executable, "-m", "central.cli", "serve-net", "--net", str(root), "--http-port", "0",
        "--grpc-listen", "127.0.0.1:0", "--poll-s", "0.1", *flags,
    ]  # fmt: skip
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log)
    about = root / "serve.json"
    try:
        wait(lambda: about.is_file() or process.poll() is not None, timeout_s=90)
        assert process.poll() is None, (root / "log").read_text()
        yield json.loads(about.read_text())
    finally:
        process.terminate()
        code = process.wait(60)
    assert code == 0, (root / "log").read_text()
    assert not about.exists()


def over_http(address):
    request = urllib.request.Request(f"http://{address}/predict", PICTURES[0], {"content-type": "image/png"})
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310 - loopback
        document = json.load(reply)
    return document["version"], {(0, each["category"]): each["logit"] for each in document["answers"][0]}


def from_grpc(reply):
    return reply.version, told_by([answer.categories for answer in reply.answers])


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_no_request_fails_or_mixes_versions_across_a_switch(tmp_path):
    folder, _ = net_on_disk(tmp_path)
    ask = Ask(PICTURES, Task.CLASSIFICATION)
    wanted = {1: told_by(ServedNet.load(folder, 1).answer([ask])[0].answers)}
    request = prediction_pb2.PredictRequest(pictures=PICTURES, task=manifest_pb2.TASK_CLASSIFICATION)
    with (
        served(tmp_path, "--replicas", "2") as about,
        grpc.insecure_channel(about["grpc"]) as channel,
        ThreadPoolExecutor(4) as wires,
    ):
        predict = prediction_pb2_grpc.PredictionStub(channel).Predict
        flying = [predict.future(request, timeout=100) for _ in range(IN_FLIGHT)]
        others = [wires.submit(over_http, about["http"]) for _ in range(OVER_HTTP)]
        pairs = [from_grpc(flying[0].result())]
        assert not flying[-1].done()
        net_on_disk(tmp_path, number=2, seed=5)
        wanted[2] = told_by(ServedNet.load(folder, 2).answer([ask])[0].answers)
        pairs += [from_grpc(future.result()) for future in flying[1:]]
        pairs += [other.result() for other in others]
        while pairs[-1][0] != 2:
            pairs.append(from_grpc(predict(request, timeout=60)))
        pairs.append(over_http(about["http"]))
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://{about['http']}/predict", b"no picture", timeout=30)
        with refused.value as reply:
            assert reply.code == 400
        assert json.loads((tmp_path / "serve.json").read_text())["version"] == 2
    assert all(abs(wanted[1][key] - wanted[2][key]) > 1 for key in wanted[1])
    for version, logits in pairs:
        assert logits == pytest.approx({key: wanted[version][key] for key in logits}, abs=1e-3)
    assert len(pairs) > IN_FLIGHT + OVER_HTTP
    assert {version for version, _ in pairs} == {1, 2}
