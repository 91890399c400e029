"""A kit changes in one step: whoever reads it, whenever the power goes, sees the old one or the new one."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest
from fakes.pki import Authority

from transplant.errors import CertificateInvalid
from transplant.rpc import renewal
from transplant.rpc.channel import RENEWED, load_kit, write_kit
from transplant.rpc.renewal import renewed_kit, settle_kit, swap_kit

AUTHORITY = Authority()
OLD = AUTHORITY.kit("localhost:7443")
NEW = replace(AUTHORITY.kit("localhost:7443"), ca=OLD.ca)


class PowerCut(Exception):
    """The process ends here."""


@pytest.fixture
def kit(tmp_path):
    write_kit(tmp_path, OLD)
    return tmp_path


def test_a_swap_leaves_a_whole_kit_and_nothing_else(kit):
    swap_kit(kit, NEW)
    assert load_kit(kit) == NEW
    assert {path.name for path in kit.iterdir()} == {"ca.pem", "cert.pem", "key.pem", "kit.json"}
    assert stat.S_IMODE((kit / "key.pem").stat().st_mode) == 0o600


def test_a_power_cut_at_any_step_leaves_one_of_the_two_kits(kit, monkeypatch):
    real = renewal.write_durably
    for survived in range(4):
        write_kit(kit, OLD)
        (kit / RENEWED).unlink(missing_ok=True)
        left = [survived]

        def write(path, data, left=left):
            if left[0] == 0:
                raise PowerCut
            left[0] -= 1
            real(path, data)
            assert load_kit(kit) == NEW  # a reader in the midst of it

        monkeypatch.setattr(renewal, "write_durably", write)
        if survived < 3:
            with pytest.raises(PowerCut):
                swap_kit(kit, NEW)
        else:
            swap_kit(kit, NEW)
        monkeypatch.setattr(renewal, "write_durably", real)
        assert load_kit(kit) == (NEW if survived else OLD)
        settle_kit(kit)
        assert not (kit / RENEWED).exists()
        assert load_kit(kit) == (NEW if survived else OLD)


def test_what_does_not_fit_is_not_taken(kit):
    with pytest.raises(CertificateInvalid, match="is not the key of"):
        renewed_kit(OLD, OLD.key, NEW.cert, kit)
    with pytest.raises(CertificateInvalid, match="do not fit"):
        renewed_kit(OLD, NEW.key, b"", kit)
    with pytest.raises(CertificateInvalid):
        renewed_kit(OLD, NEW.key, Authority("test CA").kit("x:1").cert, kit)


def test_a_folder_that_is_gone_is_named(kit, tmp_path):
    with pytest.raises(CertificateInvalid, match="cannot write the kit"):
        swap_kit(tmp_path / "nowhere", NEW)
    assert load_kit(kit) == OLD
