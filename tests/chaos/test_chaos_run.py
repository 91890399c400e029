"""Small runs of the chaos bench against a real server process: few sites, every fault, no broken promise."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from fakes.real_center import RealCenter, real_center

from benchmarks.chaos.check import Evidence, Harm, violations
from benchmarks.chaos.evidence import add_offline, gather_online, promises_to
from benchmarks.chaos.modules import Template, make_stock
from benchmarks.chaos.observer import Seen, look
from benchmarks.chaos.plan import FaultKind
from benchmarks.chaos.resume import run_resume
from benchmarks.chaos.run import Size, run_chaos
from benchmarks.chaos.site import NotingClient, SiteFolder, SitePlan, site_client
from central.home import open_known_registry
from edge.outbox import EntryState
from edge.push import push_outbox
from transplant.artifact.codec import read_manifest, write_artifact
from transplant.types import Role

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def silent(_said: str) -> None:
    """Say nothing."""


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(240)
def test_a_few_sites_and_every_fault(tmp_path: Path):
    size = Size(sites=4, faults=12, seed=2, modules=8, merging=2, mean_gap_s=0.3, disk_mib=64, drain_s=120.0)
    outcome = run_chaos(size, tmp_path, silent)
    assert [each.sentence() for each in outcome.violations] == []
    assert sum(outcome.faults.values()) == 12
    assert outcome.faults[FaultKind.KILL_SERVER] == 1
    assert outcome.server_starts == 3  # once more for the checker
    assert outcome.site_starts > 4
    assert outcome.modules >= 6
    assert outcome.versions >= 1


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(240)
def test_a_kill_of_either_side_resumes_an_upload(tmp_path: Path):
    outcome = run_resume(2, 3, 8, tmp_path, silent, rate_mib_s=8.0)
    assert outcome.faults() == []
    assert (outcome.server_kills, outcome.site_kills) == (1, 1)
    assert len(outcome.resumed) >= 2
    assert outcome.right == outcome.modules == 2


@pytest.fixture
def center(tmp_path: Path) -> Iterator[RealCenter]:
    with real_center(tmp_path / "center") as made:
        yield made


@pytest.fixture
def shipped(center: RealCenter, tmp_path: Path) -> SiteFolder:
    """Return the folder of a site whose three modules are registered."""
    assert center.serving is not None
    site = SiteFolder(tmp_path / "site")
    kit = center.kit("site-dog", categories=("dog",))
    plan = SitePlan("site-dog", "dog", 0, str(kit), center.serving.address, merges=False, most=3)
    plan.write(site.root)
    stock = make_stock("site-dog", "dog", 8)
    for number in range(plan.most):
        put(site, stock.nth(number, 1000))
    with site_client(NotingClient, plan, site) as client:
        assert len(push_outbox(site.outbox, site.home, client)) == plan.most
    return site


def put(site: SiteFolder, module: Template) -> str:
    write_artifact(site.home.sealed, module.manifest, module.payload)
    site.outbox.put(module.manifest)
    return module.manifest.module_id


def broken(center: RealCenter, site: SiteFolder, tmp_path: Path) -> list[tuple[Harm, str]]:
    """Gather all evidence about a center with one site, stop it, and return what is broken."""
    sites = {"site-dog": site}
    promises, seen = promises_to(sites), Seen()
    with center.client("boss", Role.OPERATOR) as client:
        found = gather_online(client, sites, promises, tmp_path / "scratch")
        look(client, seen, lambda: promises.attempted)
    center.stop()
    add_offline(found, center.settings, seen)
    return [(each.harm, each.where) for each in violations(promises, seen, found)]


def test_nothing_is_found_in_a_whole_center(center: RealCenter, shipped: SiteFolder, tmp_path: Path):
    assert broken(center, shipped, tmp_path) == []


def test_what_is_planted_in_a_real_center_is_found(center: RealCenter, shipped: SiteFolder, tmp_path: Path):
    damaged, unnoted, _ = shipped.outbox.entries()
    sha256 = read_manifest(shipped.home.sealed / f"{damaged.module_id}.json").payload_sha256
    blob = center.home / "store" / sha256[:2] / sha256
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    never_sent = put(shipped, make_stock("site-dog", "dog", 8).nth(5, 1000))
    shipped.outbox.mark(never_sent, EntryState.REGISTERED)
    kept = [line for line in shipped.journal.read_text().splitlines() if unnoted.module_id not in line]
    shipped.journal.write_text("\n".join(kept) + "\n")
    (center.home / "uploads" / f"{'e' * 64}.part").write_bytes(b"left")

    found = broken(center, shipped, tmp_path)

    assert (Harm.LOST, never_sent) in found
    assert (Harm.TORN, damaged.module_id) in found
    assert (Harm.TORN, f"blob {sha256}") in found
    assert (Harm.TOO_EARLY, unnoted.module_id) in found
    assert Counter(harm for harm, _ in found)[Harm.LEFTOVER] == 1


def test_a_cut_audit_log_is_found(center: RealCenter, shipped: SiteFolder):
    registry = open_known_registry(center.settings)
    with registry.read() as books:
        head = books.audit.head()
    registry.close()
    seen = Seen(heads={(head.digest, head.position), ("f" * 64, head.position + 100)})
    center.stop()
    found = Evidence()
    add_offline(found, center.settings, seen)
    assert "truncated" in found.audit_fault
    assert shipped.attempted() == shipped.acknowledged() == set(found.told_registered)
