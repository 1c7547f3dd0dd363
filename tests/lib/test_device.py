"""Devices are chosen by name."""

import pytest

from brainmvp.device import pick_device
from brainmvp.errors import BrainMVPError


def test_an_unknown_device_is_refused():
    with pytest.raises(BrainMVPError, match="is no device"):
        pick_device("abacus")
