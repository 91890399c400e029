"""A net on a real Ray Serve: both doors, and a switch of versions under a thousand requests."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from fakes.net_on_disk import net_on_disk

from benchmarks.speed.hot_switch import served, under_load

IN_FLIGHT = 1000


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_no_request_fails_or_mixes_versions_across_a_switch(tmp_path):
    net_on_disk(tmp_path)
    with served(tmp_path, "--replicas", "2") as about:
        found = under_load(tmp_path, about, IN_FLIGHT, lambda: net_on_disk(tmp_path, number=2, seed=5))
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://{about['http']}/predict", b"no picture", timeout=30)
        with refused.value as reply:
            assert reply.code == 400
        assert json.loads((tmp_path / "serve.json").read_text())["version"] == 2
    assert (found.failed, found.mixed) == (0, 0)
    assert min(found.by_version[1], found.by_version[2]) > 0
    assert sum(found.by_version.values()) >= found.sent > IN_FLIGHT
    assert found.switch_s is not None
