"""What each method of learning can use: decides which cells of a grid mean anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Traits:
    """What a method makes of labelled samples and of a site's disclosure.

    Args:
        labels: whether it needs labelled samples, may use them, or never looks at them.
        synthesises: whether it learns on synthetic x, so that disclosure, source and ship matter to it.
        papers: whether it is one of the paper's own (or argued against there): run at the paper's settings,
            with the paper's disclosed beta.
    """

    labels: Literal["needs", "may", "never"]
    synthesises: bool
    papers: bool


METHODS = {
    "direct-learn": Traits("needs", synthesises=False, papers=True),
    "distill": Traits("needs", synthesises=False, papers=True),
    "jacobian-distill": Traits("needs", synthesises=False, papers=True),
    "back-distill": Traits("may", synthesises=False, papers=True),
    "closed-form": Traits("never", synthesises=False, papers=True),
    "function": Traits("may", synthesises=True, papers=False),
    "transplant": Traits("may", synthesises=True, papers=False),
}


def skip_reason(method: str, samples: int, disclosure: str, ship: str, source: str | None) -> str | None:
    """Return why a combination would measure nothing of its own, or None where it does."""
    traits = METHODS[method]
    if traits.labels == "needs" and samples == 0:
        return f"{method} needs labelled samples: no cell at 0 samples"
    if traits.labels == "never" and samples > 0:
        return f"{method} looks at no label: only its cell at 0 samples is run"
    if not traits.synthesises and (disclosure != "none" or ship != "modules" or source is not None):
        return f"{method} synthesises nothing: it is run once, at disclosure none with modules shipped"
    if ship == "outputs" and (disclosure != "none" or source is not None):
        return "ship = outputs answers a probe of procedural images: it is run at disclosure none only"
    if source is not None and disclosure != "none":
        return "--sources says what x is synthesised from at disclosure none: other levels have their own"
    return None
