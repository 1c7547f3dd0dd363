"""A draft comes back to who drew it, on the real scene and from a real server."""

import shutil

import numpy as np
import pytest
from BrainMVPLib.drawn import export_labels
from BrainMVPLib.opening import Opening
from BrainMVPLib.segmenting import Segmenting
from BrainMVPLib.submitting import Submitting

from brainmvp.volume import read_volume


@pytest.fixture
def segmented(connected, settle, new_study):
    """Return a function that makes a study of some sequences, opens it and segments it; the study's folder."""

    def segment(sequences):
        study = new_study(sequences)
        Opening(connected).next_study()
        settle(connected)
        Segmenting(connected).segment()
        settle(connected)
        return study

    return segment


def test_a_draft_comes_back_as_it_was_drawn(connected, settle, segmented):
    session, opening = connected, Opening(connected)
    study = segmented("T1CE FLAIR T1 T2")
    reference, table = session.reference()[1], Submitting(session).table()
    labels = export_labels(session.state.segmentation, table, reference)
    assert labels.any()
    Submitting(session).submit("draft")
    settle(session)
    opening.next_study()  # there is no other one
    settle(session)
    assert (session.errors, session.state.study) == ([], study.name)
    assert session.heard[-1].endswith("Your draft is open, too.")
    assert session.state.facts["model"].startswith("tumour@")
    again = export_labels(session.state.segmentation, Submitting(session).table(), session.reference()[1])
    np.testing.assert_array_equal(again, labels)
    opening.next_study()  # which nothing keeps from being left
    settle(session)
    assert session.errors == []


def test_a_draft_comes_back_and_is_taken_when_its_study_has_gained_a_sequence(
    connected, server, settle, segmented
):
    session, opening = connected, Opening(connected)
    study = segmented("FLAIR T2")
    Submitting(session).submit("draft")
    settle(session)
    (draft,) = (server.studies / "labels" / "draft").glob(f"{study.name}.*")
    drawn = read_volume(draft).data
    scan, other = (study / f"{study.name}_{name}.nii.gz" for name in ("flair", "t2"))
    shutil.copy(other, study / f"{study.name}_t1ce.nii.gz")
    opening.next_study()
    settle(session)
    assert session.heard[-1].endswith("T2. Your draft is open, too.")
    Submitting(session).submit("final")
    settle(session)
    assert session.errors == []
    (label,) = (server.studies / "labels" / "final").glob(f"{study.name}.*")
    label = read_volume(label)
    assert label.same_grid(read_volume(scan))
    np.testing.assert_array_equal(label.data, drawn)
