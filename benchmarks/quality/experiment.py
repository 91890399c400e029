"""What tells the experiments apart: their categories, hosts, tasks, defaults and the paper's settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.quality.cells import Bench
    from transplant.types import Task

LEAVE_ONE_OUT = "all-but-"
"""Prefix of the name of a host that was trained on every category but one."""


@dataclass(frozen=True)
class Experiment:
    """One experiment. Tuples of several values are grids; `Plan` says which of them are run.

    Args:
        bench: its name.
        title: for the report.
        categories: data -> the categories that are transplanted; a data set that is not here cannot be used.
        hosts: data -> the categories whose g_S is the host (the first by default); empty: see `host_of`.
        tasks: data -> tasks that are run.
        methods: run by default.
        samples: run by default.
        layers: of the adapters, by default.
        kernels: of the adapters, by default.
        disclosures: run by default.
        synthetic_images: run by default; None leaves it to the learner.
        paper_settings: task -> `LearnerConfig` fields of the paper's own methods.
        reorder: whether the channels of x are permuted (the paper's mimicry of nets trained apart).
        one_at_a_time: whether the grids are varied one by one around their first values.
    """

    bench: Bench
    title: str
    categories: Mapping[str, tuple[str, ...]]
    hosts: Mapping[str, tuple[str, ...]]
    tasks: Mapping[str, tuple[Task, ...]]
    methods: tuple[str, ...]
    paper_settings: Mapping[Task, Mapping[str, Any]]
    samples: tuple[int, ...] = (0, 10, 20, 50, 100)
    layers: tuple[int, ...] = (3,)
    kernels: tuple[int, ...] = (3,)
    disclosures: tuple[str, ...] = ("none",)
    synthetic_images: tuple[int | None, ...] = (None,)
    reorder: bool = False
    one_at_a_time: bool = False
    own_host: bool = False
    leave_one_out: bool = field(default=False)

    def categories_of(self, data: str) -> tuple[str, ...]:
        """Return the default categories on a data set.

        Raises:
            InvalidSettings: if this experiment cannot be run on it.
        """
        if data not in self.categories:
            raise InvalidSettings(
                f"{self.bench} has no categories on --data {data!r}; it runs on {', '.join(self.categories)}"
            )
        return self.categories[data]

    def host_of(self, category: str, named: str | None) -> str:
        """Return the host that a category is transplanted into; `named` is the grid's host, if it has one."""
        if self.own_host:
            return category
        if self.leave_one_out:
            return LEAVE_ONE_OUT + category
        if named is None:
            raise InvalidSettings(f"{self.bench} needs --hosts: the category whose task module is the host")
        return named
