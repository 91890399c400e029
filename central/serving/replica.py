"""The Ray Serve deployment: a replica holds one version, answers in batches, and changes it in between.

A batch takes the net that is there when it begins and keeps it to its end, so that an answer is of one
version. A new version is loaded beside the old one, in a thread, and takes its place in one assignment:
no request waits for it, and none is lost.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ray import serve
from starlette.responses import Response

from central.serving.answering import ServedNet
from central.serving.asks import MOST_BYTES, Refused
from central.serving.http_messages import Reply, describe_reply, parse_predict, predict_reply, refusal
from central.serving.wanted import read_wanted
from transplant.artifact.net_folder import NetFolder
from transplant.errors import NotFound, TooLarge, TransplantError
from transplant.nets.allocator import keep_freed_memory

if TYPE_CHECKING:
    from starlette.requests import Request

    from central.serving.asks import Answered, Ask, Description

log = logging.getLogger(__name__)

_LARGEST_BODY = 2 * MOST_BYTES  # base64 and JSON around the pictures


@serve.deployment
class NetReplica:
    """One replica; it begins with the version that is wanted at that time (`write_wanted`).

    Args:
        root: folder with versions and modules (`NetFolder.at`), readable by every node that has a replica.
        threads: of torch.

    Raises:
        NotFound: if the wanted version is not in the folder.
        ArtifactRejected: if one of its modules was damaged.
    """

    def __init__(self, root: str, threads: int) -> None:
        torch.set_num_threads(threads)
        keep_freed_memory()
        self._root = Path(root)
        self._served = ServedNet.load(NetFolder.at(self._root), read_wanted(self._root))

    def reconfigure(self, config: dict[str, Any]) -> None:
        """Take over the settings of batches, `batch` and `wait_s`. Called by Ray Serve."""
        batched: Any = self._answers
        batched.set_max_batch_size(config["batch"])
        batched.set_batch_wait_timeout_s(config["wait_s"])

    async def take(self, number: int) -> int:
        """Load another version beside the one that answers, then put it in its place; return its number.

        Raises:
            NotFound: if it is not in the folder; the replica goes on with the one that it has.
            ArtifactRejected: if one of its modules was damaged; likewise.
        """
        if self._served.version != number:
            self._served = await asyncio.to_thread(ServedNet.load, NetFolder.at(self._root), number)
            log.info("serving version %d", number)
        return number

    async def ask(self, ask: Ask) -> Answered | Refused:
        """Answer one request; requests of the same moment are answered together."""
        return await self._answers(ask)

    async def describe(self) -> Description:
        """Return what is served."""
        return self._served.describe()

    async def __call__(self, request: Request) -> Response:
        """Answer one HTTP request."""
        reply = await self._reply(request)
        return Response(reply.body, reply.status, media_type=reply.media_type)

    @serve.batch(max_batch_size=16, batch_wait_timeout_s=0.002)
    async def _answers(self, asks: list[Ask]) -> list[Answered | Refused]:
        return await asyncio.to_thread(self._served.answer, asks)

    async def _reply(self, request: Request) -> Reply:
        path = request.url.path.rstrip("/")
        try:
            if request.method == "GET" and path in ("/health", "/describe"):
                return describe_reply(await self.describe())
            if request.method != "POST" or path != "/predict":
                raise NotFound(
                    f"{request.method} {path[:80]}: there are GET /health, /describe, POST /predict"
                )
            body = await _body(request)
            media_type = request.headers.get("content-type", "")
            ask = parse_predict(request.query_params.multi_items(), media_type, body)
        except TransplantError as error:
            return refusal(Refused.because(error))
        return predict_reply(await self.ask(ask), request.headers.get("accept", ""))


async def _body(request: Request) -> bytes:
    """Read a body, up to what a request may have."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > _LARGEST_BODY:
            raise TooLarge(f"a request has at most {_LARGEST_BODY} bytes")
        parts.append(part)
    return b"".join(parts)
