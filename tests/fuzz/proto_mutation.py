"""Changes to a protobuf message that keep it one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor

from fuzz.json_mutation import NUMBERS, TEXTS

if TYPE_CHECKING:
    import random

    from google.protobuf.message import Message

_REPEATED = 80
_FLOATS = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)
_DRAWN = (float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 0.5, -1.0, 1e-45, 1e-320, 3.5e38, 1e308)


def mutate_message(message: Message, rng: random.Random) -> None:
    """Change one to three fields, in the message or in one inside it."""
    for _ in range(rng.randint(1, 3)):
        inside = list(_messages(message))
        target: Any = rng.choice(inside)
        if rng.randrange(16) == 0:  # a field that nobody knows
            target.MergeFromString(bytes([0x98, 0x06, rng.randrange(128)]))
            continue
        _change(target, rng.choice(target.DESCRIPTOR.fields), rng)


def _change(target: Any, field: FieldDescriptor, rng: random.Random) -> None:
    roll = rng.randrange(8)
    if roll == 0:
        target.ClearField(field.name)
    elif field.is_repeated:
        _change_list(getattr(target, field.name), field, roll, rng)
    elif field.message_type is not None:
        getattr(target, field.name).SetInParent()
    else:
        setattr(target, field.name, _value(field, rng))


def _change_list(items: Any, field: FieldDescriptor, roll: int, rng: random.Random) -> None:
    if roll == 1 and items:
        del items[rng.randrange(len(items))]
    elif roll == 2 and items:
        chosen = items[rng.randrange(len(items))]
        items.extend([chosen] * rng.choice((1, 2, _REPEATED)))
    elif field.message_type is not None:
        items.add()
    elif items and roll < 6:
        items[rng.randrange(len(items))] = _value(field, rng)
    else:
        items.append(_value(field, rng))


def _value(field: FieldDescriptor, rng: random.Random) -> Any:
    kind = field.type
    if kind == FieldDescriptor.TYPE_STRING:
        return rng.choice(TEXTS).encode("utf-8", "replace").decode()
    if kind == FieldDescriptor.TYPE_BYTES:
        return rng.randbytes(rng.randrange(64))
    if kind in _FLOATS:
        return rng.choice(_DRAWN)
    number = int(rng.choice(NUMBERS[:20]))
    narrow = (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_ENUM)
    if kind in (*narrow, FieldDescriptor.TYPE_UINT64):
        return abs(number) % (1 << (31 if kind in narrow else 64))
    return max(-(1 << 63), min(number, (1 << 63) - 1))


def _messages(message: Message):
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in value if field.is_repeated else (value,):
                yield from _messages(child)
