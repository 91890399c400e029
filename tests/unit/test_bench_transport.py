"""The transport bench: its figures become records with baselines, its bars are told from them."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes.pki import Authority
from rich.console import Console

from benchmarks.records import read_records
from benchmarks.speed.transport.measure import ADMISSION, FLOWER, MIB, OURS, PLAIN, Figures, Sizes
from benchmarks.speed.transport.modules import modules_of
from benchmarks.speed.transport.plain_grpcio import PlainClient, PlainServer
from benchmarks.speed.transport.run import missed, run_transport
from benchmarks.speed.transport.server_memory import PeakMemory, all_at_once
from transplant.artifact.codec import verify_payload
from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from pathlib import Path

FIGURES = Figures(
    mib=512,
    payload_bytes=500 * MIB,
    seconds={OURS: [2.0, 1.0, 9.0], PLAIN: [1.0, 2.0, 0.5], FLOWER: [20.0], ADMISSION: [7.0]},
    above_idle_bytes={1: 30 * MIB, 32: 151 * MIB},
    peak_rss_bytes={1: 330 * MIB, 32: 451 * MIB},
    plain_above_idle_bytes=20 * MIB,
)


def test_medians_become_records_beside_their_baselines():
    records = {(record.metric, record.method): record for record in FIGURES.records("abc")}
    plain = records["upload_throughput", "512 MiB beside plain-grpcio"]
    assert (plain.value, plain.baseline, plain.ratio) == (250 * MIB, 500 * MIB, 0.5)
    flower = records["upload_throughput", "512 MiB beside flower"]
    assert (flower.value, flower.ratio) == (250 * MIB, 10.0)
    assert records["admission_seconds", "512 MiB"].value == 7.0
    crowd = records["server_memory", "512 MiB x 32 at once"]
    assert (crowd.value, crowd.peak_rss_bytes, crowd.commit) == (151 * MIB, 451 * MIB, "abc")
    assert len({record.key() for record in records.values()}) == len(records) == 5


def test_bars_are_told_from_records():
    told = {record.method: missed(record) for record in FIGURES.records("abc")}
    assert told["512 MiB beside plain-grpcio"] is not None
    assert "the bar is >= 0.8 x plain-grpcio" in told["512 MiB beside plain-grpcio"]
    assert "the bar is <= 150 MiB" in (told["512 MiB x 32 at once"] or "")
    assert [told[name] for name in ("512 MiB beside flower", "512 MiB", "512 MiB x 1 at once")] == [None] * 3
    for record in FIGURES.records("abc"):
        assert missed(replace(record, ratio=5.0, value=150 * MIB)) is None


def test_modules_of_a_measurement_are_other_modules_that_verify(tmp_path: Path):
    modules = modules_of("bench-0", 1, tmp_path)
    verify_payload(modules.f, modules.f_path)
    made = [modules.rewrite(number) for number in (0, 1)]
    verify_payload(made[1], modules.path)
    assert made[0].payload_sha256 != made[1].payload_sha256
    crowd = [modules.of(made[1], number, site) for number, site in ((7, "bench-0"), (8, "bench-1"))]
    assert len({manifest.module_id for manifest in (*made, *crowd)}) == 4
    for manifest in crowd:
        verify_payload(manifest, modules.path)
        assert manifest.parents == (modules.f_of(manifest.site).module_id,)


def test_the_ceiling_moves_every_byte(tmp_path: Path):
    authority = Authority()
    files = tuple(tmp_path / name for name in ("ca.pem", "server.pem", "server.key"))
    issued = authority.server()
    for file, content in zip(files, (authority.cert, issued.cert, issued.key), strict=True):
        file.write_bytes(content)
    payload = tmp_path / "payload"
    payload.write_bytes(os.urandom(3 * MIB + 5))
    with (
        PlainServer(tmp_path / "plain", files) as server,
        PeakMemory(server.pid) as memory,
        PlainClient(authority.kit(server.address), server.address) as client,
    ):
        assert client.send(payload) > 0  # it compares the digests of both ends
    assert memory.peak_bytes > 0
    assert list((tmp_path / "plain").iterdir()) == []


def test_a_job_of_a_crowd_that_fails_is_told():
    def fail() -> None:
        raise BenchmarkFailed("no")

    with pytest.raises(BenchmarkFailed, match="no"):
        all_at_once([lambda: None, fail])


@pytest.mark.slow
@pytest.mark.alone
def test_a_run_measures_a_real_center_once(tmp_path: Path):
    said = io.StringIO()
    sizes = Sizes(mib=1, repetitions=2, flower_repetitions=0, at_once=3)
    for _ in range(2):
        run_transport(sizes, tmp_path, Console(file=said, width=200), command="x")
    records = read_records(tmp_path)
    metrics = [record.metric for record in records]
    assert metrics == ["upload_throughput", "admission_seconds", "server_memory", "server_memory"]
    assert records[0].method == "1 MiB beside plain-grpcio"
    assert said.getvalue().count("3 uploads at once") == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
