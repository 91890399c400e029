"""A site with a good certificate that takes what is another's for its own, at a real center."""

from __future__ import annotations

import pytest
from fakes.artifacts import TINY, sealed, sealed_adapter
from fakes.attacks import Attacks, check
from fakes.disclosures import answers_of, net, request_of, statistics_of
from fakes.hostile_site import CALL_S

from transplant.artifact.disclosed import seal_answers, seal_statistics
from transplant.errors import (
    InvalidSettings,
    ManifestInvalid,
    NotAllowed,
    NotFound,
    SeamMismatch,
)
from transplant.rpc.convert import manifest_to_proto
from transplant.types import Architecture, MergeState, ModuleKind
from transplant.v1 import catalog_pb2, intake_pb2, merge_pb2, validation_pb2
from transplant.v1.manifest_pb2 import Metric

PATHS = ("../../registry.sqlite", "/etc/passwd", "a/../../b", "..", "a\0b", "", "a" * 4096)
OTHER_SEAM = Architecture(
    "vgg_small", (("image_px", (32,)), ("channels", (8,)), ("widths", (8, 8)), ("hidden", (8,)))
)
attacks = Attacks()


# --- seals ------------------------------------------------------------------------------------------------


@attacks(NotAllowed, message="the seal says site site-cat")
def a_seal_of_another_site(w):
    """Another site's module is declared, to be first with it."""
    w.declare(w.cats)


@attacks(NotAllowed, message="may not bring the category cat")
def a_category_of_another_site(w):
    """The seal is the site's own, the category is another's."""
    w.declare(sealed(site="site-dog", category="cat")[0])


@attacks(NotAllowed, message="the seal says site center")
def a_seal_of_the_center(w):
    """An adapter as the center makes them."""
    w.declare(sealed_adapter()[0])


@attacks(NotAllowed, message="adapters are made by the center only")
def an_adapter_of_ones_own(w):
    """An adapter that the site has made: it would go into the net unlearned."""
    w.declare(sealed_adapter()[0].model_copy(update={"site": "site-dog", "category": "dog"}))


@attacks(ManifestInvalid, message="not a category module of this site and category")
def statistics_of_anothers_module(w):
    """Statistics about a module of another site, to have its merges learn from them."""
    told = statistics_of(net(TINY, ModuleKind.CATEGORY))
    manifest, _ = seal_statistics(told, w.cats_module)
    w.declare(manifest.model_copy(update={"site": "site-dog", "category": "dog"}))


@attacks(NotFound, message="is not here")
def statistics_of_no_module(w):
    """Statistics about a module that nobody has."""
    w.declare(
        seal_statistics(statistics_of(net(TINY, ModuleKind.CATEGORY)), sealed(site="site-dog", seed=77)[0])[0]
    )


@attacks(SeamMismatch, message="statistics of a feature map")
def statistics_of_another_seam(w):
    """Statistics with other channels than the module has."""
    other, _ = sealed(site="site-dog", category="dog", architecture=OTHER_SEAM)
    manifest, _ = seal_statistics(statistics_of(net(OTHER_SEAM, ModuleKind.CATEGORY)), other)
    w.declare(manifest.model_copy(update={"parents": (w.module.module_id,)}))


@attacks(ManifestInvalid, message="nobody asked")
def answers_that_nobody_asked_for(w):
    """Answers to a probe of the site's own choice."""
    manifest, _ = seal_answers(answers_of(TINY, request_of()), w.module)
    w.declare(manifest)


@attacks(InvalidSettings, message="there is no such field")
def a_field_beside_the_manifest(w):
    """A request with a field that this release does not know: an image could be in it."""
    request = intake_pb2.DeclareRequest(manifest=manifest_to_proto(w.module))
    request.MergeFromString(b"\x98\x06\x01")
    w.intake.Declare(request, timeout=CALL_S)


# --- other sites' ids ---------------------------------------------------------------------------------------


@attacks(NotFound, message="no upload")
def anothers_upload(w):
    """Chunks for an upload of another site."""
    w.upload(w.cats_upload, (0, w.cats_payload))


