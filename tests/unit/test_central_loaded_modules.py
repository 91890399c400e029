"""Modules that are handed out again: only where the store still gives the same bytes."""

from __future__ import annotations

import pytest
from fakes.artifacts import TINY, sealed

from central.usecases import loaded_modules
from central.usecases.loaded_modules import LoadedModules
from central.usecases.module_shelf import ModuleShelf
from transplant.backends.local_blob_store import LocalBlobStore
from transplant.errors import RegistryDamaged
from transplant.types import ModuleKind


@pytest.fixture
def shelves(tmp_path):
    """Give a function that makes a shelf of one category module, and the module's id."""
    store, loaded = LocalBlobStore(tmp_path), LoadedModules()
    manifest, payload = sealed(ModuleKind.CATEGORY, None, TINY, 1)
    store.put_bytes(payload)
    documents = {manifest.module_id: manifest.canonical_bytes()}
    return (lambda again=loaded: ModuleShelf(store, documents, again)), manifest.module_id


def test_what_was_loaded_is_handed_out_again(shelves):
    shelf, module_id = shelves
    net = shelf().load(module_id)
    assert shelf().load(module_id) is net
    assert shelf(None).load(module_id) is not net
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_a_module_that_rots_in_the_store_is_found_although_it_is_loaded(shelves):
    shelf, module_id = shelves
    shelf().load(module_id)
    path = shelf().path(module_id)
    rotten = bytearray(path.read_bytes())
    rotten[-1] ^= 1
    path.write_bytes(rotten)
    with pytest.raises(RegistryDamaged, match="other bytes"):
        shelf().load(module_id)


def test_large_modules_and_too_many_are_not_kept(shelves, monkeypatch):
    shelf, module_id = shelves
    monkeypatch.setattr(loaded_modules, "_MOST_BYTES", 1)
    assert shelf().load(module_id) is not shelf().load(module_id)
    monkeypatch.undo()
    monkeypatch.setattr(loaded_modules, "_MOST_MODULES", 0)
    assert shelf().load(module_id) is not shelf().load(module_id)


def test_a_document_of_another_digest_is_damage(tmp_path):
    manifest, _ = sealed(ModuleKind.CATEGORY, None, TINY, 1)
    shelf = ModuleShelf(LocalBlobStore(tmp_path), {manifest.module_id: manifest.canonical_bytes() + b" "})
    for ask in (shelf.manifest, shelf.payload_sha256, shelf.load):
        with pytest.raises(RegistryDamaged, match="another digest"):
            ask(manifest.module_id)
