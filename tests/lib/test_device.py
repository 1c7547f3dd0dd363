"""Devices are chosen by name."""

import pytest

from brainmvp.device import pick_device
from brainmvp.errors import BrainMVPError


@pytest.mark.parametrize("name", ["abacus", "mps", "xpu", "meta"])
def test_a_device_that_is_none_here_is_refused(name):
    with pytest.raises(BrainMVPError, match="is no device"):
        pick_device(name)
