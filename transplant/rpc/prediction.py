"""A caller of a served net's gRPC endpoint on loopback; several predictions may be under way at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from transplant.rpc.convert import task_to_proto
from transplant.rpc.status import from_rpc_error
from transplant.v1 import prediction_pb2, prediction_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transplant.types import Task


@dataclass(frozen=True)
class Prediction:
    """What a served net answered.

    Args:
        version: of the net, the same for every answer.
        logits: of each picture in turn, by category.
    """

    version: int
    logits: tuple[dict[str, float], ...]


class PendingPrediction:
    """A prediction under way."""

    def __init__(self, future: Any) -> None:
        self._future = future

    def done(self) -> bool:
        """Tell whether it is answered, or has failed."""
        return self._future.done()

    def when_done(self, then: Callable[[], object]) -> None:
        """Have something called, in a thread of gRPC's, once it is answered or has failed."""
        self._future.add_done_callback(lambda _: then())

    def result(self) -> Prediction:
        """Wait for the answer.

        Raises:
            TransplantError: what the server raised, or `CenterUnreachable`.
        """
        try:
            reply: prediction_pb2.PredictResponse = self._future.result()
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        answers = [{each.category: each.logit for each in answer.categories} for answer in reply.answers]
        return Prediction(reply.version, tuple(answers))


class PredictionClient:
    """Asks a net that is served without certificates; to be closed."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self._stub = prediction_pb2_grpc.PredictionStub(self._channel)

    def __enter__(self) -> PredictionClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def begin(self, pictures: Sequence[bytes], task: Task, timeout_s: float) -> PendingPrediction:
        """Send picture files and go on; the answer is waited for in `PendingPrediction.result`."""
        request = prediction_pb2.PredictRequest(pictures=pictures, task=task_to_proto(task))
        return PendingPrediction(self._stub.Predict.future(request, timeout=timeout_s))
