r"""One federated run as a frozen value, and what came of it. No Flower: both are files between processes.

    waiting for sites -> rounds -> DONE
            \-> NO_SITES   \-> NO_QUORUM, FAILED, TIMED_OUT, STOPPED

Whatever sites do or leave undone, a run ends in one of these states. Nothing of a run that is not DONE is
used; its record says who answered what until then.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from transplant.artifact.durable_file import write_durably
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

STRATEGIES = (
    "fedavg",
    "fedavgm",
    "fedadam",
    "fedyogi",
    "fedadagrad",
    "fedmedian",
    "fedtrimmedavg",
    "krum",
    "multikrum",
    "bulyan",
)
"""How answers become one, by the names of Flower's strategies; the last five bear with sites that lie."""

WEIGHTS = ("images", "equal")
"""By what a site's answer weighs in a mean."""

_ANSWERS_NEEDED = {
    "fedmedian": (2, 1),  # most of them are honest
    "fedtrimmedavg": (5, 0),  # a fifth is cut off at either end
    "krum": (2, 3),  # Blanchard et al. 2017
    "multikrum": (2, 3),
    "bulyan": (4, 3),  # El Mhamdi et al. 2018
}
"""How many answers a strategy needs to bear with f sites that lie: (a, b) stands for a * f + b."""


class RunState(StrEnum):
    """How a run ended."""

    DONE = "done"
    NO_SITES = "no-sites"
    """Fewer than the quorum were there within the time that was waited for them."""
    NO_QUORUM = "no-quorum"
    """In one round fewer than the quorum gave an answer that could be used."""
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Rounds:
    """How rounds are held.

    Attributes:
        rounds: how many.
        quorum: how many sites must give a usable answer in each.
        sites_a_round: how many are asked, chosen by seed among those that are there; 0: all.
        wait_s: how long to wait for the quorum to be there, before the first round and between two; before
            the first for the very sites that the seed names, too. Then the quorum is enough.
        timeout_s: how long a round may take.
        patience: once the quorum has answered, the others may take this many times as long as it took.
        strategy: of `STRATEGIES`.
        weights: "images": a mean weighs a site by the images that it says it has, and nobody can check that;
            "equal": every site weighs the same, as it does anyway under noise of the center and with
            strategies that bear with lying sites.
        server_rate: of the strategies that step (fedadam, fedyogi, fedadagrad, fedavgm); 0: their default.
        lying: how many sites at most are feared to lie; strategies that bear with some take 1 for granted.
        most_norm: an answer that is further from what was sent out is refused; 0: of any length.
        epsilon: privacy loss of the whole run (central differential privacy); 0: no noise.
        delta: probability of more.
        clip_norm: to which answers are cut before noise is added.
        seed: of the choice of sites, and of theirs.
    """

    rounds: int = 5
    quorum: int = 2
    sites_a_round: int = 0
    wait_s: float = 300.0
    timeout_s: float = 1800.0
    patience: float = 2.0
    strategy: str = "fedavg"
    weights: str = "images"
    server_rate: float = 0.0
    lying: int = 0
    most_norm: float = 0.0
    epsilon: float = 0.0
    delta: float = 1e-5
    clip_norm: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"rounds": 1, "quorum": 1, "sites_a_round": 0, "lying": 0, "seed": 0}.items():
            if getattr(self, name) < least:
                raise InvalidSettings(f"{name} must be at least {least}; got {getattr(self, name)}")
        for name in ("wait_s", "timeout_s", "patience"):
            if not getattr(self, name) > 0:
                raise InvalidSettings(f"{name} must be positive; got {getattr(self, name)}")
        for name in ("server_rate", "most_norm", "epsilon", "clip_norm"):
            if not getattr(self, name) >= 0:
                raise InvalidSettings(f"{name} must not be negative; got {getattr(self, name)}")
        if self.strategy not in STRATEGIES:
            raise InvalidSettings(f"no strategy {self.strategy!r}; there are {', '.join(STRATEGIES)}")
        if self.weights not in WEIGHTS:
            raise InvalidSettings(f"no weights {self.weights!r}; there are {', '.join(WEIGHTS)}")
        self._check_lying()
        if 0 < self.sites_a_round < self.quorum:
            raise InvalidSettings(
                f"{self.sites_a_round} sites are asked and {self.quorum} must answer: ask more, or need fewer"
            )
        if bool(self.epsilon) != bool(self.clip_norm):
            raise InvalidSettings("epsilon and clip_norm go together: the noise covers what is clipped")
        if self.epsilon and self.strategy != "fedavg":
            raise InvalidSettings(
                f"noise is accounted for with fedavg alone, and the strategy is {self.strategy}"
            )

    def _check_lying(self) -> None:
        """Check that the strategy can do at the quorum what it promises: below, it averages every liar in."""
        if self.strategy not in _ANSWERS_NEEDED:
            if self.lying:
                raise InvalidSettings(
                    f"{self.strategy} bears with no site that lies, and {self.lying} are feared: take one of "
                    f"{', '.join(_ANSWERS_NEEDED)}"
                )
            return
        each, more = _ANSWERS_NEEDED[self.strategy]
        least = each * self.feared + more
        if self.quorum < least:
            raise InvalidSettings(
                f"{self.strategy} bears with {self.feared} lying of {least} sites or more, and the quorum is "
                f"{self.quorum}: ask for a quorum of {least}, fear fewer, or take another strategy"
            )

    @property
    def robust(self) -> bool:
        """Tell whether the strategy bears with sites that lie."""
        return self.strategy in _ANSWERS_NEEDED

    @property
    def equal(self) -> bool:
        """Tell whether every site weighs the same, whatever it says."""
        return self.weights == "equal" or self.robust or bool(self.epsilon)

    @property
    def feared(self) -> int:
        """Return how many lying sites the strategy bears with: one at least, or it were none of that kind."""
        return max(1, self.lying) if self.robust else 0


