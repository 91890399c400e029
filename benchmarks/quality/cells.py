"""A cell of a quality bench: everything that was chosen for one learned adapter, and nothing measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from benchmarks.records import Record
from transplant.artifact.digest import canonical_json, sha256_hex
from transplant.types import Task

METRICS = {
    Task.CLASSIFICATION: ("error",),
    Task.SEGMENTATION: ("pixel_accuracy", "iou", "mean_iou"),
}
"""What is compared with the teacher, by task (`transplant.nets.measures` names them)."""

EXTRA_METRICS = {"agreement": "percent", "gap_closed": "percent", "bytes_up": "bytes"}
"""What else every cell records, with its unit. `gap_closed` is the share of the way floor -> teacher."""


_LATER = ("teacher_images", "teacher_transfer", "device")
"""Fields that cells had not at first: where they are not used, names of files are what they were."""


class Bench(StrEnum):
    """The quality benches."""

    EXP1 = "exp1"
    EXP2 = "exp2"
    EXP3 = "exp3"
    TABLE4 = "table4"
    ABLATION = "ablation"


@dataclass(frozen=True)
class Cell:
    """One adapter to learn and to measure.

    Args:
        bench: which experiment.
        data: the origin of the sites' data.
        arch: entry of the architecture table, of f, g_S and g_T alike.
        method: a name that `central.merge.learn` knows.
        disclosure: what is known of x = f(I) at the center: none, scale, moments, pca, or "proxy" (nothing
            disclosed, but public unlabelled images at hand).
        samples: labelled images, half of them with the category (segmentation: all of them).
        seed: of the sites' data and teachers, of the choice of samples and of the learner.
        category: whose f is transplanted.
        host: whose g_S it is transplanted into.
        task: what g answers.
        layers: of the adapter.
        kernel: side of its convolutions.
        ship: "modules" (g_T travels) or "outputs" (g_T stays at home and answers a probe).
        source: what x is synthesised from where that does not follow from `disclosure`.
        synthetic_images: how many, where that is not left to the learner.
        teacher_images: how many pictures with the category (and as many without) the site has; None: all.
        teacher_transfer: how its teacher borrowed from the host's while it was trained; None: not at all.
        device: what the adapter is learned and measured on; None: the CPU. Teachers are always trained there.
    """

    bench: str
    data: str
    arch: str
    method: str
    disclosure: str
    samples: int
    seed: int
    category: str
    host: str
    task: Task
    layers: int
    kernel: int
    ship: str = "modules"
    source: str | None = None
    synthetic_images: int | None = None
    teacher_images: int | None = None
    teacher_transfer: str | None = None
    device: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON document."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Cell:
        """Rebuild from `to_dict`."""
        changed: dict[str, Any] = values | {"task": Task(values["task"])}
        return cls(**changed)

    @property
    def digest(self) -> str:
        """Return a name for the files of this cell."""
        chosen = self.to_dict()
        plain = {name: chosen[name] for name in chosen if name not in _LATER or chosen[name] is not None}
        return sha256_hex(canonical_json(plain))[:20]

    def record(self, metric: str, value: float, unit: str = "percent", **measured: Any) -> Record:
        """Return one measure of this cell; `measured` are the record's fields that are not choices."""
        return Record(metric=metric, value=value, unit=unit, **self._choices(), **measured)

    def expected(self) -> list[Record]:
        """Return records (without values) of every measure that a finished cell has."""
        compared = [self.record(metric, 0.0) for metric in METRICS[self.task]]
        return compared + [self.record(metric, 0.0, unit) for metric, unit in EXTRA_METRICS.items()]

    def sentence(self) -> str:
        """Return a few words for a line of progress."""
        where = (
            f"{self.category} into {self.host}" if self.category != self.host else f"{self.category} itself"
        )
        known = "" if self.disclosure == "none" else f" {self.disclosure}"
        if self.teacher_images is not None:
            where += f" (teacher of {self.teacher_images} images)"
        if self.teacher_transfer is not None:
            where += f" (transfer {self.teacher_transfer})"
        if self.device is not None:
            where += f" (on {self.device})"
        return (
            f"{self.bench} {where}, {self.task}, {self.method}{known}, {self.samples} labels, "
            f"{self.layers} layers {self.kernel}x{self.kernel}, seed {self.seed}"
        )

    def _choices(self) -> dict[str, Any]:
        # Where modules travel there is nothing to tell: that is what every other bench does, too.
        return self.to_dict() | {
            "task": self.task.value,
            "ship": None if self.ship == "modules" else self.ship,
        }
