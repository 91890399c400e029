"""How a server that passes payloads on allocates: from one arena, which gives back what a crowd left.

glibc gives threads arenas of their own: with one for each of dozens of calls, what one call freed is of no
use to the next. Its default thresholds moreover hand blocks of a chunk's size back to the kernel at once and
fault them in again, which costs about as much CPU time as all the rest of an upload. benchmarks/NOTES.md has
the figures.
"""

from __future__ import annotations

from transplant.nets.allocator import tell_glibc

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8  # mallopt(3)
_SETTINGS = (
    (_ARENA_MAX, 1),
    (_TRIM_THRESHOLD, 64 << 20),
    (_TOP_PAD, 4 << 20),
    (_MMAP_THRESHOLD, 8 << 20),
)


def share_one_arena() -> bool:
    """Tell glibc; return whether there was one to tell. For the first lines of a process.

    Learners have other needs and settings (`transplant.nets.allocator`) and run in processes of their own.
    """
    return tell_glibc(*_SETTINGS)
