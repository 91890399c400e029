"""What to try next for a task whose attempts were refused: other hosts, then a larger adapter. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from central.merge.situation import RETRY_COMMAND, Ending, Standing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from central.merge.situation import Attempt, KnownMerge, PlanPolicy


@dataclass(frozen=True)
class Round:
    """Merges to plan side by side: where they differ (ids), and their adapters' layers (0: the policy's)."""

    choices: tuple[str, ...]
    layers: int = 0


def next_round(
    tried: Sequence[tuple[str, Attempt]], choices: Sequence[str], at_once: int, policy: PlanPolicy
) -> Round | None:
    """Return the next attempts, or None where everything that the policy allows was tried.

    Args:
        tried: what each earlier attempt chose (a host, or a supervisor), and how it went.
        choices: what there is to choose from, most promising first.
        at_once: how many are tried side by side.
        policy: the operator's bounds.
    """
    before = {choice for choice, _ in tried}
    fresh = [choice for choice in choices[: policy.most_hosts] if choice not in before]
    if fresh and len(before) < policy.most_hosts:
        return Round(tuple(fresh[: min(at_once, policy.most_hosts - len(before))]))
    known = set(choices)
    learned = [(attempt.agreement, choice) for choice, attempt in tried if choice in known]
    scored = [(score, choice) for score, choice in learned if score is not None]
    layers = max((attempt.layers for _, attempt in tried), default=0) + policy.more_layers
    if not scored or policy.more_layers < 1 or layers > policy.most_layers:
        return None
    best = max(scored, key=lambda each: each[0])
    return Round((best[1],), layers)


_FINAL: Mapping[Ending, tuple[Standing, str]] = MappingProxyType(
    {
        Ending.CANCELLED: (
            Standing.CANCELLED,
            "it was cancelled; a newer teacher of the site would be planned anew",
        ),
        Ending.UNANSWERED: (
            Standing.UNANSWERED,
            "the site did not answer its candidate in time: it is asked again as soon as it is there, or by "
            f"`{RETRY_COMMAND} KEY`",
        ),
        Ending.DAMAGED: (
            Standing.DAMAGED,
            "it was accepted, and its publication refused: `transplant-central fsck` tells what is damaged, "
            f"`{RETRY_COMMAND} KEY` publishes it once that is mended",
        ),
    }
)


def finality(merges: Sequence[KnownMerge]) -> tuple[Standing, str] | None:
    """Return why no further attempt is made, or None where one may be.

    A failure is no refusal: the same bug would meet a larger adapter. Somebody may ask again for that merge.
    """
    endings = {merge.ending for merge in merges}
    for ending, told in _FINAL.items():
        if ending in endings:
            return told
    if Ending.FAILED in endings and Ending.REFUSED not in endings:
        last = next(merge for merge in reversed(merges) if merge.ending is Ending.FAILED)
        why = "" if last.attempt is None else f": {last.attempt.reason}"
        told = f"it could not be learned{why}; `{RETRY_COMMAND} {last.merge_key[:12]}` tries once more"
        return Standing.FAILED, told
    return None


def given_up(merges: Sequence[KnownMerge]) -> str:
    """Say how every attempt ended, for the person who can change the policy or the teacher."""
    attempts = [merge.attempt for merge in merges if merge.attempt is not None]
    scores = [attempt.agreement for attempt in attempts if attempt.agreement is not None]
    best = f", the best agreement was {max(scores):.1f} %" if scores else ""
    last = f"; the last one: {attempts[-1].reason}" if attempts else ""
    return (
        f"{len(attempts)} attempts were refused{best}{last}. A newer teacher, other hosts (residents) or "
        "larger adapters (most_layers) would go on"
    )
