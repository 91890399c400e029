"""Keep freed memory inside the process: convolutions on a CPU allocate and free large blocks every step.

glibc's malloc hands blocks of that size back to the kernel at once and asks for them again a moment
later; page faults then cost up to a third of a training step. Raising three thresholds ends that.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # mallopt(3)
_KEEP_BYTES = 1 << 30
_PAD_BYTES = 256 << 20


def keep_freed_memory() -> bool:
    """Tell glibc to reuse large blocks; return whether there was a glibc to tell.

    For processes that train or learn for a while; a server that only passes bytes on needs it not.
    """
    return tell_glibc((_TRIM_THRESHOLD, _KEEP_BYTES), (_TOP_PAD, _PAD_BYTES), (_MMAP_THRESHOLD, _KEEP_BYTES))


def tell_glibc(*settings: tuple[int, int]) -> bool:
    """Set parameters of mallopt(3), pairs of name and value; return whether all were taken."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # another C library
    return all(mallopt(name, value) == 1 for name, value in settings)
