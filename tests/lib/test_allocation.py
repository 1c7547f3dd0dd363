"""Freed memory is kept while a training runs, and given back after it."""

import sys
from pathlib import Path

import pytest
import torch

from brainmvp.allocation import kept_memory


def resident_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone is told what to keep")
def test_freed_memory_is_kept_within_the_block_only():
    before = resident_mb()
    with kept_memory():
        torch.ones(2**26)  # 256 MB
        assert resident_mb() - before > 200
    assert resident_mb() - before < 100
    torch.ones(2**26)
    assert resident_mb() - before < 100
