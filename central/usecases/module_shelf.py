"""Modules by id, read from the registry and the store, each verified."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transplant.artifact.codec import load_module
from transplant.artifact.digest import sha256_hex
from transplant.artifact.manifest import parse_manifest
from transplant.errors import ArtifactRejected, NotFound, RegistryDamaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from torch import nn

    from central.registry.registry import Books
    from central.usecases.center import Center
    from central.usecases.loaded_modules import LoadedModules
    from transplant.artifact.manifest import Manifest
    from transplant.ports.blob_store import BlobStore


@dataclass(frozen=True)
class ModuleShelf:
    """The modules of a registry. `manifests`: module id -> canonical manifest.

    `loaded` are modules that may be handed out again; None: each is loaded anew. The documents are checked
    and parsed when they are first asked for, and once: they stay as they were read.
    """

    store: BlobStore
    manifests: Mapping[str, bytes]
    loaded: LoadedModules | None = None
    _parsed: dict[str, Manifest] = field(default_factory=dict[str, "Manifest"], init=False, repr=False)
    _payloads: dict[str, str] = field(default_factory=dict[str, str], init=False, repr=False)

    @classmethod
    def of(
        cls,
        center: Center,
        books: Books,
        module_ids: Iterable[str],
        loaded: LoadedModules | None = None,
    ) -> ModuleShelf:
        """Return the shelf of these modules, as far as they are registered."""
        return cls(center.store, books.modules.manifests(module_ids), loaded)

    def manifest(self, module_id: str) -> Manifest:
        """Return a module's manifest.

        Raises:
            NotFound: if it is not registered.
            RegistryDamaged: if the registry's document has another digest than the module's id.
        """
        manifest = self._parsed.get(module_id)
        if manifest is None:
            manifest = self._parsed[module_id] = parse_manifest(self._document(module_id))
        return manifest

    def payload_sha256(self, module_id: str) -> str:
        """Return the digest of a module's payload, from its manifest without reading all of that.

        Raises:
            NotFound: if it is not registered.
            RegistryDamaged: if the registry's document has another digest than the module's id.
        """
        payload_sha256 = self._payloads.get(module_id)
        if payload_sha256 is None:
            payload_sha256 = str(json.loads(self._document(module_id))["payload_sha256"])
            self._payloads[module_id] = payload_sha256
        return payload_sha256

    def path(self, module_id: str) -> Path:
        """Return the file of a module's payload.

        Raises:
            RegistryDamaged: if the store has lost it.
        """
        try:
            return self.store.path_of(self.payload_sha256(module_id))
        except NotFound as error:
            raise RegistryDamaged(f"the store has lost the payload of module {module_id[:12]}") from error

    def load(self, module_id: str) -> nn.Module:
        """Return a module, built from its verified bytes.

        Raises:
            RegistryDamaged: if the store has lost its payload or holds other bytes.
        """
        path = self.path(module_id)
        if self.loaded is not None:
            net = self.loaded.again(module_id, path, self.payload_sha256(module_id))
            if net is not None:
                return net
        manifest = self.manifest(module_id)
        try:
            net = load_module(manifest, path)
        except ArtifactRejected as error:
            raise RegistryDamaged(
                f"the store holds other bytes for module {module_id[:12]}: {error}"
            ) from error
        if self.loaded is not None:
            self.loaded.keep(module_id, net, manifest.payload_bytes)
        return net

    def _document(self, module_id: str) -> bytes:
        if module_id not in self.manifests:
            raise NotFound(f"no module {module_id[:80]}")
        document = self.manifests[module_id]
        if sha256_hex(document) != module_id:
            raise RegistryDamaged(f"the manifest of module {module_id[:12]} has another digest")
        return document
