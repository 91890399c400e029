"""Sites that are late or away: methods of one shot wait for them, and who was never heard is recorded."""

from __future__ import annotations

import pytest
from fakes.tiny_federation import ARCH, DirectEngine, federation, with_small_nets

from benchmarks.sites.contender import Training
from benchmarks.sites.in_process import InProcess
from benchmarks.sites.peers import CONTENDERS
from benchmarks.sites.peers.co_boosting import CoBoosting, CoBoostingSettings
from benchmarks.sites.peers.dense import Dense, DenseSettings
from benchmarks.sites.peers.synthesis import SynthesisSettings
from benchmarks.sites.references import Centralised
from benchmarks.sites.run_cell import Cell, run_cell
from benchmarks.sites.run_rounds import Rounds
from benchmarks.sites.scenarios import Scenario, ScenarioFlags
from benchmarks.sites.scenarios_attendance import Attendance
from transplant.errors import BenchmarkFailed

FEW = SynthesisSettings(latent=8, channels=4, steps=3)
ONE_SHOT = {
    "dense": Dense(DenseSettings(synthesis=FEW)),
    "co-boosting": CoBoosting(CoBoostingSettings(synthesis=FEW)),
}
TRAINING = Training(arch=ARCH, local_epochs=1, batch_size=16, center_steps=1)


@pytest.fixture(autouse=True)
def _small_nets(monkeypatch):
    with_small_nets(monkeypatch)


@pytest.mark.parametrize("name", ["dense", "co-boosting"])
def test_one_shot_hears_sites_that_join_late(name):
    told = federation(count=16)
    engine = Rounds(InProcess(told.sites), Attendance(late=1.0, late_until=7))
    outcome = ONE_SHOT[name](told, TRAINING, engine, lambda _: None)
    assert outcome.figures["answered"] == 3
    assert engine.traffic.rounds == 7


def test_who_a_method_of_few_rounds_never_heard_is_recorded():
    told = federation(count=16)
    flags = ScenarioFlags(Scenario.ONE_CATEGORY, "scenes", sites=3, seed=0)

    def unheard(contender, attendance):
        records = run_cell(
            Cell(flags, ARCH, "fedavg", (3,)), told, contender, TRAINING, InProcess(told.sites), attendance,
            lambda _: None, "",
        )  # fmt: skip
        return [record.value for record in records if record.metric == "sites_unheard"]

    late = Attendance(late=1.0, late_until=2)
    assert unheard(CONTENDERS["fedavg"], late) == [3.0]
    assert unheard(Centralised(), late) == [0.0]
    assert unheard(CONTENDERS["fedavg"], Attendance()) == [], "no such figure where nobody is ever away"


def test_pictures_in_one_place_need_somebody_to_send_them():
    told = federation(count=16)
    with pytest.raises(BenchmarkFailed, match="nothing to train on"):
        Centralised()(told, TRAINING, DirectEngine(told, away=(0, 1, 2)), lambda _: None)
