"""A site's settings: flags over `TRANSPLANT_EDGE_*` variables over defaults, all mistakes told at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AliasChoices, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from edge.disclosing import Noise, Policy, Ship
from edge.refine_noise import RoundNoise
from edge.teach.borrowing import Transfer
from edge.teach.recipe import Optimiser, Recipe, default_epochs
from transplant.artifact.encoding import Encoding
from transplant.errors import InvalidName, InvalidSettings
from transplant.types import Device, Disclosure, Precision, Task, checked_name

_PREFIX = "TRANSPLANT_EDGE_"
_DEFAULTS = Recipe()
_POLICY = Policy()


class EdgeSettings(BaseSettings):
    """Everything that a person can set for one site."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="forbid", frozen=True, populate_by_name=True)

    home: Path
    kit: Path | None = None
    center: str | None = None
    site: str | None = None
    data: str = "scenes"
    data_root: Annotated[
        Path, Field(validation_alias=AliasChoices(f"{_PREFIX}DATA_ROOT", "TRANSPLANT_DATA"))
    ] = Path("../shared/data")
    data_seed: Annotated[int | None, Field(ge=0)] = None
    category: str | None = None
    image_px: Annotated[int | None, Field(ge=32, le=512)] = None
    tasks: Annotated[tuple[Task, ...], NoDecode] = ()
    arch: str = "vgg_small"
    epochs: Annotated[int | None, Field(ge=1, le=10_000)] = None
    batch_size: Annotated[int, Field(ge=1, le=4096)] = _DEFAULTS.batch_size
    learning_rate: Annotated[float, Field(gt=0, le=10)] = _DEFAULTS.learning_rate
    optimiser: Optimiser = _DEFAULTS.optimiser
    weight_decay: Annotated[float, Field(ge=0, le=1)] = _DEFAULTS.weight_decay
    patience: Annotated[int, Field(ge=1)] = _DEFAULTS.patience
    precision: Precision = _DEFAULTS.precision
    pretrained: bool = False
    seed: Annotated[int, Field(ge=0, lt=1 << 31)] = 0
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    device: Device = "auto"
    disclosure: Disclosure = Disclosure.NONE
    ship: Ship = Ship.MODULES
    encoding: Encoding = Encoding.F32
    directions: Annotated[int, Field(ge=1, le=128)] = _POLICY.directions
    epsilon: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    clip_norm: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    lend: bool = True
    transfer: Transfer = Transfer.NONE
    lender: str | None = None
    retain: Annotated[str, Field(pattern=r"^(auto|\d{1,3})$")] = "auto"
    poll_interval_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    refine: str | None = None
    refine_labels: Annotated[int, Field(ge=0)] = 0
    found: bool = False
    refine_epsilon: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    refine_delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    refine_clip_norm: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None

    @field_validator("tasks", mode="before")
    @classmethod
    def _split_tasks(cls, value: Any) -> Any:
        """Take a comma list from the environment."""
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("category", "site")
    @classmethod
    def _named(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            return checked_name("the name", value)
        except InvalidName as error:
            raise ValueError(str(error)) from error

    @field_validator("epsilon")
    @classmethod
    def _noise_on_moments(cls, value: float | None, info: ValidationInfo) -> float | None:
        level = info.data.get("disclosure", Disclosure.MOMENTS)
        if value is not None and level is not Disclosure.MOMENTS:
            raise ValueError(f"the Gaussian mechanism protects --disclosure moments, not {level}")
        return value

    @field_validator("clip_norm")
    @classmethod
    def _bound_of_the_noise(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is None and info.data.get("epsilon") is not None:
            raise ValueError(
                "--epsilon needs it: the largest root mean square norm of a feature vector that counts, "
                "chosen without looking at the data"
            )
        return value

    @field_validator("refine")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        host, _, port = (value or "h:1").rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536 or "://" in host:
            raise ValueError("must be HOST:PORT, where `transplant-central refine` listens")
        return value or None

    @field_validator("found")
    @classmethod
    def _through_a_node(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("refine") is None:
            raise ValueError("--found needs --refine, the address where the founding sites meet")
        return value

    @field_validator("refine_clip_norm")
    @classmethod
    def _bound_of_the_rounds(cls, value: float | None, info: ValidationInfo) -> float | None:
        if (value is None) != (info.data.get("refine_epsilon") is None):
            raise ValueError(
                "--refine-epsilon and --refine-clip-norm go together: noise covers what is clipped"
            )
        return value

    @classmethod
    def of(cls, flags: dict[str, Any]) -> Self:
        """Resolve the flags that were given with the environment and the defaults.

        Raises:
            InvalidSettings: listing every unknown variable and every value out of range.
        """
        known = {f"{_PREFIX}{name.upper()}" for name in cls.model_fields}
        faults = [
            f"{name}: there is no such setting"
            for name in sorted(os.environ)
            if name.startswith(_PREFIX) and name not in known
        ]
        try:
            settings = cls(**{name: value for name, value in flags.items() if value is not None})
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_input=False, include_context=False):
                name = ".".join(str(part) for part in fault["loc"])
                faults.append(f"{_flag(name)}: {fault['msg'].removeprefix('Value error, ')}")
            raise InvalidSettings("; ".join(faults)) from error
        if faults:
            raise InvalidSettings("; ".join(faults))
        return settings

    @property
    def resolved_epochs(self) -> int:
        """Return the epochs that were set, or else what the kind of data needs."""
        return default_epochs(self.data) if self.epochs is None else self.epochs

    @property
    def recipe(self) -> Recipe:
        """Return the settings of the training."""
        return Recipe(
            epochs=self.resolved_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimiser=self.optimiser,
            weight_decay=self.weight_decay,
            patience=self.patience,
            precision=self.precision,
            pretrained=self.pretrained,
            sibling_epoch=-1 if self.pretrained else _DEFAULTS.sibling_epoch,
            seed=self.seed,
        )

    @property
    def policy(self) -> Policy:
        """Return what the site tells."""
        noise = None
        if self.epsilon is not None and self.clip_norm is not None:
            noise = Noise(self.epsilon, self.delta, self.clip_norm)
        return Policy(self.disclosure, self.directions, noise, self.ship, self.encoding, self.lend)

    @property
    def round_noise(self) -> RoundNoise | None:
        """Return the noise on what this site answers in federated rounds, or None for none."""
        if self.refine_epsilon is None or self.refine_clip_norm is None:
            return None
        return RoundNoise(self.refine_epsilon, self.refine_delta, self.refine_clip_norm)

    @property
    def retained(self) -> int | None:
        """Return how many layers are retained, or None where validation shall choose."""
        return None if self.retain == "auto" else int(self.retain)

    def required_lender(self) -> str | None:
        """Return who lends, or None where nothing is borrowed.

        Raises:
            InvalidSettings: if --transfer was given without --from, or the other way round.
        """
        if (self.transfer is Transfer.NONE) != (self.lender is None):
            raise InvalidSettings(
                "--transfer says how to borrow and --from from whom: give both (catalog:CATEGORY/VERSION, "
                "torchvision:NAME, or a sealed module's file), or neither"
            )
        return self.lender

    def required_category(self) -> str:
        """Return the category.

        Raises:
            InvalidSettings: if it was not given.
        """
        if self.category is None:
            raise InvalidSettings("--category is missing: which category does this site teach?")
        return self.category

    def required_kit(self) -> Path:
        """Return the kit's folder.

        Raises:
            InvalidSettings: if it was not given.
        """
        if self.kit is None:
            raise InvalidSettings("--kit is missing: give the folder that transplant-central provision made")
        return self.kit


def _flag(name: str) -> str:
    if name == "lender":
        return "--from"
    return "--task" if name.startswith("tasks") else f"--{name.replace('_', '-')}"
