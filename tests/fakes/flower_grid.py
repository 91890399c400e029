"""A grid in the test's process: nodes are functions, and some of them lie, are silent or go away."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from flwr.app import Context, Error, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flwr.serverapp import Grid

Node = Callable[[Message], Message | None]
CONTEXT = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={})


class FakeGrid:
    """Has the methods of Flower's grid that rounds use.

    Args:
        nodes: node id -> what answers a message; None for an answer that never comes.
    """

    def __init__(self, nodes: dict[int, Node]) -> None:
        self.nodes = nodes
        self.asked: list[list[int]] = []
        self.sent: list[Message] = []
        self.received: list[Message] = []
        self._replies: dict[str, Message] = {}
        # Flower's process of an app sets these; messages cannot be made without.
        TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1

    def as_grid(self) -> Grid:
        return cast("Grid", self)

    def get_node_ids(self) -> list[int]:
        return list(self.nodes)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        ids = []
        self.asked.append([])
        for message in messages:
            message_id = f"m{len(self.sent)}"
            message.metadata.__dict__["_message_id"] = message_id
            node_id = message.metadata.dst_node_id
            self.sent.append(message)
            self.asked[-1].append(node_id)
            ids.append(message_id)
            answer = self.nodes.get(node_id, lambda _: None)
            try:
                reply = answer(message)
            except Exception as error:  # noqa: BLE001 - as Flower turns any into an error reply
                reply = Message(Error(code=1, reason=f"{type(error).__name__}: {error}"), reply_to=message)
            if reply is not None:
                reply.metadata.__dict__["_src_node_id"] = node_id
                self._replies[message_id] = reply
                self.received.append(reply)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        return [self._replies.pop(each) for each in list(message_ids) if each in self._replies]


class FakeTime:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def now_s(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
