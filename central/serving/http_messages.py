"""HTTP requests to what they ask, and answers to JSON or PNG. Pure: no server is known here.

    GET  /health                      version and digest that are served
    GET  /describe                    and the categories of each task, and who taught them, if not their own
    POST /predict?task=...            body: one picture; or JSON with "pictures", base64 each
         &category=a&category=b &budget=k &version=N &masks=1

The answer is JSON. Who accepts image/png alone and asks for the segmentation of one picture and one category
gets the mask.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from central.serving.asks import Answered, Ask, Refused
from transplant.errors import ERRORS, ImagesInvalid, InvalidSettings
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from central.serving.asks import CategoryAnswer, Description

_STATUS = {
    "INVALID_ARGUMENT": HTTPStatus.BAD_REQUEST,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "RESOURCE_EXHAUSTED": HTTPStatus(413),  # its name differs between Python's releases
    "UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
}
_FIELDS = frozenset({"pictures", "task", "categories", "budget", "version", "masks"})


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    media_type: str
    body: bytes


def parse_predict(query: Sequence[tuple[str, str]], media_type: str, body: bytes) -> Ask:
    """Read a request.

    Args:
        query: names and values behind the question mark, in order.
        media_type: what the body is said to be.
        body: a picture, or JSON.

    Raises:
        InvalidSettings: if a field is unknown, missing or not what it must be.
        ImagesInvalid: if there is no picture that can be one.
    """
    fields: dict[str, Any] = {}
    for name, value in query:
        if name == "category":
            fields.setdefault("categories", []).append(value)
        elif name in _FIELDS - {"pictures", "categories"}:
            fields[name] = value
        else:
            raise InvalidSettings(f"{name[:40]}: there is no such parameter")
    if media_type.partition(";")[0].strip().lower() == "application/json":
        fields |= _document(body)
        pictures = tuple(_decoded(each) for each in _list(fields.pop("pictures", []), "pictures"))
    else:
        pictures = (body,) if body else ()
    try:
        task = Task(fields.get("task", Task.CLASSIFICATION))
    except ValueError as error:
        raise InvalidSettings(f"task: one of {', '.join(Task)}") from error
    return Ask(
        pictures,
        task,
        tuple(_list(fields.get("categories", []), "categories")),
        _number(fields.get("budget", 0), "budget"),
        _number(fields.get("version", 0), "version"),
        str(fields.get("masks", "0")).lower() in ("1", "true"),
    )


def predict_reply(told: Answered | Refused, accept: str) -> Reply:
    """Return the answer to a request, or why there is none."""
    if isinstance(told, Refused):
        return refusal(told)
    if accept.strip().lower() == "image/png":
        masks = [each.mask_png for answer in told.answers for each in answer]
        if len(masks) == 1 and masks[0]:
            return Reply(HTTPStatus.OK, "image/png", masks[0])
        return refusal(
            Refused(
                InvalidSettings.code(),
                "image/png: ask for the segmentation of one picture, one category, masks=1",
            )
        )
    return _json(
        {
            "version": told.version,
            "digest": told.digest,
            "task": told.task.value,
            "answers": [[_category(each) for each in answer] for answer in told.answers],
        }
    )


def describe_reply(told: Description) -> Reply:
    """Return what is served."""
    tasks = {task.value: list(categories) for task, categories in told.categories.items()}
    supervised = {task.value: names for task, names in told.supervised_by.items()}
    about = {"version": told.version, "digest": told.digest}
    return _json({**about, "tasks": tasks, "supervised_by": supervised})


def refusal(told: Refused) -> Reply:
    """Return an error; its class says which HTTP status."""
    known = ERRORS.get(told.error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR if known is None else _STATUS.get(known.status)
    return _json({"error": told.error, "message": told.message}, status or HTTPStatus.INTERNAL_SERVER_ERROR)


def _category(told: CategoryAnswer) -> dict[str, Any]:
    document: dict[str, Any] = {
        "category": told.category,
        "probability": told.probability,
        "logit": told.logit,
    }
    if told.supervised_by:
        document["supervised_by"] = told.supervised_by
    if told.share_percent is not None:
        document["share_percent"] = told.share_percent
    if told.mask_png:
        document["mask_png"] = base64.b64encode(told.mask_png).decode()
    return document


def _json(document: dict[str, Any], status: int = HTTPStatus.OK) -> Reply:
    return Reply(status, "application/json", json.dumps(document).encode() + b"\n")


def _document(body: bytes) -> dict[str, Any]:
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidSettings(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidSettings("the body is not a JSON object")
    fields = cast("dict[str, Any]", document)
    unknown = sorted(fields.keys() - _FIELDS)
    if unknown:
        raise InvalidSettings(f"{unknown[0][:40]}: there is no such field")
    return fields


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImagesInvalid(f"a picture is not base64: {error}") from error


def _list(value: object, name: str) -> list[str]:
    items = cast("list[object]", value) if isinstance(value, list) else None
    if items is None or not all(isinstance(item, str) for item in items):
        raise InvalidSettings(f"{name}: a list of texts")
    return cast("list[str]", items)


def _number(value: object, name: str) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isdecimal() and len(text) < 19):
        raise InvalidSettings(f"{name}: a whole number from 0")
    return int(text)
