"""Tiny volumes: one thread for all tests of this folder."""

import pytest


@pytest.fixture(autouse=True)
def always_one_thread(one_thread: None) -> None:
    """Use `one_thread` everywhere."""
