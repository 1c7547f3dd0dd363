"""Freed memory is kept while a training runs, and given back after it.

Measured in a process of its own: what else a process of tests has freed or still runs would be counted too.
"""

import subprocess
import sys

import pytest

MEASURE = """
from pathlib import Path

import torch

from brainmvp.allocation import kept_memory


def resident_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def freed_block():
    torch.ones(2**26)  # 256 MB
    return resident_mb() - before


before = resident_mb()
with kept_memory():
    print(freed_block())
print(resident_mb() - before)
print(freed_block())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone is told what to keep")
def test_freed_memory_is_kept_within_the_block_only():
    told = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True).stdout
    inside, after, later = map(float, told.split())
    assert inside > 200
    assert after < 100
    assert later < 100
