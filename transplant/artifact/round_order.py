"""What the center asks of a site in a federated round: names, digests and numbers, as one JSON document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from transplant.errors import ManifestInvalid
from transplant.types import Route, Task

_BYTES = 64 << 10
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RefinedRoute(_Strict):
    """The published route whose adapter is refined; a site gets its modules by these ids, and verifies."""

    category: Name
    task: Task
    category_module: Digest
    adapter: Digest
    task_module: Digest

    @classmethod
    def of(cls, route: Route) -> RefinedRoute:
        """Return what a site needs to know of a route, which must have an adapter."""
        return cls(
            category=route.category,
            task=route.task,
            category_module=route.category_module,
            adapter=route.adapter or "",
            task_module=route.task_module,
        )


class FoundedNet(_Strict):
    """The net that founding sites train together: its architecture and the tasks of the shared modules."""

    architecture: str
    hyper_parameters: dict[str, tuple[int, ...]]
    tasks: tuple[Task, ...]


class RoundOrder(_Strict):
    """One round at one site.

    `settings` are those of the site's work (`RefinementConfig` or `FoundingConfig`, which check them),
    `run` names the whole undertaking: a site keeps what is its own between the rounds of one run.
    """

    work: Literal["refine", "found"]
    run: Digest
    round: Annotated[int, Field(ge=1, le=10_000)]
    rounds: Annotated[int, Field(ge=1, le=10_000)]
    seed: Annotated[int, Field(ge=0, lt=1 << 63)]
    settings: dict[str, Any]
    route: RefinedRoute | None = None
    net: FoundedNet | None = None

    @property
    def handed_out(self) -> bool:
        """Tell whether this is the one behind a founding's rounds, which hands out what they came to."""
        return self.work == "found" and self.round > self.rounds

    def to_json(self) -> str:
        """Return the document."""
        return self.model_dump_json(exclude_none=True)


def read_round_order(document: str) -> RoundOrder:
    """Read `RoundOrder.to_json`.

    Raises:
        ManifestInvalid: if a field is unknown, missing or out of range; the path is named.
    """
    if len(document) > _BYTES:
        raise ManifestInvalid(f"an order of {len(document)} characters: at most {_BYTES} are read")
    try:
        order = RoundOrder.model_validate_json(document)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_url=False)[:4]
        )
        raise ManifestInvalid(f"the order of this round: {told}") from error
    if (order.route is None) == (order.work == "refine") or (order.net is None) == (order.work == "found"):
        raise ManifestInvalid("the order of this round: it names a route to refine, or a net to found")
    if order.round > order.rounds + (order.work == "found"):
        raise ManifestInvalid(f"the order of this round: it is round {order.round} of {order.rounds}")
    return order
