"""A claim: which records it is about, and what they must show."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchmarks.records import Record
from transplant.errors import InvalidSettings

CLAIMS = Path(__file__).with_name("claims.toml")

_FIELDS = {field.name for field in fields(Record)}

Wanted = str | int | float | list[str] | list[int]
"""What a field of a record must be: one value, or any of several. "" stands for a field that is absent."""


class Rival(BaseModel):
    """What is to be beaten: other records of the same metric, method by method.

    Args:
        where: as in the claim. A field of `each` that stands here is not taken from the group.
        by: how much better our mean must be.
        apart: whether the two 95 % intervals must not overlap.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    where: dict[str, Wanted]
    by: float = 0.0
    apart: bool = False


class Claim(BaseModel):
    """One sentence that records can prove wrong.

    Args:
        says: the sentence.
        where: fields of the records that it is about; `metric` must be among them.
        of: the record's value, its ratio to the baseline of the same run, the same measure of its `teacher`,
            or `lost`: how much worse than the teacher it is.
        each: the claim must hold for every group of records that agree in these fields.
        over: what of a group counts: the mean, or the worst record.
        better: which direction is good; it decides what "worst", "lost" and "ahead" mean.
        at_least: bar.
        at_most: bar.
        ahead_of: rivals, all of which must be beaten.
        seeds: how many seeds the claim needs before it counts as measured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    says: str
    where: dict[str, Wanted]
    of: Literal["value", "ratio", "teacher", "lost"] = "value"
    each: tuple[str, ...] = ()
    over: Literal["mean", "worst"] = "mean"
    better: Literal["lower", "higher"]
    at_least: float | None = None
    at_most: float | None = None
    ahead_of: tuple[Rival, ...] = ()
    seeds: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _means_something(self) -> Claim:
        named = {*self.where, *self.each, *(name for rival in self.ahead_of for name in rival.where)}
        if unknown := named - _FIELDS:
            raise ValueError(f"records have no field {', '.join(sorted(unknown))}")
        if "metric" not in self.where:
            raise ValueError("say the metric")
        if self.at_least is None and self.at_most is None and not self.ahead_of:
            raise ValueError("nothing can prove this wrong: give at_least, at_most or ahead_of")
        return self


def read_claims(path: Path = CLAIMS) -> dict[str, Claim]:
    """Return the claims by name, in the file's order.

    Raises:
        InvalidSettings: if the file does not hold claims; every mistake is named.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InvalidSettings(f"{path} cannot be read: {error}") from error
    claims: dict[str, Claim] = {}
    mistakes: list[str] = []
    for name, written in content.items():
        try:
            claims[name] = Claim.model_validate(written)
        except ValidationError as error:
            mistakes += [
                f"{name}: {'.'.join(map(str, each['loc']))} {each['msg']}" for each in error.errors()
            ]
    if mistakes:
        raise InvalidSettings(f"{path}: " + "; ".join(mistakes))
    return claims
