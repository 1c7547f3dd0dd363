"""One made-up head, shared by the tests of this folder."""

import pytest


@pytest.fixture(scope="package")
def head():
    """T1 and FLAIR of a head at 2 mm with skull and neck, by name, and its `brain`."""
    from brainmvp.phantom.generator import make_phantom
    from brainmvp.phantom.skull import with_head
    from brainmvp.sequences import Sequence

    phantom = make_phantom(
        3, "tumour", difficulty=0.3, sequences=(Sequence.T1, Sequence.FLAIR), disease="tumour"
    )
    return with_head(phantom, 3)
