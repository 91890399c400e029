"""`python -m fuzz TARGET [libFuzzer's flags]`: one target under atheris, with coverage of our own code.

The corpus of the repository is only read: what a run finds interesting goes to `--out`, what breaks a promise
is written there as `crash-*`, and what the run came to as records, for `transplant-bench claims`.
`python -m fuzz.keep` then takes into the corpus what ends in a new way.

The last long run of each target, a million executions, is benchmarks/results/fuzz.json: nothing was
found. What earlier runs found is in `test_fuzz_replay.py`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

import atheris
import torch

CORPUS = Path(__file__).resolve().parent / "corpus"
GENERATED = sorted((CORPUS.parents[2] / "transplant" / "v1").glob("*_pb2*.py"))


def main() -> None:
    """Run until `-runs` or `-max_total_time`, or until something is found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", choices=("artifact", "manifest"))
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"))
    own, flags = parser.parse_known_args()
    torch.set_num_threads(1)
    generated = [f"transplant.v1.{path.stem}" for path in GENERATED]  # it takes modules, not packages
    with atheris.instrument_imports(include=["transplant"], exclude=generated):
        target = importlib.import_module(f"fuzz.fuzz_{own.target}")
    from fuzz.tally import Tally, seeded, write_records
    from fuzz.watch import Watch

    found = own.out / own.target
    found.mkdir(parents=True, exist_ok=True)
    seeds = found.parent / f"{own.target}-seeds"
    seeds.mkdir(exist_ok=True)
    for path in target.SEEDS:
        (seeds / path.name).write_bytes(path.read_bytes())
    watch = Watch(target.run, [path.read_bytes() for path in target.SEEDS])

    flags, seed, runs = seeded(flags)
    method = f"{runs} runs"

    def end(tally: Tally) -> None:
        write_records(own.out, own.target, tally, seed, method)

    watch.until(runs, end)  # libFuzzer ends its process by itself, without a word to Python

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        return target.mutate(data, size, seed, atheris.Mutate)

    limits = [
        "-timeout=20",
        "-rss_limit_mb=0",
        "-max_len=16384",
        "-print_final_stats=1",
        f"-artifact_prefix={found.parent}/",
    ]
    folders = [found, CORPUS / own.target, seeds]
    atheris.Setup([sys.argv[0], *limits, *flags, *map(str, folders)], watch, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
