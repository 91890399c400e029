"""Replies that are kept on disk: what a site does alike for several methods it does once.

The teachers of a site are the same for transplanting, for the ensemble and for each site alone, and they are
what takes longest. Their training does not look at the seed of the round, so a reply is a function of the
site's data, the work, what was sent and the other settings. It is kept by the digest of these, with the
processor seconds that it took; an interrupted run goes on behind the last round that had finished.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from benchmarks.sites.engine import SiteReply
from benchmarks.sites.run_works import Done, Told
from transplant.artifact.digest import canonical_json, sha256_hex
from transplant.artifact.durable_file import write_durably
from transplant.errors import CheckpointInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.sites.run_rounds import Carrier

KEPT = frozenset({"benchmarks.sites.transplanting_site:train_teachers"})
"""Works whose replies several methods ask for; they do not read `settings["seed"]`."""


class Kept:
    """Implements `Carrier` in front of another one.

    Args:
        carrier: asked for what is not kept yet.
        folder: where replies lie.
        federation: a name of the federation, which stands for its sites' data.
    """

    def __init__(self, carrier: Carrier, folder: Path, federation: str) -> None:
        self._carrier = carrier
        self._folder = folder
        self._federation = federation

    def carry(self, work: str, told: Mapping[int, Told]) -> dict[int, Done]:
        """Take what is kept, and have the rest done.

        Raises:
            CheckpointInvalid: if what is kept is damaged.
        """
        if work not in KEPT:
            return self._carrier.carry(work, told)
        self._folder.mkdir(parents=True, exist_ok=True)
        paths = {site: self._folder / self._name(work, site, each) for site, each in told.items()}
        missing = {site: each for site, each in told.items() if not paths[site].is_file()}
        done = self._carrier.carry(work, missing) if missing else {}
        for site, each in done.items():
            _write(paths[site], each)
        return {site: done[site] if site in done else _read(paths[site]) for site in told}

    def _name(self, work: str, site: int, told: Told) -> str:
        asked = {
            "federation": self._federation,
            "work": work,
            "site": site,
            "sent": sha256_hex(save(dict(told.tensors))) if told.tensors else "",
            "settings": {name: value for name, value in told.settings.items() if name != "seed"},
        }
        return f"{sha256_hex(canonical_json(asked))[:20]}.safetensors"


def _write(path: Path, done: Done) -> None:
    told = json.dumps({"figures": dict(done.reply.figures), "seconds": done.seconds})
    write_durably(path.with_suffix(".json"), told.encode())
    write_durably(path, save(dict(done.reply.tensors)))  # last: where it is, the figures are


def _read(path: Path) -> Done:
    try:
        tensors = load(path.read_bytes())
        told: dict[str, Any] = json.loads(path.with_suffix(".json").read_bytes())
        return Done(SiteReply(tensors, told["figures"]), float(told["seconds"]))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointInvalid(
            f"{path} is not readable ({error}): delete it and it is made again"
        ) from error
