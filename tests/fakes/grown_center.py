"""Small nets grown by a real center: what checks and backups are tried on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from central.home import identity_folder
from central.identity.provision import provision_authority, provision_kit, revoke_certificates
from central.registry.events_book import MODULE_ACCEPTED
from central.registry.values import SignedVerdict
from central.usecases.ask_probes import list_probe_requests
from central.usecases.commit_upload import commit_upload
from central.usecases.decide_claim import decide_claim
from central.usecases.declare import declare
from central.usecases.read_merges import fetch_candidates
from central.usecases.report_verdict import report_verdict
from fakes.artifacts import sealed
from fakes.turned_center import World, site
from fakes.waiting import wait
from transplant.artifact.chunks import chunk_of
from transplant.backends.system_clock import SystemClock
from transplant.rpc.channel import load_kit
from transplant.rpc.verdict_signature import sign_verdict
from transplant.types import MergeState, ModuleKind, Role, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from central.settings import CentralSettings
    from fakes.real_center import RealCenter
    from transplant.rpc.channel import Kit
    from transplant.rpc.client import CentralClient
    from transplant.types import Identity


def grow(center: RealCenter, founder: str, *newcomers: str) -> int:
    """Let the founder and then each newcomer join; every verdict is good. Return the newest version."""
    for seed, category in enumerate((founder, *newcomers), start=1):
        center.bring(category, seed=seed)
        client = center.client(f"site-{category}")

        def settled(client=client, category=category) -> bool:
            answer_candidates(client)
            merges = client.list_merges(category)
            return bool(merges) and all(merge.state is MergeState.PUBLISHED for merge in merges)

        wait(settled)
    return client.get_version().number


def answer_candidates(client: CentralClient) -> None:
    """Give a good verdict on everything that waits for one."""
    for key, _ in client.fetch_candidates():
        client.report_verdict(good_verdict(key))


def good_verdict(key: str) -> Verdict:
    """Return figures with which a candidate is published."""
    through = {"error": 20.0, "iou": 80.0, "temperature": 1.5}
    return Verdict(key, {"error": 10.0, "iou": 80.0}, through, {"error": 50.0, "iou": 0}, 12)


def grown_home(home: Path, **overrides: Any) -> CentralSettings:
    """Make a home without a network: a founder, a category that joined it, one more whose merge is under way,
    an upload of which half came in, and one that waits for admission; signed verdicts, a revoked site, a
    decision about a category, and questions to a site that keeps its task modules."""
    world = World(home, **overrides)
    provision_authority(identity_folder(home), (), 1)
    kits = {category: _provisioned(world, category) for category in ("dog", "cat", "cow", "hen")}
    revoke_certificates(world.registry, SystemClock(), Role.SITE, "site-hen", None)
    for seed, category in enumerate(("dog", "cat", "cow"), start=1):
        world.bring(category, seed)
        world.rounds()
        if category != "cow":
            world.engine.finish()
            world.rounds()
            for key, _ in fetch_candidates(world.center, site(category)):
                verdict = good_verdict(key)
                signature = sign_verdict(verdict, f"site-{category}", kits[category].key)
                signed = SignedVerdict(signature, kits[category].cert)
                report_verdict(world.center, site(category), verdict, signed)
            world.rounds()
    assert world.newest().number == 2
    decide_claim(world.center, "cat", "site-cat")
    world.register(ModuleKind.CATEGORY, None, 4, "hen")
    assert list_probe_requests(world.center, site("hen"), "hen")
    _upload(world, site("hen"), seed=90, share=0.5)
    commit_upload(world.center, site("hen"), *_upload(world, site("hen"), seed=91, share=1.0))
    with world.registry.write() as books:
        for module in books.modules.list():
            if module.site != "central":  # they came without a network
                books.events.add(MODULE_ACCEPTED, module.module_id, world.clock.now())
    world.registry.close()
    return world.settings


def _provisioned(world: World, category: str) -> Kit:
    authority, out = identity_folder(world.home).authority(), world.home / "kits" / category
    about: dict[str, Any] = {"categories": (category,), "center": "127.0.0.1:7443", "days": 1, "out": out}
    provision_kit(world.registry, SystemClock(), authority, site(category), **about)
    return load_kit(out)


def _upload(world: World, caller: Identity, seed: int, share: float) -> tuple[str, str]:
    category = caller.name.removeprefix("site-")
    manifest, payload = sealed(seed=seed, site=caller.name, category=category)
    upload_id = declare(world.center, caller, manifest).upload_id
    writer = world.center.parts.take_over(upload_id)
    writer.write(chunk_of(0, payload[: round(share * len(payload))]))
    world.center.parts.release(upload_id, writer)
    return upload_id, manifest.payload_sha256
