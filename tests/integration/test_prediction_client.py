"""A caller of a served net: answers as plain values, and the server's errors by their class."""

from __future__ import annotations

import pytest

from central.serving.asks import Answered, CategoryAnswer
from central.serving.grpc_front import GrpcFront
from transplant.errors import CenterUnreachable, ImagesInvalid
from transplant.rpc.prediction import Prediction, PredictionClient
from transplant.types import Task


class Cats:
    """Answers every picture alike, but for one that it cannot read."""

    def ask(self, ask):
        if b"torn" in ask.pictures:
            raise ImagesInvalid("picture 0 is torn")
        return Answered(
            7, "ab" * 32, ask.task, tuple((CategoryAnswer("cat", 0.75, 1.5),) for _ in ask.pictures)
        )


@pytest.fixture
def address():
    front = GrpcFront(Cats(), "127.0.0.1:0")
    front.start()
    yield front.address
    front.stop()


def test_every_picture_has_its_logits_and_all_one_version(address):
    with PredictionClient(address) as client:
        pending = client.begin([b"one", b"two"], Task.CLASSIFICATION, 20)
        assert pending.result() == Prediction(7, ({"cat": 1.5}, {"cat": 1.5}))
        assert pending.done()


def test_what_the_server_refuses_is_raised_as_it_raised_it(address):
    with PredictionClient(address) as client, pytest.raises(ImagesInvalid, match="torn"):
        client.begin([b"torn"], Task.CLASSIFICATION, 20).result()


def test_a_net_that_is_not_there_is_named_so():
    with PredictionClient("127.0.0.1:1") as client, pytest.raises(CenterUnreachable):
        client.begin([b"one"], Task.CLASSIFICATION, 5).result()