@attacks(NotFound, message="no upload")
def anothers_upload_asked_about(w):
    """How far another site has come is not this one's business."""
    w.status(w.cats_upload)


@attacks(NotFound, message="no upload")
def anothers_upload_committed(w):
    """Another site's upload is committed, to have it checked and thrown away."""
    w.commit(w.cats_upload, w.cats.payload_sha256)


@attacks(NotFound, message="no module")
def anothers_module_downloaded(w):
    """A module of another site that is not in the net."""
    list(w.catalog.Download(catalog_pb2.DownloadRequest(module_id=w.cats_module.module_id), timeout=CALL_S))


@attacks(NotFound, message="no module")
def anothers_manifest_read(w):
    """And its manifest."""
    w.catalog.GetManifest(catalog_pb2.GetManifestRequest(module_id=w.cats_module.module_id), timeout=CALL_S)


@attacks(NotFound)
def a_merge_of_anothers_modules(w):
    """A merge is asked for with a category module of another site."""
    request = merge_pb2.RequestMergeRequest(category_module=w.cats_module.module_id, task_modules=["a" * 64])
    w.merge.RequestMerge(request, timeout=CALL_S)


@attacks(NotFound)
def anothers_merge_cancelled(w):
    """Another site's merge is cancelled."""
    w.merge.CancelMerge(merge_pb2.CancelMergeRequest(merge_key=w.anothers_merge), timeout=CALL_S)


@attacks(NotFound)
def a_verdict_on_anothers_merge(w):
    """A verdict on another site's candidate, to have it rejected."""
    metrics = [Metric(name="error", value=99.0)]
    request = validation_pb2.ReportVerdictRequest(
        merge_key=w.anothers_merge, teacher=metrics, transplanted=metrics, floor=metrics, sample_count=10
    )
    w.validation.ReportVerdict(request, timeout=CALL_S)


@attacks(InvalidSettings, message="behind the end")
def a_range_behind_the_end(w):
    """A download that begins behind the last byte."""
    request = catalog_pb2.DownloadRequest(module_id=w.module.module_id, offset=1 << 62)
    list(w.catalog.Download(request, timeout=CALL_S))


@attacks(InvalidSettings, message="page_token")
def a_page_of_ones_own_making(w):
    """A page token that is an expression of the database's language."""
    request = catalog_pb2.ListModulesRequest()
    request.MergeFromString(b"\x1a\x081 OR 1=1")
    w.catalog.ListModules(request, timeout=CALL_S)


@pytest.mark.parametrize("attack", attacks.table, ids=str)
def test_ends_in_its_error(attacker, attack):
    check(attack, attacker)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: repr(path[:12]))
@pytest.mark.parametrize("call", ["upload", "commit", "status", "download"])
def test_a_path_is_the_id_of_nothing(attacker, path, call):
    """An id is looked up and never becomes a file's name before it was found."""
    calls = Attacks()

    @calls(NotFound)
    def a_path_as_id(w):
        """A path where an id is due."""
        if call == "upload":
            w.upload(path, (0, b"x"))
        elif call == "commit":
            w.commit(path, "a" * 64)
        elif call == "status":
            w.status(path)
        else:
            list(w.catalog.Download(catalog_pb2.DownloadRequest(module_id=path), timeout=CALL_S))

    check(calls.table[0], attacker)


def test_nothing_of_any_of_it_was_kept(attacker):
    """Comes last: whose things they were still has them as they were, and no file lies where none belongs."""
    cat = attacker.center.client("site-cat")
    assert cat.upload_status(attacker.cats_upload).durable_offset == 0
    assert cat.get_manifest(attacker.cats_module.module_id) == attacker.cats_module
    with attacker.registry.read() as books:
        (merge,) = books.merges.list()
    assert merge.status.state is MergeState.PLANNED
    uploads = {path.stem for path in (attacker.center.home / "uploads").iterdir()}
    assert all(len(stem) == 64 for stem in uploads)
    assert {path.name for path in attacker.center.home.iterdir()}.isdisjoint({"x", "b", "passwd"})
