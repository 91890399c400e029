"""Ray's driver, a child of the center: orders come in on stdin, endings go out on stdout, as JSON lines.

It ends when stdin does, so a center that was killed leaves nothing running. It imports no torch:
only the workers need it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from queue import Empty, SimpleQueue
from typing import Any, TextIO

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError, WorkerCrashedError

from central.merge.orders import order_from_json
from central.runners import ray_session
from transplant.backends.open_audit import install_open_audit

_OBJECT_STORE_BYTES = 200 << 20
_POLL_S = 0.2
_AUDIT_VARIABLES = ("TRANSPLANT_OPEN_LOG", "TRANSPLANT_OPEN_ROOTS")


def work(line: str) -> None:
    """Execute one order; runs in a Ray worker, which alone imports torch."""
    from central.merge.execute import execute

    execute(order_from_json(line))


def connect(workers: int) -> dict[str, Any]:
    """Connect to `RAY_ADDRESS` or start a Ray on loopback; return what there is to work with."""
    audit = {name: os.environ[name] for name in _AUDIT_VARIABLES if name in os.environ}
    environment: dict[str, Any] = {}
    if audit:
        hook = "transplant.backends.open_audit.install_open_audit"
        environment = {"env_vars": audit, "worker_process_setup_hook": hook}
    ray_session.connect(workers, _OBJECT_STORE_BYTES, runtime_env=environment)
    return {name: amount for name, amount in ray.cluster_resources().items() if name in ("CPU", "GPU")}


def drive(orders: SimpleQueue[str | None], out: TextIO) -> None:
    """Pass orders to Ray and report endings, until the orders end."""
    task = ray.remote(num_cpus=1, max_retries=0)(work)  # the center counts the attempts
    flying: dict[Any, str] = {}
    while True:
        try:
            line = orders.get(timeout=_POLL_S) if not flying else orders.get_nowait()
        except Empty:
            _report(flying, out)
            continue
        if line is None:
            return
        flying[task.remote(line)] = order_from_json(line).merge_key


def _report(flying: dict[Any, str], out: TextIO) -> None:
    if not flying:
        return
    done, _ = ray.wait(list(flying), timeout=_POLL_S)
    for reference in done:
        _say(out, _ending(reference, flying.pop(reference)))


def _ending(reference: Any, merge_key: str) -> dict[str, str]:
    try:
        ray.get(reference)
    except (WorkerCrashedError, OutOfMemoryError, RayTaskError) as error:
        return {"died": merge_key, "reason": _first_line(error)}
    except (RayError, ConnectionError) as error:
        return {"lost": merge_key, "reason": _first_line(error)}
    return {"finished": merge_key}


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def _say(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


def _read_orders(orders: SimpleQueue[str | None]) -> None:
    for line in sys.stdin:
        orders.put(line)
    orders.put(None)


def main() -> int:
    """Run the driver; the one argument is how many merges may be learned at a time."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever Ray prints must not mix with our lines
    install_open_audit()
    orders: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_read_orders, args=(orders,), daemon=True).start()
    try:
        resources = connect(int(sys.argv[1]))
    except (RayError, OSError, RuntimeError, ValueError, TimeoutError) as error:
        _say(out, {"unavailable": _first_line(error)})
        return 69
    try:
        _say(out, {"ready": resources})
        drive(orders, out)
    except BrokenPipeError:
        return 0  # the center is gone
    finally:
        ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
