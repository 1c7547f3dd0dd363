"""Memory that a training on a CPU frees and asks for again at every step: kept, instead of given back in between."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# glibc, malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_MOST = 2**31 - 1
# What glibc's thresholds grow to by themselves in a process that frees large blocks (mallopt(3), 64 bit), and how many
# blocks it maps at most.
_MMAP_BYTES, _TRIM_BYTES, _MMAP_BLOCKS = 2**25, 2**26, 2**16


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed memory in this process while the block runs; then give it back to the system.

    glibc maps every large block anew, and the system fills it with zeros page by page: a third of a training step on
    a CPU. Elsewhere (macOS, Windows, musl) nothing is changed.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(libc, "malloc_trim"):
        yield
        return
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, _MOST)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_MAX, _MMAP_BLOCKS)
        libc.mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)
        libc.mallopt(_TRIM_THRESHOLD, _TRIM_BYTES)
        libc.malloc_trim(0)
