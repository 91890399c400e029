"""A site with a good certificate and no manners, at a real center where others have things of their own."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

import pytest

from central.home import open_registry
from fakes.artifacts import sealed
from fakes.attacks import channel_to
from fakes.real_center import real_center
from fakes.registry_entries import add_merge
from transplant.artifact.chunks import chunk_of
from transplant.rpc.channel import load_kit
from transplant.rpc.convert import manifest_to_proto
from transplant.v1 import intake_pb2
from transplant.v1.catalog_pb2_grpc import CatalogStub
from transplant.v1.intake_pb2_grpc import IntakeStub
from transplant.v1.merge_pb2_grpc import MergeStub
from transplant.v1.validation_pb2_grpc import ValidationStub

CALL_S = 20


class HostileSite:
    """Site dog, who attacks; site cat, who has an upload and a registered module; and a merge of a third."""

    def __init__(self, center, stack):
        self.center = center
        kit = load_kit(center.kit("site-dog", categories=("dog",)))
        channel = stack.enter_context(channel_to(kit, center.serving.address))
        self.intake, self.catalog = IntakeStub(channel), CatalogStub(channel)
        self.merge, self.validation = MergeStub(channel), ValidationStub(channel)
        self.cats, self.cats_payload = sealed(site="site-cat", category="cat", seed=1)
        self.cats_upload = center.client("site-cat").declare(self.cats).upload_id
        self.cats_module, _ = sealed(site="site-cat", category="cat", seed=2)
        self.module, _ = sealed(site="site-dog", category="dog", seed=2)
        registry = open_registry(center.settings)
        with registry.write() as books:
            for manifest in (self.cats_module, self.module):
                books.modules.add(manifest, center.serving._center.clock.now())
            self.anothers_merge = add_merge(books, "cow").task.key
        self.registry = registry
        stack.callback(registry.close)
        self.seed = 1000

    def opened(self):
        """Declare a module of the attacker's own and return its upload id and its bytes."""
        self.seed += 1
        manifest, payload = sealed(site="site-dog", category="dog", seed=self.seed)
        return self.declare(manifest).upload_id, payload

    def declare(self, manifest):
        """Announce a module."""
        request = intake_pb2.DeclareRequest(manifest=manifest_to_proto(manifest))
        return self.intake.Declare(request, timeout=CALL_S)

    def upload(self, upload_id, *pieces):
        """Send pieces: (offset, bytes), honest about their checksum unless it is given."""
        return list(
            self.intake.Upload(iter([message(upload_id, *piece) for piece in pieces]), timeout=CALL_S)
        )

    def commit(self, upload_id, sha256):
        """Say that an upload is complete."""
        return self.intake.Commit(
            intake_pb2.CommitRequest(upload_id=upload_id, sha256=sha256), timeout=CALL_S
        )

    def status(self, upload_id):
        """Ask how far an upload has come."""
        return self.intake.UploadStatus(intake_pb2.UploadStatusRequest(upload_id=upload_id), timeout=CALL_S)


def message(upload_id, offset, data, crc32c=None):
    crc32c = chunk_of(offset, data).crc32c if crc32c is None else crc32c
    return intake_pb2.UploadRequest(upload_id=upload_id, offset=offset, data=data, crc32c=crc32c)


@contextmanager
def hostile_site(home):
    """Yield the site, at a center whose merge loop stands still."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("central.merge.reconcile.Reconciler.run", lambda _self, stop: stop.wait())
        yield HostileSite(stack.enter_context(real_center(home, open_uploads=200)), stack)
