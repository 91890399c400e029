"""What a served net answers, over HTTP and gRPC, without Ray: the replica's inside and its two doors."""

from __future__ import annotations

import base64
import io
import json

import grpc
import numpy as np
import pytest
import torch
from fakes.net_on_disk import net_on_disk
from PIL import Image

from central.serving.answering import ServedNet
from central.serving.asks import MOST_PICTURES, Answered, Ask, Refused
from central.serving.grpc_front import GrpcFront
from central.serving.http_messages import describe_reply, parse_predict, predict_reply
from central.serving.wanted import read_wanted, write_wanted
from central.usecases.route_figures import error_percent
from transplant.artifact.picture import squared
from transplant.errors import ImagesInvalid, InvalidSettings, NotFound, TransplantError
from transplant.rpc.status import from_rpc_error
from transplant.types import Task
from transplant.v1 import manifest_pb2, prediction_pb2, prediction_pb2_grpc


def picture(seed: int, size: tuple[int, int] = (40, 30)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder, version = net_on_disk(tmp_path_factory.mktemp("net"))
    return ServedNet.load(folder, version.number), folder.load_net(version)


def logits(net, data, task):
    with Image.open(io.BytesIO(data)) as shown:
        images = torch.from_numpy(squared(shown, 32).copy()).permute(2, 0, 1).unsqueeze(0)
    told = net.predict(images, task=task)
    return dict(zip(told.categories, told.logits_BG[0].flatten(1).amax(1).tolist() if told.logits_BG.dim() > 2
                    else told.logits_BG[0].tolist(), strict=True))  # fmt: skip


def test_a_batch_answers_every_request_by_itself_and_a_bad_one_spoils_no_other(served):
    ours, net = served
    asks = [
        Ask((picture(1), picture(2)), Task.CLASSIFICATION),
        Ask((b"no picture",), Task.CLASSIFICATION),
        Ask((picture(3),), Task.SEGMENTATION, ("c2",), masks=True),
        Ask((picture(4),), Task.CLASSIFICATION, version=9),
        Ask((picture(5),), Task.CLASSIFICATION, ("cow",)),
        Ask((picture(6),), Task.CLASSIFICATION, budget=1),
        Ask((picture(7),), Task.CLASSIFICATION),
    ]
    told = ours.answer(asks)
    assert [type(each) for each in told] == [Answered, Refused, Answered, Refused, Refused, Refused, Answered]
    for ask, each in zip(asks, told, strict=True):
        if isinstance(each, Answered):
            for data, answer in zip(ask.pictures, each.answers, strict=True):
                wanted = logits(net, data, ask.task)
                assert {a.category: a.logit for a in answer} == pytest.approx(
                    {c: wanted[c] for c in ask.categories or wanted}, abs=1e-3
                )
                assert [a.probability for a in answer] == sorted(
                    (a.probability for a in answer), reverse=True
                )
    with Image.open(io.BytesIO(told[2].answers[0][0].mask_png)) as mask:
        assert mask.size == (40, 30)
    assert [each.error for each in told if isinstance(each, Refused)] == [
        "ImagesInvalid", "NotFound", "NotFound", "InvalidSettings",
    ]  # fmt: skip


@pytest.mark.parametrize("count", [0, MOST_PICTURES + 1])
def test_a_request_has_a_bounded_number_of_pictures(count):
    with pytest.raises(ImagesInvalid, match="1 to 64"):
        Ask((b"x",) * count, Task.CLASSIFICATION)


def test_a_small_file_that_unpacks_to_a_large_picture_is_refused(served):
    out = io.BytesIO()
    Image.new("1", (8_000, 8_000)).save(out, "PNG")
    (told,) = served[0].answer([Ask((out.getvalue(),), Task.CLASSIFICATION)])
    assert isinstance(told, Refused)
    assert "8000 x 8000" in told.message


def test_http_takes_a_picture_or_json_and_gives_json_or_a_mask(served):
    ours, net = served
    query = [("task", "segmentation"), ("category", "c1"), ("masks", "1")]
    plain = parse_predict(query, "image/png", picture(1))
    assert plain == Ask((picture(1),), Task.SEGMENTATION, ("c1",), masks=True)
    document = {"pictures": [base64.b64encode(picture(1)).decode()], "task": "segmentation",
                "categories": ["c1"], "masks": True}  # fmt: skip
    assert parse_predict([], "application/json; charset=utf-8", json.dumps(document).encode()) == plain
    (told,) = ours.answer([plain])
    reply = predict_reply(told, "*/*")
    assert reply.status == 200
    answer = json.loads(reply.body)["answers"][0][0]
    assert answer["logit"] == pytest.approx(logits(net, picture(1), Task.SEGMENTATION)["c1"], abs=1e-3)
    mask = predict_reply(told, "image/png")
    assert mask.media_type == "image/png"
    assert mask.body == base64.b64decode(answer["mask_png"])
    (several,) = ours.answer([Ask((picture(1),), Task.SEGMENTATION, masks=True)])
    assert predict_reply(several, "image/png").status == 400
    assert json.loads(describe_reply(ours.describe()).body)["tasks"]["classification"] == ["c0", "c1", "c2"]


@pytest.mark.parametrize(
    ("query", "media_type", "body", "said"),
    [
        ([("color", "1")], "image/png", b"x", "color: there is no such parameter"),
        ([("task", "depth")], "image/png", b"x", "classification, segmentation"),
        ([("budget", "-1")], "image/png", b"x", "whole number"),
        ([], "image/png", b"", "1 to 64 pictures"),
        ([], "application/json", b"{", "not JSON"),
        ([], "application/json", b"[]", "not a JSON object"),
        ([], "application/json", b'{"pictures": ["%"]}', "not base64"),
        ([], "application/json", b'{"pictures": "x"}', "a list of texts"),
        ([], "application/json", b'{"picture": []}', "no such field"),
    ],
)
def test_http_requests_that_say_nothing_sensible_are_refused(query, media_type, body, said):
    with pytest.raises(TransplantError, match=said):
        parse_predict(query, media_type, body)


def test_a_route_that_another_teacher_supervised_is_marked_wherever_it_answers(tmp_path):
    folder, version = net_on_disk(tmp_path, supervised="c2")
    ours = ServedNet.load(folder, version.number)
    described = json.loads(describe_reply(ours.describe()).body)
    assert described["supervised_by"] == {"segmentation": {"c2": "c0"}}
    (told,) = ours.answer([Ask((picture(1),), Task.SEGMENTATION)])
    marks = {each.get("category"): each.get("supervised_by") for each in
             json.loads(predict_reply(told, "*/*").body)["answers"][0]}  # fmt: skip
    assert marks == {"c0": None, "c1": None, "c2": "c0"}
    front = GrpcFront(Here(ours), "127.0.0.1:0")
    front.start()
    try:
        with grpc.insecure_channel(front.address) as channel:
            stub = prediction_pb2_grpc.PredictionStub(channel)
            about = stub.Describe(prediction_pb2.DescribeRequest(), timeout=5)
            assert [dict(task.supervised_by) for task in about.tasks] == [{}, {"c2": "c0"}]
            asked = prediction_pb2.PredictRequest(
                pictures=[picture(1)], task=manifest_pb2.TASK_SEGMENTATION, categories=["c1", "c2"]
            )
            answers = stub.Predict(asked, timeout=10).answers[0].categories
            assert {each.category: each.supervised_by for each in answers} == {"c1": "", "c2": "c0"}
    finally:
        front.stop()


class Here:
    """Answers in this process."""

    def __init__(self, net):
        self._net = net

    def ask(self, ask):
        (told,) = self._net.answer([ask])
        if isinstance(told, Refused):
            raise NotFound(told.message)
        return told

    def describe(self):
        return self._net.describe()


def test_grpc_answers_as_the_net_does(served):
    ours, net = served
    front = GrpcFront(Here(ours), "127.0.0.1:0")
    front.start()
    try:
        with grpc.insecure_channel(front.address) as channel:
            stub = prediction_pb2_grpc.PredictionStub(channel)
            about = stub.Describe(prediction_pb2.DescribeRequest(), timeout=5)
            assert about.digest == ours.digest
            assert list(about.tasks[0].categories) == ["c0", "c1", "c2"]
            asked = prediction_pb2.PredictRequest(
                pictures=[picture(1)], task=manifest_pb2.TASK_CLASSIFICATION, version=1
            )
            told = stub.Predict(asked, timeout=10)
            assert {each.category: each.logit for each in told.answers[0].categories} == pytest.approx(
                logits(net, picture(1), Task.CLASSIFICATION), abs=1e-3
            )
            for wrong, kind in (
                (prediction_pb2.PredictRequest(pictures=[picture(1)]), InvalidSettings),
                (prediction_pb2.PredictRequest(task=manifest_pb2.TASK_CLASSIFICATION), ImagesInvalid),
            ):
                with pytest.raises(grpc.RpcError) as refused:
                    stub.Predict(wrong, timeout=5)
                assert isinstance(from_rpc_error(refused.value), kind)
    finally:
        front.stop()


def test_without_certificates_grpc_stays_on_loopback(served):
    with pytest.raises(InvalidSettings, match=r"127\.0\.0\.1"):
        GrpcFront(Here(served[0]), "0.0.0.0:0")


def test_what_a_site_reported_tells_how_sure_its_route_may_be():
    assert error_percent(Task.CLASSIFICATION, {"error": 7.5}) == 7.5
    assert error_percent(Task.SEGMENTATION, {"pixel_accuracy": 90.0}) == 10.0
    assert error_percent(Task.CLASSIFICATION, {"agreement": 90.0}) is None


def test_a_replica_that_starts_anew_knows_which_version_is_wanted(tmp_path):
    with pytest.raises(NotFound, match="which version"):
        read_wanted(tmp_path)
    write_wanted(tmp_path / "root", 3)
    write_wanted(tmp_path / "root", 4)
    assert read_wanted(tmp_path / "root") == 4
