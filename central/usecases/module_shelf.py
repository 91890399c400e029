"""Modules by id, read from the registry and the store, each verified."""

from __future__ import annotations

import json
from dataclasses import dataclass
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
    from transplant.artifact.manifest import Manifest
    from transplant.ports.blob_store import BlobStore


@dataclass(frozen=True)
class ModuleShelf:
    """The modules of a registry. `manifests`: module id -> canonical manifest."""

    store: BlobStore
    manifests: Mapping[str, bytes]

    @classmethod
    def of(cls, center: Center, books: Books, module_ids: Iterable[str]) -> ModuleShelf:
        """Return the shelf of these modules, as far as they are registered."""
        return cls(center.store, books.modules.manifests(module_ids))

    def manifest(self, module_id: str) -> Manifest:
        """Return a module's manifest.

        Raises:
            NotFound: if it is not registered.
            RegistryDamaged: if the registry's document has another digest than the module's id.
        """
        if module_id not in self.manifests:
            raise NotFound(f"no module {module_id[:80]}")
        manifest = parse_manifest(self.manifests[module_id])
        if manifest.module_id != module_id:
            raise RegistryDamaged(f"the manifest of module {module_id[:12]} has another digest")
        return manifest

    def payload_sha256(self, module_id: str) -> str:
        """Return the digest of a module's payload, from its manifest without reading all of that.

        Raises:
            NotFound: if it is not registered.
            RegistryDamaged: if the registry's document has another digest than the module's id.
        """
        if module_id not in self.manifests:
            raise NotFound(f"no module {module_id[:80]}")
        document = self.manifests[module_id]
        if sha256_hex(document) != module_id:
            raise RegistryDamaged(f"the manifest of module {module_id[:12]} has another digest")
        return str(json.loads(document)["payload_sha256"])

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
        try:
            return load_module(self.manifest(module_id), self.path(module_id))
        except ArtifactRejected as error:
            raise RegistryDamaged(
                f"the store holds other bytes for module {module_id[:12]}: {error}"
            ) from error
