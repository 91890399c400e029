"""Whether Ray is there: installed, and answering where it is said to run."""

from __future__ import annotations

import os
import subprocess
import sys

from transplant.errors import CenterUnreachable, MergeEngineUnavailable
from transplant.rpc.tls_probe import reach, split_address

_IMPORT_S = 120.0
_REACH_S = 5.0
_OURSELVES = ("", "auto", "local")


def check_ray() -> str:
    """Return one sentence about Ray.

    It is imported in a process of its own: whoever imports it takes over its settings for good.

    Raises:
        MergeEngineUnavailable: if it cannot be imported, or nobody answers at `RAY_ADDRESS`.
    """
    command = (sys.executable, "-c", "import ray; print(ray.__version__)")
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=_IMPORT_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise MergeEngineUnavailable(
            f"Ray cannot be imported within {_IMPORT_S:.0f} s: the machine is too busy, or its disk too slow"
        ) from error
    if found.returncode != 0:
        reason = (found.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise MergeEngineUnavailable(
            f"Ray cannot be imported ({reason}): install it (pip install ray), or serve with --runner local"
        )
    release = found.stdout.strip()
    address = os.environ.get("RAY_ADDRESS", "")
    if address in _OURSELVES:
        return f"Ray {release} is installed, and the center starts one of its own"
    host, port = split_address(address.removeprefix("ray://"))
    try:
        reach(host, port, _REACH_S)
    except CenterUnreachable as error:
        raise MergeEngineUnavailable(
            f"no Ray answers at RAY_ADDRESS={address}: start it, "
            "or unset RAY_ADDRESS, and the center starts one of its own"
        ) from error
    return f"Ray {release} is installed, and somebody answers at {address}"
