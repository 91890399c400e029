"""Settings of a merge server: flags over `TRANSPLANT_CENTRAL_*` variables over defaults."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from central.merge.situation import PlanPolicy
from central.merge.state import GatePolicy
from central.merge.tasks import learner_document
from central.registry.database import sqlite_url, without_password
from central.usecases.center import AdmissionPolicy, Policy, ProbePolicy, Quota
from transplant.artifact.chunks import STREAM_AHEAD_BYTES
from transplant.artifact.limits import Limits
from transplant.backends.blob_stores import CACHE_BYTES, check_store_url
from transplant.errors import InvalidName, InvalidSettings
from transplant.nets.learner_config import LABEL_FREE, LearnerConfig
from transplant.nets.learner_profile import PROFILED
from transplant.types import Device, Precision, checked_name

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "TRANSPLANT_CENTRAL_"
_LEARNER = (
    "method",
    "layers",
    "kernel",
    "steps",
    "batch",
    "learning_rate",
    "synthetic_images",
    "checkpoint_every",
    "precision",
    "drawings",
    "nudged_share",
    "nudge_steps",
    "candidates",
)
_DEFAULT = LearnerConfig()
_PROBE = ProbePolicy()
_PLAN = PlanPolicy()
_ADMISSION = AdmissionPolicy()

Count = Annotated[int, Field(ge=1)]
Percent = Annotated[float, Field(ge=0, le=100)]


class CentralSettings(BaseSettings):
    """Everything an operator can decide. Learner settings take effect for merges planned from then on.

    Where `steps`, `batch` or `synthetic_images` are None they follow the image size of each merge.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    home: Path
    listen: str = "127.0.0.1:7443"
    registry_url: str = ""
    store_url: str = ""
    store_cache_bytes: Count = CACHE_BYTES
    reflection: bool = False
    renewal: Literal["operator", "automatic"] = "operator"
    threads: Annotated[int, Field(ge=4, le=1024)] = 48
    caller_streams: Annotated[int, Field(ge=1, le=1024)] = 32
    caller_idle_s: Annotated[float, Field(gt=0)] = 120.0
    stream_ahead_bytes: Annotated[int, Field(ge=64 << 10, le=64 << 20)] = STREAM_AHEAD_BYTES
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    runner: Literal["ray", "local"] = "ray"
    workers: Annotated[int, Field(ge=1, le=256)] = 2
    device: Device = "auto"
    gpu_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    proxy: Path | None = None
    shares: Annotated[dict[str, Annotated[float, Field(gt=0, le=1000)]], NoDecode] = {}

    founder: str | None = None
    residents: Annotated[int, Field(ge=1, le=64)] = _PLAN.residents
    hosts_at_once: Annotated[int, Field(ge=1, le=16)] = _PLAN.hosts_at_once
    most_hosts: Annotated[int, Field(ge=1, le=64)] = _PLAN.most_hosts
    more_layers: Annotated[int, Field(ge=0, le=8)] = _PLAN.more_layers
    most_layers: Annotated[int, Field(ge=1, le=8)] = _PLAN.most_layers
    supervisors: Annotated[int, Field(ge=0, le=16)] = _PLAN.supervisors
    kin: str = ""
    minimum_agreement: Percent = 60.0
    minimum_closed: Annotated[float, Field(le=100)] = 50.0
    validation_deadline_s: Annotated[float, Field(gt=0)] = 3600.0
    after_deadline: Literal["reject", "publish"] = "reject"
    attempts: Count = 3
    replacement_tolerance: Percent = 5.0
    unsigned_verdicts: Literal["refuse", "accept"] = "refuse"

    payload_limit_bytes: Count = 2 << 30
    site_quota_bytes: Count = 50 << 30
    site_quota_modules: Count = 10_000
    open_uploads: Count = 16
    disk_reserve_bytes: Annotated[int, Field(ge=0)] = 256 << 20

    admission_cpu_s: Annotated[float, Field(gt=0)] = _ADMISSION.cpu_s
    admission_memory_bytes: Count = _ADMISSION.memory_bytes

    method: str = _DEFAULT.method
    layers: Annotated[int, Field(ge=1, le=8)] = _DEFAULT.layers
    kernel: Annotated[int, Field(ge=1, le=7)] = _DEFAULT.kernel
    steps: Annotated[int, Field(ge=0)] | None = None
    batch: Count | None = None
    learning_rate: Annotated[float, Field(gt=0)] = _DEFAULT.learning_rate
    synthetic_images: Count | None = None
    checkpoint_every: Count = _DEFAULT.checkpoint_every
    precision: Precision = _DEFAULT.precision
    drawings: Annotated[float, Field(ge=0, le=1)] = _DEFAULT.drawings
    nudged_share: Annotated[float, Field(ge=0, le=1)] = _DEFAULT.nudged_share
    nudge_steps: Count = _DEFAULT.nudge_steps
    candidates: Annotated[int, Field(ge=1, le=16)] = _DEFAULT.candidates

    probe_pool: Annotated[int, Field(ge=1, le=1 << 20)] = _PROBE.pool
    probe_count: Annotated[int, Field(ge=1, le=1 << 16)] = _PROBE.count
    probe_grid: Annotated[int, Field(ge=1, le=64)] = _PROBE.grid
    probe_more: Annotated[int, Field(ge=1, le=16)] = _PROBE.more

    @field_validator("home", "proxy")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()  # workers may have another directory

    @field_validator("listen")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        try:
            host_and_port(value)
        except InvalidSettings as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("store_url")
    @classmethod
    def _store(cls, value: str) -> str:
        try:
            check_store_url(value)
        except InvalidSettings as error:
            raise ValueError(str(error)) from error
        return str(Path(value).expanduser().absolute()) if value and "://" not in value else value

    @field_validator("shares", mode="before")
    @classmethod
    def _by_site(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",") if pair]
        if not all(site and number for site, _, number in pairs):
            raise ValueError("must be SITE=NUMBER, several by comma")
        return {site.strip(): number for site, _, number in pairs}

    @field_validator("founder")
    @classmethod
    def _category(cls, value: str | None) -> str | None:
        try:
            return checked_name("category", value) if value else None
        except InvalidName as error:
            raise ValueError(str(error)) from error

    @field_validator("kin")
    @classmethod
    def _pairs(cls, value: str) -> str:
        try:
            _kin(value)
        except (InvalidName, ValueError) as error:
            raise ValueError(f"must be pairs of categories like cat:dog,cow:horse ({error})") from error
        return value

    @field_validator("method")
    @classmethod
    def _known_method(cls, value: str) -> str:
        if value not in LABEL_FREE:
            raise ValueError(f"must be one of {', '.join(LABEL_FREE)}: the center has no labels")
        return value

    @field_validator("kernel")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd, so that a feature map keeps its size")
        return value

    @field_validator("probe_count")
    @classmethod
    def _within_the_pool(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("probe_pool", value):
            raise ValueError("must be at most the probe pool")
        return value

    @property
    def url(self) -> str:
        """Return the registry's URL: the given one, or SQLite in the home."""
        return self.registry_url or sqlite_url(self.home / "registry.sqlite")

    def policy(self) -> Policy:
        """Return the operator's decisions as the inside knows them."""
        chosen = {name: getattr(self, name) for name in _LEARNER}
        fixed = {name: value for name, value in _DEFAULT.to_dict().items() if name not in PROFILED}
        learner = fixed | {name: value for name, value in chosen.items() if value is not None}
        del learner["seed"]  # each merge has its own, from its key
        return Policy(
            plan=PlanPolicy(
                founder=self.founder,
                learner=learner_document(learner),
                residents=self.residents,
                hosts_at_once=self.hosts_at_once,
                most_hosts=self.most_hosts,
                more_layers=self.more_layers,
                most_layers=self.most_layers,
                supervisors=self.supervisors,
                kin=_kin(self.kin),
            ),
            gates=GatePolicy(
                minimum_agreement=self.minimum_agreement,
                minimum_closed=self.minimum_closed,
                deadline_s=self.validation_deadline_s,
                after_deadline=self.after_deadline,
                attempts=self.attempts,
                replacement_tolerance=self.replacement_tolerance,
                unsigned_verdicts=self.unsigned_verdicts,
            ),
            limits=Limits(payload_bytes=self.payload_limit_bytes),
            quota=Quota(
                bytes=self.site_quota_bytes,
                modules=self.site_quota_modules,
                open_uploads=self.open_uploads,
                disk_reserve_bytes=self.disk_reserve_bytes,
            ),
            probe=ProbePolicy(
                pool=self.probe_pool,
                count=self.probe_count,
                grid=self.probe_grid,
                drawings_percent=round(100 * self.drawings),
                more=self.probe_more,
            ),
            admission=AdmissionPolicy(self.admission_cpu_s, self.admission_memory_bytes),
            device=self.device,
            gpu_share=self.gpu_share,
            shares=self.shares,
        )

    def document(self) -> bytes:
        """Return the resolved settings as JSON, to be kept beside the results; without a password."""
        fields = self.model_dump(mode="json")
        if self.registry_url:
            fields["registry_url"] = without_password(self.registry_url)
        return (json.dumps(fields, indent=2, sort_keys=True) + "\n").encode()


def host_and_port(listen: str) -> tuple[str, int]:
    """Return both parts of an address to listen on.

    Raises:
        InvalidSettings: if it has not both.
    """
    host, _, port = listen.rpartition(":")
    if not host.strip("[]") or not port.isdecimal() or int(port) > 65535:
        raise InvalidSettings("must be HOST:PORT (port 0: any free one)")
    return host.strip("[]"), int(port)


def _kin(pairs: str) -> frozenset[tuple[str, str]]:
    """Return the pairs of "cat:dog,cow:horse"."""
    found: set[tuple[str, str]] = set()
    for pair in filter(None, pairs.split(",")):
        one, other = (checked_name("category", name) for name in pair.split(":"))
        found.add((one, other))
    return frozenset(found)


def read_settings(flags: Mapping[str, Any]) -> CentralSettings:
    """Resolve flags (None: not given), environment and defaults.

    Raises:
        InvalidSettings: with every mistake at once, one a line.
    """
    known = {f"{PREFIX}{name}".upper() for name in CentralSettings.model_fields}
    mistakes = [
        f"{name}: there is no such setting"
        for name in sorted(os.environ)
        if name.upper().startswith(PREFIX) and name.upper() not in known
    ]
    settings = None
    try:
        settings = CentralSettings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False):
            path = ".".join(str(part) for part in fault["loc"])
            mistakes.append(f"{path}: {fault['msg'].removeprefix('Value error, ')}")
    if settings is None or mistakes:
        raise InvalidSettings("; ".join(mistakes))
    return settings
