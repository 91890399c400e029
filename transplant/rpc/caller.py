"""One remote call: deadline, translation of its error, retry. Every other client file is built on it."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import grpc

from transplant.errors import CenterUnreachable, TransplantError
from transplant.rpc.status import from_rpc_error

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from transplant.rpc.retry import RetryPolicy


class Caller:
    """How a client calls.

    Args:
        policy: when and how long calls are repeated.
        call_s: deadline of a single unary attempt.
        stream_s: deadline of a single stream; a longer transfer goes on in a new one where it stopped.
    """

    def __init__(self, policy: RetryPolicy, call_s: float, stream_s: float) -> None:
        self.policy = policy
        self.call_s = call_s
        self.stream_s = stream_s
        self.stopped = threading.Event()

    def unary(self, method: Any, request: object, timeout_s: float | None = None) -> Any:
        """Call an idempotent unary method, again and again until it answers or the policy gives up.

        Args:
            method: the stub's method.
            request: its request.
            timeout_s: deadline of one attempt, where `call_s` is not enough.

        Raises:
            TransplantError: what the center raised, or `CenterUnreachable`.
        """

        def attempt() -> Any:
            self.check_open()
            try:
                return method(request, timeout=timeout_s or self.call_s)
            except grpc.RpcError as error:
                raise from_rpc_error(error) from error

        return self.policy.run(attempt, self.stopped)

    def stream(self, method: Any, request: object) -> Generator[Any]:
        """Yield the answers of one attempt of a server stream; the call ends with the generator.

        Raises:
            TransplantError: what the center raised, or `CenterUnreachable`.
        """
        self.check_open()
        call = method(request, timeout=self.stream_s)
        try:
            yield from call
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()

    def follow(self, method: Any, request: Callable[[], object]) -> Generator[Any]:
        """Yield the answers of a watch for ever, opening it again whenever it ends or breaks.

        Args:
            method: the stub's method, one whose stream waits for news.
            request: makes the request of each attempt, so that it can name the last answer seen.

        Raises:
            TransplantError: what the center refused, or the last error when it stayed away for longer
                than the policy allows.
        """

        def attempt() -> tuple[list[Any], Generator[Any]]:
            began_s = time.monotonic()
            stream = self.stream(method, request())
            try:
                return [next(stream)], stream
            except StopIteration:
                return [], stream
            except TransplantError as error:
                if error.retry and time.monotonic() - began_s >= min(self.call_s, self.stream_s):
                    return [], stream  # the link was up and nothing happened: that is no failure
                raise

        while True:
            first, stream = self.policy.run(attempt, self.stopped)
            with closing(stream):
                yield from first
                if first:
                    try:
                        yield from stream
                    except TransplantError as error:
                        if not error.retry:
                            raise
            self.stopped.wait(self.policy.first_s)  # a center that ends every watch at once is not hammered

    def check_open(self) -> None:
        """Refuse to call after `close`.

        Raises:
            CenterUnreachable: if the client was closed.
        """
        if self.stopped.is_set():
            raise CenterUnreachable("this client is closed")
