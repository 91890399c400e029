"""A training's state on disk after every epoch: one safetensors file, and one JSON that points to it.

The JSON is written last and atomically, so that whatever moment the process is killed at, the file that
the JSON names is whole. `key` ties a checkpoint to its recipe, architecture, tasks and data.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from edge.teach.teaching import EpochRecord, TeachingState
from transplant.artifact.digest import canonical_json, sha256_hex
from transplant.artifact.durable_file import write_durably
from transplant.errors import CheckpointInvalid
from transplant.nets.placement import CPU, device_of, placed, to_device

if TYPE_CHECKING:
    from pathlib import Path

    from edge.teach.recipe import Recipe
    from transplant.types import Architecture, Task


_RETAINED = "retained.json"


@dataclass(frozen=True)
class TrainingInputs:
    """What a training is a function of."""

    recipe: Recipe
    architecture: Architecture
    tasks: tuple[Task, ...]
    data_fingerprints: tuple[str, ...]
    loan: dict[str, Any] | None = None

    def described(self) -> dict[str, Any]:
        """Return the inputs as JSON values; a training that borrows nothing keeps the key it always had."""
        inputs = asdict(self)
        if self.loan is None:
            del inputs["loan"]
        return json.loads(canonical_json(inputs))

    @property
    def key(self) -> str:
        """Return the digest of the inputs."""
        return sha256_hex(canonical_json(self.described()))


def save_checkpoint(directory: Path, inputs: TrainingInputs, state: TeachingState) -> None:
    """Write the state; the one before it stays valid until this one is whole.

    Raises:
        StorageFull: if the disk is full; the checkpoint before is then still there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {f"net.{name}": tensor for name, tensor in state.net.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best_weights.items()}
    for number, values in state.optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{number}.{name}": value for name, value in values.items() if isinstance(value, Tensor)
        }
    if state.borrowed is not None:
        tensors |= {f"borrowed.{name}": tensor for name, tensor in state.borrowed.tensors().items()}
    payload = save({name: to_device(tensor.detach(), CPU).contiguous() for name, tensor in tensors.items()})
    file = f"epoch-{len(state.history):04d}.safetensors"
    write_durably(directory / file, payload)
    document = {
        "key": inputs.key,
        "inputs": inputs.described(),
        "file": file,
        "sha256": sha256_hex(payload),
        "history": [asdict(record) for record in state.history],
    }
    write_durably(directory / "checkpoint.json", json.dumps(document, indent=1, allow_nan=True).encode())
    for old in directory.glob("epoch-*.safetensors"):
        if old.name != file:
            old.unlink(missing_ok=True)


def load_checkpoint(directory: Path, inputs: TrainingInputs, state: TeachingState) -> bool:
    """Bring `state` to the checkpoint's epoch.

    Returns:
        False where there is no checkpoint; `state` is then as it was.

    Raises:
        CheckpointInvalid: if it was made by other inputs (the message names them) or is damaged.
    """
    path = directory / "checkpoint.json"
    if not path.exists():
        return False
    try:
        document = json.loads(path.read_bytes())
        found_key, file, sha256 = document["key"], directory / document["file"], document["sha256"]
        history = [EpochRecord(**record) for record in document["history"]]
        payload = file.read_bytes()
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise CheckpointInvalid(f"{path} is damaged ({error}); train again with --restart") from error
    if found_key != inputs.key:
        changed = ", ".join(_changed(document.get("inputs", {}), inputs.described())) or "the inputs"
        raise CheckpointInvalid(
            f"{path} was made with other settings or data ({changed}): go back to them, or --restart"
        )
    if sha256_hex(payload) != sha256:
        raise CheckpointInvalid(f"{file} is damaged (other sha256); train again with --restart")
    try:
        tensors = load(payload)
    except SafetensorError as error:
        raise CheckpointInvalid(f"{file} is damaged ({error}); train again with --restart") from error
    place = device_of(state.net)
    state.net.load_state_dict(placed(_below("net.", tensors), place))
    state.best_weights = placed(_below("best.", tensors), place)
    if state.borrowed is not None:
        state.borrowed.load(_below("borrowed.", tensors))
    optimizer = state.optimizer.state_dict()
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _below("optimizer.", tensors).items():
        number, _, part = name.partition(".")
        # Adam counts its steps on the CPU, wherever its moments are.
        moments.setdefault(int(number), {})[part] = tensor if part == "step" else to_device(tensor, place)
    state.optimizer.load_state_dict({"state": moments, "param_groups": optimizer["param_groups"]})
    state.history = history
    return True


def discard_checkpoint(directory: Path) -> None:
    """Forget a training, whatever state it is in."""
    (directory / "checkpoint.json").unlink(missing_ok=True)
    (directory / _RETAINED).unlink(missing_ok=True)
    for old in directory.glob("epoch-*.safetensors"):
        old.unlink(missing_ok=True)


def keep_retained(directory: Path, key: str, retained: int) -> None:
    """Write down how many layers validation chose for the training of this key.

    Raises:
        StorageFull: if the disk is full.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_durably(directory / _RETAINED, json.dumps({"key": key, "retained": retained}).encode())


def retained_for(directory: Path, key: str) -> int | None:
    """Return what `keep_retained` wrote down for this key, or None."""
    try:
        document = json.loads((directory / _RETAINED).read_bytes())
        return int(document["retained"]) if document["key"] == key else None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointInvalid(
            f"{directory / _RETAINED} is damaged ({error}); train with --restart"
        ) from error


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Name what differs, one level into the recipe, with both values where they are short."""
    changes: list[str] = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            changes += _changed(old, new)
        elif name == "data_fingerprints":
            changes.append("the data changed")
        else:
            changes.append(f"{name} was {old}, is {new}")
    return changes
