"""Upper bounds on what is received; each is checked before anything is allocated for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of one artifact.

    `max_abs` is the largest magnitude of a weight: beyond it a net is broken or hostile.
    """

    manifest_bytes: int = 1 << 20
    payload_bytes: int = 2 << 30
    tensors: int = 4096
    dims: int = 8
    header_bytes: int = 1 << 20
    max_abs: float = 1e6


DEFAULT_LIMITS = Limits()
