"""The settings that a center served with last: its store and its policy, for commands beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from central.settings import CentralSettings, read_settings
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

_OWN = ("home", "registry_url")
"""What a command is told by itself: a home may have moved, and a written URL has no password."""


def served_settings(home: Path, registry_url: str | None, store_url: str | None = None) -> CentralSettings:
    """Return the settings of the last `serve` over a home; where none ever ran, those of the environment.

    Args:
        home: the center's folder.
        registry_url: of this command.
        store_url: of this command; None: the store of the last `serve`.

    Raises:
        InvalidSettings: with every mistake, or if the file is damaged.
    """
    path = home / "settings.json"
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        told = {}
    except ValueError as error:
        raise InvalidSettings(f"{path} is damaged ({error}): serve once more, or remove it") from error
    known = {
        name: value
        for name, value in told.items()
        if name in CentralSettings.model_fields and name not in _OWN
    }
    told_here = {"home": home, "registry_url": registry_url} | ({"store_url": store_url} if store_url else {})
    return read_settings(known | told_here)
