"""A served net whose versions come from a center: stocked from its registry, asked with its kits."""

from __future__ import annotations

import io

import grpc
import numpy as np
import pytest
from fakes.every_rpc import channel_of
from fakes.grown_center import grow, grown_home
from fakes.real_center import real_center
from PIL import Image

from central.home import identity_folder, open_known_registry, store_place
from central.identity.provision import revoke_certificates
from central.serving.answering import ServedNet
from central.serving.grpc_front import SERVICE, GrpcFront
from central.serving.net_source import CenterSource
from central.serving.stock import stock_version
from edge.pull import net_folder, pull_version
from edge.site_home import SiteHome
from transplant.artifact.net_folder import NetFolder
from transplant.backends.system_clock import SystemClock
from transplant.datafree.learn_guides import learn_guides
from transplant.datafree.procedural_images import procedural_images
from transplant.errors import ManifestInvalid, NotFound, RegistryDamaged
from transplant.rpc.channel import load_kit
from transplant.types import Role, RouteReport, Task
from transplant.v1 import manifest_pb2, prediction_pb2, prediction_pb2_grpc


@pytest.fixture(scope="module")
def center(tmp_path_factory):
    with real_center(tmp_path_factory.mktemp("center"), founder="dog") as center:
        grow(center, "dog")
        yield center


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """Settings, registry and store of a center with a founder and a category that its site has judged."""
    settings = grown_home(tmp_path_factory.mktemp("grown"))
    registry = open_known_registry(settings)
    yield settings, registry, store_place(settings).open()
    registry.close()


class Here:
    def __init__(self, net):
        self.net = net

    def ask(self, ask):
        return self.net.answer([ask])[0]

    def describe(self):
        return self.net.describe()


def test_a_version_is_stocked_once_with_guides_from_its_sites_figures(grown, tmp_path):
    _, registry, store = grown
    folder = NetFolder.at(tmp_path)
    version = stock_version(registry, store, folder, 0, guide_images=64)
    assert version.number == 2
    net = folder.load_net(folder.version())
    assert net.version == version
    temperatures = {key: guide.calibration.temperature for key, guide in net.guides.items()}
    assert temperatures["cat", Task.CLASSIFICATION] == 1.5
    assert temperatures["dog", Task.CLASSIFICATION] == 1.0  # the founder's own: nobody had to judge it
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert stock_version(registry, store, folder, 2, guide_images=64) == version
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert stock_version(registry, store, folder, 1, guide_images=0).number == 1
    with pytest.raises(NotFound, match="no version 99"):
        stock_version(registry, store, folder, 99, guide_images=0)


def test_guides_of_large_images_are_learned_only_where_that_is_asked_for(grown, tmp_path, monkeypatch):
    _, registry, store = grown
    monkeypatch.setattr("central.serving.stock._GUIDED_PX", 16)  # as if 32 pixels were many
    folder, seen = NetFolder.at(tmp_path), []

    def learn(_net, _task, images, errors):
        seen.append((len(images), errors))
        return learn_guides(_net, _task, images, errors)

    monkeypatch.setattr("central.serving.stock.learn_guides", learn)
    version = stock_version(registry, store, folder, 0)
    assert not folder.has_guides(version)
    assert seen == []
    stock_version(registry, store, folder, 0, guide_images=64, drawings=0.9)
    assert folder.has_guides(version)
    assert seen == [(64, {"cat": RouteReport(20.0, 1.5)})]


def test_drawings_among_the_images_are_as_many_as_the_center_learns_by(grown, tmp_path, monkeypatch):
    _, registry, store = grown
    shares = []

    def images(count, side, seed, drawings):
        shares.append(drawings)
        return procedural_images(count, side, seed, drawings)

    monkeypatch.setattr("central.serving.stock.procedural_images", images)
    stock_version(registry, store, NetFolder.at(tmp_path), 0, guide_images=64, drawings=0.9)
    assert shares == [0.9]


def test_what_sites_measured_of_routes_travels_with_a_version_that_a_site_pulls(center, tmp_path):
    grow(center, "dog", "cat")
    client = center.client("site-dog")
    told = client.route_reports()
    assert told["cat", Task.CLASSIFICATION] == RouteReport(20.0, 1.5)  # what its site's verdict says
    assert ("dog", Task.CLASSIFICATION) not in told  # its teacher told no figures
    home = SiteHome(tmp_path / "site")
    version = pull_version(client, home)
    assert net_folder(home).reports(version) == told
    path = home.net / str(version.number) / "errors.json"
    path.write_text('{"errors": [["cat", "classification", 20]]}')  # as an earlier release wrote it
    assert net_folder(home).reports(version) == {("cat", Task.CLASSIFICATION): RouteReport(20.0)}
    path.write_text('{"errors": [["cat", "classification", 300]]}')
    with pytest.raises(ManifestInvalid, match="pull the version again"):
        net_folder(home).reports(version)


def test_a_payload_that_the_store_has_lost_is_said_and_the_rest_is_gone_on_with(grown, tmp_path):
    _, registry, store = grown
    folder = NetFolder.at(tmp_path)
    with registry.read() as books:
        module = books.modules.get(books.versions.get().module_ids()[-1])
    blob = store.path_of(module.payload_sha256)
    away = blob.rename(blob.with_name("away"))
    try:
        with pytest.raises(RegistryDamaged, match="has lost"):
            stock_version(registry, store, folder, 0, guide_images=0)
        with pytest.raises(NotFound):
            folder.version()
    finally:
        away.rename(blob)
    assert folder.load_net(stock_version(registry, store, folder, 0, guide_images=0))


def test_whoever_asks_over_grpc_needs_a_kit_that_is_not_revoked(center):
    source = CenterSource(center.settings, guide_images=0)
    front = GrpcFront(
        Here(ServedNet.load(NetFolder.at(source.root), source.ready(0))), "127.0.0.1:0", *source.access()
    )
    front.start()
    ca = identity_folder(center.home).ca.read_bytes()
    out = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(out, "PNG")
    request = prediction_pb2.PredictRequest(pictures=[out.getvalue()], task=manifest_pb2.TASK_CLASSIFICATION)
    try:
        kit = load_kit(center.kit("asker", Role.READER, ()))
        with channel_of(front.address, ca, kit.cert, kit.key) as channel:
            stub = prediction_pb2_grpc.PredictionStub(channel)
            assert stub.Predict(request, timeout=20).version >= 1
            other = channel.unary_unary(f"/{SERVICE}/Anything")
            with pytest.raises(grpc.RpcError) as unknown:
                other(b"", timeout=10)
            assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED
            registry = open_known_registry(center.settings)
            revoke_certificates(registry, SystemClock(), Role.READER, "asker", None)
            registry.close()
            with pytest.raises(grpc.RpcError, match="was revoked"):
                stub.Predict(request, timeout=20)
        with channel_of(front.address, ca) as channel:
            with pytest.raises(grpc.RpcError) as stranger:
                prediction_pb2_grpc.PredictionStub(channel).Predict(request, timeout=10)
            assert stranger.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        front.stop()
        source.close()
