"""One contender of a simulated federation: a way to come from sites' data to scores of test pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from benchmarks.sites.engine import Engine, Traffic
    from benchmarks.sites.federation import Federation

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Training:
    """What every contender is given alike: the backbone and the training budget of a site.

    Args:
        arch: of all nets, an id of the architecture table.
        local_epochs: passes of a site over its data in all, one-shot methods at once, others over rounds.
        rounds: of the methods that take several; each then has `local_epochs / rounds` passes, at least one.
        center_steps: of whatever the center learns (adapters, a distilled student).
        batch_size: of sites and center.
        learning_rate: of the sites' SGD.
        precision: "float32" or "bfloat16" of forward passes.
        threads: computing threads; only 1 is reproducible.
    """

    arch: str = "vgg_small"
    local_epochs: int = 10
    rounds: int = 1
    center_steps: int = 1000
    batch_size: int = 32
    learning_rate: float = 0.02
    precision: str = "float32"
    threads: int = 1


@dataclass(frozen=True, eq=False)
class Standing:
    """Where a method of several rounds stood behind one of them, and what it had cost until then.

    Args:
        scores: as in `Outcome`.
        traffic: of all rounds so far.
        seconds: processor seconds of sites and center so far.
    """

    scores: Tensor
    traffic: Traffic
    seconds: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a contender ends with.

    Args:
        scores: float32 (N_test, K): one comparable score a category for each test picture; the highest is
            the answer, and above 0 stands for 'shows the category' where a category is asked for alone.
            Or (A, N_test, K) where A nets answer apart: measures are then averaged over them.
        center_seconds: processor seconds of the center.
        figures: whatever else is worth a line in the report, by name.
        net_bytes: of the net that answers (all routes of it).
        traffic: what went between sites and center, where that is not what the engine carried: things
            that left a site for the measurement alone do not count.
        standings: behind each of its rounds, where the method is one that others are measured beside.
    """

    scores: Tensor
    center_seconds: float
    net_bytes: int
    figures: Mapping[str, float] = field(default_factory=dict)
    traffic: Traffic | None = None
    standings: Sequence[Standing] = ()


class Contender(Protocol):
    """A method by name. It sees sites' data through `engine` alone, and test pictures at the end alone."""

    def __call__(
        self, federation: Federation, training: Training, engine: Engine, progress: Progress
    ) -> Outcome:
        """Run the whole method, seeded by `federation.seed`, and score the test pictures."""
        ...


@runtime_checkable
class GrowingContender(Protocol):
    """A contender whose net takes up one category after the other; any other is run anew each time."""

    def grow(
        self,
        federation: Federation,
        stages: Sequence[int],
        training: Training,
        engine: Engine,
        progress: Progress,
    ) -> Iterator[Outcome]:
        """Yield, for each number of categories in `stages`, the outcome on their test pictures alone.

        Sites that know none but the first `stage` categories are there at that stage. What outcomes say of
        costs is of all stages so far.
        """
        ...


class Grown:
    """What a growing contender does where nobody asks for stages: it grows to the end at once."""

    def __call__(
        self: GrowingContender,
        federation: Federation,
        training: Training,
        engine: Engine,
        progress: Progress,
    ) -> Outcome:
        """Take up all categories in one stage."""
        (outcome,) = self.grow(federation, (len(federation.categories),), training, engine, progress)
        return outcome
