"""One center and its sites as real processes on loopback, speaking gRPC with mutual TLS."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks.journey.children import Child, RestartPolicy
from transplant.backends.log_tail import last_line
from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from benchmarks.journey.plan import JourneyPlan

CENTER = "center"
_HOST = "127.0.0.1"
_TICK_S = 0.2
_READY_S = 90.0


class Federation:
    """The processes of one journey and the folders they live in.

    Below `out`: `center/` and `sites/<name>/` are the homes, `kits/` the certificates, `logs/` what each
    process said, `opens/` what each opened. Nothing is passed between the processes but over gRPC.
    """

    def __init__(
        self, plan: JourneyPlan, out: Path, *, data_root: Path | None = None, draw: bool = True
    ) -> None:
        self.plan = plan
        self.draw = draw
        self.out = out.resolve()
        self.data_root = data_root
        self.address = f"{_HOST}:{self._port()}"
        self.center = Child(
            CENTER, self._center_command(), self._log(CENTER), self._environment(CENTER), RestartPolicy()
        )
        self.sites = {
            category: Child(
                category,
                self._site_command(category, "agent", "--until-published", *self._previewing(category)),
                self._log(category),
                self._environment(category),
            )
            for category in plan.categories
        }

    # --- folders ---------------------------------------------------------------------------------

    @property
    def center_home(self) -> Path:
        """Return the center's home."""
        return self.out / "center"

    def site_home(self, category: str) -> Path:
        """Return the home of a category's site."""
        return self.out / "sites" / category

    def kit(self, name: str) -> Path:
        """Return the folder of a site's (or the reader's) certificate."""
        return self.out / "kits" / name

    def preview(self, category: str) -> Path:
        """Return the picture that a site makes of its own segmentations, to show to people."""
        return self.out / "pictures" / f"segmentation-{category}.png"

    @property
    def opens(self) -> Path:
        """Return the folder of the open audit."""
        return self.out / "opens"

    def audit_of(self, owner: str) -> dict[str, str]:
        """Return the variables that make a process (and its children) log its opens as this owner's."""
        roots = [self.out / "center", self.out / "sites", *([self.data_root] if self.data_root else [])]
        log = self.opens / owner
        log.mkdir(parents=True, exist_ok=True)
        return {
            "TRANSPLANT_OPEN_LOG": str(log),
            "TRANSPLANT_OPEN_ROOTS": os.pathsep.join(str(root) for root in roots),
        }

    def homes(self) -> dict[str, Path]:
        """Return owner -> home for every process of the federation."""
        return {CENTER: self.center_home} | {name: self.site_home(name) for name in self.sites}

    # --- life ------------------------------------------------------------------------------------

    def provision(self) -> None:
        """Make the certificate authority, a kit for each site and a reader's kit for the witness."""
        if not (self.out / "kits" / "provisioned").is_file():
            home = ("--home", str(self.center_home))
            to = ("--center", self.address)
            self._provision("ca", *home, "--host", _HOST, "--host", "localhost")
            kits: list[tuple[str, ...]] = [
                ("site", category, *home, "--category", category, *to, "--out", str(self.kit(category)))
                for category in self.plan.categories
            ]
            kits.append(("reader", "witness", *home, *to, "--out", str(self.kit("witness"))))
            with ThreadPoolExecutor(max_workers=2) as pool:
                list(pool.map(lambda kit: self._provision(*kit), kits))
            (self.out / "kits" / "provisioned").touch()

    def start(self, on_tick: Callable[[], None] = lambda: None) -> None:
        """Start the center and every site (they train long before they call), wait until it accepts calls.

        Raises:
            BenchmarkFailed: if the center ends or stays silent.
        """
        for child in (self.center, *self.sites.values()):
            child.start()
        deadline_s = time.monotonic() + _READY_S
        while not self._accepts_calls():
            if not self.center.running:
                raise BenchmarkFailed(f"the center did not start: {last_line(self.center.log)}")
            if time.monotonic() > deadline_s:
                raise BenchmarkFailed(f"the center took no calls within {_READY_S:.0f} s: {self.center.log}")
            on_tick()
            time.sleep(_TICK_S)

    def supervise(self) -> list[str]:
        """Look after every process once; return what happened."""
        happened = [child.supervise() for child in (self.center, *self.sites.values())]
        return [sentence for sentence in happened if sentence]

    def run(self, on_tick: Callable[[list[str]], None], timeout_s: float) -> None:
        """Supervise until every site has ended well.

        Raises:
            BenchmarkFailed: if a process is beyond mending or time is up.
        """
        deadline_s = time.monotonic() + timeout_s
        while not all(site.finished for site in self.sites.values()):
            on_tick(self.supervise())
            if time.monotonic() > deadline_s:
                waiting = ", ".join(
                    f"{name} ({last_line(site.log)})"
                    for name, site in self.sites.items()
                    if not site.finished
                )
                raise BenchmarkFailed(f"after {timeout_s:.0f} s these sites were not done: {waiting}")
            time.sleep(_TICK_S)

    def stop(self) -> None:
        """End every process, the sites first."""
        for site in self.sites.values():
            site.stop()
        self.center.stop()

    def __enter__(self) -> Federation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- commands --------------------------------------------------------------------------------

    def _center_command(self) -> list[str]:
        plan = self.plan
        command = [*_console("central"), "serve", "--home", str(self.center_home), "--listen", self.address]
        command += ["--founder", plan.founder, "--runner", plan.runner, "--workers", str(plan.workers)]
        command += ["--precision", plan.precision, "--drawings", str(plan.drawings)]
        command += ["--steps", str(plan.steps), "--synthetic-images", str(plan.synthetic_images)]
        command += ["--nudged-share", str(plan.nudged_share), "--nudge-steps", str(plan.nudge_steps)]
        return command + _given({"--candidates": plan.candidates, "--layers": plan.layers})

    def _site_command(self, category: str, *verb: str) -> list[str]:
        plan = self.plan
        command = [*_console("edge"), *verb, "--home", str(self.site_home(category))]
        command += ["--kit", str(self.kit(category)), "--data", plan.data, "--category", category]
        command += ["--seed", str(plan.seed), "--disclosure", plan.disclosure, "--precision", plan.precision]
        command += ["--ship", "modules" if category == plan.founder else plan.ship]
        return command + _given({"--epochs": plan.epochs})

    def _previewing(self, category: str) -> tuple[str, ...]:
        """Return the flags that make a site show its own images: it draws them itself."""
        return ("--preview", str(self.preview(category))) if self.draw else ()

    def _provision(self, *arguments: str) -> None:
        done = subprocess.run(
            [*_console("central"), "provision", *arguments],
            env=self._environment(CENTER), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise BenchmarkFailed(f"provision {' '.join(arguments[:2])} failed: {done.stderr.strip()}")

    def _environment(self, owner: str) -> dict[str, str]:
        environment = dict(os.environ)
        environment.pop("RAY_ADDRESS", None)  # a journey measures its own machine
        # One thread a process: the processes share the cores, and sums over threads are not reproducible.
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        if self.data_root is not None:
            environment["TRANSPLANT_DATA"] = str(self.data_root)
        return environment | self.audit_of(owner)

    def _log(self, name: str) -> Path:
        return self.out / "logs" / f"{name}.log"

    def _port(self) -> int:
        """Return the port of this federation; it stays the same when a run is gone on with."""
        note = self.out / "port"
        if note.is_file():
            return int(note.read_text(encoding="utf-8"))
        with socket.socket() as probe:
            probe.bind((_HOST, 0))
            port = int(probe.getsockname()[1])
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(str(port), encoding="utf-8")
        return port

    def _accepts_calls(self) -> bool:
        try:
            served = json.loads((self.center_home / "serve.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # not there yet, or half of it
            return False
        return int(served.get("pid", 0)) == self.center.pid


def _console(side: str) -> list[str]:
    return [sys.executable, "-m", f"{side}.cli"]


def _given(flags: Mapping[str, object | None]) -> list[str]:
    return [text for flag, value in flags.items() if value is not None for text in (flag, str(value))]
