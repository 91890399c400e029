"""How a session with Ray begins: at `RAY_ADDRESS`, or on a Ray of one's own that nobody else can reach.

Nothing here imports torch, and Ray itself is imported only to connect: whoever starts a driver, or has
yet to prepare the environment that Ray reads when it is imported, does not pay for it.
"""

from __future__ import annotations

import os
import secrets
from typing import Any

STOP = "stop"
"""The line with which a center that ends in order tells its driver to stop what it started."""

_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_AUTHENTICATION = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def session_environment() -> dict[str, str]:
    """Return the variables that must be set before the process of a session imports Ray.

    Among them is a secret for a Ray that is started here, unless the operator has said how Ray
    authenticates. Ray would otherwise make one and keep it in the user's home, which a hardened service
    does not have.
    """
    if "RAY_ADDRESS" in os.environ or any(name in os.environ for name in _AUTHENTICATION):
        return dict(_QUIET)
    return _QUIET | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def connect(cpus: int, object_store_bytes: int, **options: Any) -> None:
    """Connect to `RAY_ADDRESS`, or start a Ray on loopback.

    Args:
        cpus: of a Ray started here.
        object_store_bytes: shared memory of a Ray started here.
        options: passed on to `ray.init` in either case.

    Raises:
        ray.exceptions.RayError, OSError, RuntimeError, ValueError: what Ray raises where it cannot start or
            nobody is at the address.
    """
    import ray

    address = os.environ.get("RAY_ADDRESS")
    if address:
        ray.init(address=address, log_to_driver=False, **options)
        return
    ray.init(
        address="local",
        num_cpus=cpus,
        object_store_memory=object_store_bytes,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",  # nobody on another machine has business here
        **options,
    )