@dataclass(frozen=True)
class FederatedRun:
    """Everything that the ServerApp is told, as plain values.

    Attributes:
        run: name of the run, a digest.
        work: "refine" or "found".
        order: what is asked of a site in each round, but for the round's number (`RoundOrder`, as values).
        nodes: id of a SuperNode -> the site whose key it has; a site may have two while its key changes.
        shapes: tensor name -> shape, of what is refined.
        rounds: how rounds are held.
    """

    run: str
    work: str
    order: Mapping[str, Any]
    nodes: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    rounds: Rounds

    @property
    def all_rounds(self) -> int:
        """Return how many there are in all: one more hands what was founded out to the sites."""
        return self.rounds.rounds + (self.work == "found")

    @property
    def longest_s(self) -> float:
        """Return how long it may take in all."""
        return self.all_rounds * (self.rounds.wait_s + self.rounds.timeout_s)

    def to_json(self) -> bytes:
        """Return the document."""
        return json.dumps(asdict(self), sort_keys=True).encode()


def read_federated_run(path: Path) -> FederatedRun:
    """Read `FederatedRun.to_json`."""
    fields = json.loads(path.read_bytes())
    shapes = {name: tuple(shape) for name, shape in fields["shapes"].items()}
    return FederatedRun(**fields | {"shapes": shapes, "rounds": Rounds(**fields["rounds"])})


@dataclass(frozen=True)
class RoundRecord:
    """What happened in a round: who was asked, answered, was refused and why, and who was not heard of.

    `figures` are sums and means over the answers; "epsilon" is 0 unless every one of them had noise.
    """

    number: int
    asked: tuple[str, ...]
    answered: tuple[str, ...]
    refused: Mapping[str, str]
    silent: tuple[str, ...]
    figures: Mapping[str, float]


@dataclass(frozen=True)
class RunRecord:
    """How a run ended, and each of its rounds."""

    state: RunState
    reason: str = ""
    rounds: tuple[RoundRecord, ...] = ()

    @property
    def sites(self) -> tuple[str, ...]:
        """Return every site whose answer was used."""
        return tuple(sorted({site for each in self.rounds for site in each.answered}))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True)
class RunFolder:
    """Where the ServerApp finds its run and leaves what came of it."""

    root: Path

    @property
    def run(self) -> Path:
        """The run."""
        return self.root / "run.json"

    @property
    def begun(self) -> Path:
        """There once the ServerApp is at work."""
        return self.root / "begun"

    @property
    def arrays(self) -> Path:
        """What all rounds came to, a difference to the start (safetensors): whole where it ended DONE."""
        return self.root / "arrays.safetensors"

    @property
    def record(self) -> Path:
        """How it ended; written last."""
        return self.root / "record.json"

    @property
    def shut(self) -> Path:
        """Ids of nodes that may not take part any more."""
        return self.root / "shut.json"

    def shut_out(self, nodes: Collection[str]) -> None:
        """Write down which nodes may not take part any more: all of them."""
        write_durably(self.shut, json.dumps(sorted(nodes)).encode())

    def shut_nodes(self) -> frozenset[str]:
        """Return the nodes that may not take part any more."""
        try:
            return frozenset(json.loads(self.shut.read_bytes()))
        except FileNotFoundError:
            return frozenset()

    def leave(self, record: RunRecord, arrays: bytes = b"") -> None:
        """Write down how the run ended."""
        if arrays:
            write_durably(self.arrays, arrays)
        write_durably(self.record, json.dumps(record.to_dict(), sort_keys=True).encode())

    def ended(self) -> RunRecord | None:
        """Return how the run ended, None while it has not."""
        try:
            fields = json.loads(self.record.read_bytes())
        except FileNotFoundError:
            return None
        rounds = tuple(
            RoundRecord(**each | {name: tuple(each[name]) for name in ("asked", "answered", "silent")})
            for each in fields["rounds"]
        )
        return RunRecord(RunState(fields["state"]), fields["reason"], rounds)
