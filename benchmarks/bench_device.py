"""What a bench computes on, as its flag says it: a record names it where it is not the CPU."""

from __future__ import annotations

from typing import Literal

from transplant.errors import InvalidSettings
from transplant.nets.placement import resolved_device
from transplant.types import DEVICES


def bench_device(name: str) -> Literal["cpu", "cuda"]:
    """Return the device that `--device` means on this machine.

    Raises:
        InvalidSettings: if there is no such device, or no GPU where one is demanded.
    """
    for device in DEVICES:
        if name == device:
            return "cpu" if resolved_device(device).type == "cpu" else "cuda"
    raise InvalidSettings(f"--device takes {', '.join(DEVICES)}; got {name}")
