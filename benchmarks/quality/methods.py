"""What each method of learning can use: decides which cells of a grid mean anything."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.quality.refined import REFINED
from transplant.nets.learner_config import LABEL_BOUND


@dataclass(frozen=True)
class Traits:
    """What a method makes of labelled samples and of a site's disclosure.

    Which methods cannot do without labelled samples is said by `transplant.nets.learner_config.LABEL_BOUND`.

    Args:
        takes_labels: whether it learns from labelled samples where there are any.
        synthesises: whether it learns on synthetic x, so that disclosure, source and ship matter to it.
        papers: whether it is one of the paper's own (or argued against there): run at the paper's settings,
            with the paper's disclosed beta.
    """

    takes_labels: bool
    synthesises: bool
    papers: bool


METHODS = {
    "direct-learn": Traits(takes_labels=True, synthesises=False, papers=True),
    "distill": Traits(takes_labels=True, synthesises=False, papers=True),
    "jacobian-distill": Traits(takes_labels=True, synthesises=False, papers=True),
    "back-distill": Traits(takes_labels=True, synthesises=False, papers=True),
    "closed-form": Traits(takes_labels=False, synthesises=False, papers=True),
    "function": Traits(takes_labels=True, synthesises=True, papers=False),
    "transplant": Traits(takes_labels=True, synthesises=True, papers=False),
    REFINED: Traits(takes_labels=True, synthesises=True, papers=False),  # what it starts from synthesises
}


def skip_reason(method: str, samples: int, disclosure: str, ship: str, source: str | None) -> str | None:
    """Return why a combination would measure nothing of its own, or None where it does."""
    traits = METHODS[method]
    if method in LABEL_BOUND and samples == 0:
        return f"{method} needs labelled samples: no cell at 0 samples"
    if not traits.takes_labels and samples > 0:
        return f"{method} looks at no label: only its cell at 0 samples is run"
    if not traits.synthesises and (disclosure != "none" or ship != "modules" or source is not None):
        return f"{method} synthesises nothing: it is run once, at disclosure none with modules shipped"
    if ship == "outputs" and (disclosure != "none" or source is not None):
        return "ship = outputs answers a probe of procedural images: it is run at disclosure none only"
    if source is not None and disclosure != "none":
        return "--sources says what x is synthesised from at disclosure none: other levels have their own"
    return None
