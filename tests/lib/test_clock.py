"""What a step took."""

import subprocess
import sys

import pytest

from brainmvp.clock import Clock


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere a process starts with no memory of its parent's"
)
def test_a_peak_is_that_of_the_process_and_not_of_the_one_that_started_it():
    large = b"x" * (600 << 20)
    code = "from brainmvp.clock import Clock; clock = Clock(); clock.lap('all'); print(clock.peak_gib['all'])"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = Clock()
    own.lap("all")
    assert float(child.stdout) < len(large) / 2**30 < own.peak_gib["all"]
