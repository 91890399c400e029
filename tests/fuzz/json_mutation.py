"""Changes to a JSON document that keep it a document: what byte flips almost never reach."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

NUMBERS = (
    *(
        0,
        -0.0,
        1,
        -1,
        2,
        7,
        8,
        9,
        64,
        255,
        1 << 16,
        (1 << 20) + 1,
        (1 << 31) - 1,
        1 << 31,
        1 << 32,
        (1 << 53) + 1,
    ),
    *((1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 1 << 200, 10**4000, 0.5, 4.0, 1e-320, 3.5e38, 1e308),
)
TEXTS = (
    *(
        "",
        ".",
        "..",
        "a..b",
        "../x",
        "/etc/passwd",
        "a\n",
        "a\0",
        "\ud800",
        "\u2028",
        "\x1b[2J",
        "é",
        "a" * 201,
        "A" * 64,
    ),
    *("F32", "F16", "BF16", "U8", "I32", "I64", "f32", "f16", "bf16", "u8", "i32", "__metadata__", "a" * 64),
    *(
        "category",
        "task",
        "adapter",
        "statistics",
        "answers",
        "classification",
        "segmentation",
        "scale",
        "pca",
    ),
)
OTHERS: tuple[Any, ...] = (None, True, False, [], [[]], [0, 0], [1 << 62, 1 << 62])
_PLACES = 300  # a larger document is repeated no further: the mutation itself must stay small
_DEPTH = 60  # deeper than any document; how deep a reader survives, the byte mutations and the corpus try


class Pairs(list[Any]):
    """An object as its pairs, so that a key can stand twice."""


def parse(text: bytes) -> Any:
    """Return the document with objects as `Pairs`.

    Raises:
        ValueError, RecursionError: if it is none.
    """
    return json.loads(text, object_pairs_hook=Pairs)


def dump(value: Any) -> bytes:
    """Return the text of a document; NaN, surrogates and repeated keys are written as they are."""
    return _text(value).encode("utf-8", "surrogatepass")


def mutated(document: Any, rng: random.Random) -> Any:
    """Return the document after one to three changes; it is changed in place."""
    for _ in range(rng.randint(1, 3)):
        places = list(_places(document, 0))
        if not places:
            return rng.choice((*NUMBERS, *TEXTS, *OTHERS))
        _change(*rng.choice(places), places, rng)
    return document


def _change(parent: list[Any], index: int, places: list[tuple[list[Any], int]], rng: random.Random) -> None:
    pair = isinstance(parent, Pairs)
    key, value = parent[index] if pair else (None, parent[index])
    roll = rng.randrange(10)
    if roll == 0:
        del parent[index]
        return
    if roll == 1:
        parent.insert(rng.randint(0, len(parent)), parent[index])
        return
    if roll == 2:
        other_parent, other = rng.choice(places)
        drawn = other_parent[other]
        value = copy.deepcopy(drawn[1] if isinstance(other_parent, Pairs) else drawn)
    elif roll == 3 and pair:
        key = rng.choice(TEXTS)
    elif roll == 4 and isinstance(value, list) and len(places) < _PLACES:
        value = type(value)(list(value) * rng.choice((2, 3, 70)))
    elif roll == 5:
        value = [value]
    elif isinstance(value, (int, float)) and roll < 8:
        value = value + rng.choice((-8, -4, -1, 1, 4, 8)) if abs(value) < 1 << 300 else 0
    else:
        value = copy.deepcopy(rng.choice(rng.choice((NUMBERS, TEXTS, OTHERS))))  # lists are changed in place
    parent[index] = (key, value) if pair else value


def _places(value: Any, depth: int):
    if not isinstance(value, list) or depth > _DEPTH:
        return
    for index, item in enumerate(value):
        yield value, index
        yield from _places(item[1] if isinstance(value, Pairs) else item, depth + 1)


def _text(value: Any) -> str:
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{_string(key)}:{_text(item)}" for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    return _string(value) if isinstance(value, str) else json.dumps(value)


def _string(value: str) -> str:
    return json.dumps(value)
