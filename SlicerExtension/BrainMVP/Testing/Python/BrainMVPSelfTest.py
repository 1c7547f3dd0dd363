"""Runs the module's self test as a unit test of CTest inside Slicer."""

import unittest

from BrainMVP import BrainMVPTest


class BrainMVPSelfTest(unittest.TestCase):
    """The tests of `BrainMVPTest`, one by one."""

    def setUp(self) -> None:
        self.test = BrainMVPTest()
        self.test.setUp()

    def test_values_survive(self) -> None:
        self.test.test_values_survive()

    def test_the_panel_opens(self) -> None:
        self.test.test_the_panel_opens()
