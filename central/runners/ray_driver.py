"""Ray's driver, a child of the center: orders come in on stdin, endings go out on stdout, as JSON lines.

It ends when stdin does. What it connects the center with is the foreman (`central.runners.foreman`), by its
name: on a Ray of the center's own everything ends with the driver; at `RAY_ADDRESS` the foreman and its
workers go on when the center is killed, and the next driver finds them. The line `ray_session.STOP` ends
them, too. It imports no torch: only the workers need it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import uuid
from typing import Any, TextIO, cast

import ray
from ray.exceptions import RayError

from central.runners import ray_session
from central.runners.foreman import Foreman, first_line
from transplant.backends.open_audit import install_open_audit

_NAMESPACE = "transplant"
_OBJECT_STORE_BYTES = 200 << 20
_CALLS_AT_ONCE = 1000
_HEAD, _A_LITTLE = "node:__internal_head__", 0.001  # every head node has 1 of this resource
_POLL_S = 0.2
_STOP_S = 5.0
_AUDIT_VARIABLES = ("TRANSPLANT_OPEN_LOG", "TRANSPLANT_OPEN_ROOTS")


def connect(workers: int) -> dict[str, Any]:
    """Connect to `RAY_ADDRESS` or start a Ray on loopback; return what there is to work with."""
    audit = {name: os.environ[name] for name in _AUDIT_VARIABLES if name in os.environ}
    environment: dict[str, Any] = {}
    if audit:
        hook = "transplant.backends.open_audit.install_open_audit"
        environment = {"env_vars": audit, "worker_process_setup_hook": hook}
    ray_session.connect(workers, _OBJECT_STORE_BYTES, runtime_env=environment, namespace=_NAMESPACE)
    return {name: amount for name, amount in ray.cluster_resources().items() if name in ("CPU", "GPU")}


def foreman(name: str) -> Any:
    """Return the foreman of this name, a new one where there is none.

    It lives on the head node: without that one there is no Ray, so no other loss can take it away.
    """
    return (
        ray.remote(Foreman)
        .options(
            name=name,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            resources={_HEAD: _A_LITTLE},
            max_concurrency=_CALLS_AT_ONCE,
        )
        .remote()
    )


class _Orders:
    """Passes orders on to the foreman as they come; runs in a thread of its own."""

    def __init__(self, to: Any) -> None:
        self._to = to
        self.over = threading.Event()
        self.stop = False

    def read(self) -> None:
        """Read until stdin ends."""
        for line in sys.stdin:
            if line.strip() == ray_session.STOP:
                self.stop = True
            else:
                self._to.take.remote(line)
        self.over.set()


def drive(to: Any, session: str, orders: _Orders, out: TextIO) -> None:
    """Report endings until the orders are over, or another driver has taken over."""
    asked = to.news.remote(session)
    while not orders.over.is_set():
        done, _ = ray.wait([asked], timeout=_POLL_S)
        if not done:
            continue
        endings = cast("list[dict[str, str]] | None", ray.get(asked))
        if endings is None:
            return
        for ending in endings:
            _say(out, ending)
        asked = to.news.remote(session)
    if orders.stop:
        ray.get(to.stop.remote(), timeout=_STOP_S)
        ray.kill(to)


def _say(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


def main() -> int:
    """Run the driver; arguments: how many merges may be learned at a time, and the foreman's name."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever Ray prints must not mix with our lines
    install_open_audit()
    workers, name = int(sys.argv[1]), sys.argv[2]
    session = uuid.uuid4().hex
    try:
        resources = connect(workers)
        to = foreman(name)
        running = ray.get(to.hello.remote(session, workers))
    except (RayError, OSError, RuntimeError, ValueError, TimeoutError) as error:
        _say(out, {"unavailable": first_line(error)})
        return 69
    orders = _Orders(to)
    threading.Thread(target=orders.read, daemon=True).start()
    try:
        _say(out, {"ready": resources, "running": running})
        drive(to, session, orders, out)
    except RayError as error:
        _say(out, {"unavailable": first_line(error)})
        return 69
    except BrokenPipeError:
        return 0  # the center is gone
    finally:
        ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
