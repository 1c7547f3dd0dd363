"""Which MRI sequence a series is, and why: from the facts of its header before any name.

The facts are plain values by DICOM keyword (`headers.py` reads them from files; a DICOM database or a web archive can
give them as well). This module is shared with 3D Slicer: Python 3.9 syntax, standard library only.
"""

from __future__ import annotations

import re

from brainmvp.contrast import names_agent, states_contrast
from brainmvp.dicom.acquisition import Acquisition, acquisition_of, no_clue
from brainmvp.dicom.diffusion import diffusion
from brainmvp.dicom.facts import Facts, quoted, text_of
from brainmvp.dicom.unfit import computed, elsewhere, localiser, other_object, other_scan, tiled
from brainmvp.dicom.verdict import Verdict
from brainmvp.sequences import Sequence, sequence_of

# The name of a whole examination, "W/WO CONTRAST", on one of its series: it says nothing of this one.
_BOTH = re.compile(r"(?<![a-z0-9])w(ith)?[^a-z0-9]+(and[^a-z0-9]+)?w([/._ -]?o(ut)?|ithout)(?![a-z0-9])")
_FSE_FLAIR = re.compile(r"dark ?fluid|\btirm\b|spcir|tir2d|flair")
# Siemens' codes of pulse sequences: turbo flash and MPRAGE, inversion recovery of spin echoes, time of flight.
_SEQUENCE_CODES = (
    (r"tfl3d|mprage|bravo|fspgr", Sequence.T1),
    (r"tir2d|spcir", Sequence.FLAIR),
    (r"tof|fi3d", Sequence.MRA),
)


def recognise(facts: Facts) -> Verdict:
    """Return what a series is; facts: values by DICOM keyword, times in ms, b-value in s/mm².

    >>> recognise({"Modality": "MR", "RepetitionTime": 9000, "EchoTime": 90, "InversionTime": 2500}).what
    'FLAIR'
    """
    for look in (other_object, localiser, tiled, diffusion, other_scan, computed, elsewhere):
        verdict = look(facts)
        if verdict:
            return verdict
    acquisition = acquisition_of(facts)
    if acquisition and not acquisition.possible:
        return Verdict(None, acquisition.kind, acquisition.why)
    named, source = name_of(facts)
    if acquisition is None:
        if named is None:
            return Verdict(None, "unknown", no_clue(facts))
        acquisition = Acquisition((plain(named),), f"{source}; {no_clue(facts)}")
        source = ""
    return _combined(facts, acquisition, named, source)


def _combined(facts: Facts, acquisition: Acquisition, named: Sequence | None, source: str) -> Verdict:
    """Return the verdict of the acquisition, made precise by the name where the acquisition allows it."""
    sequence, why, against = acquisition.possible[0], acquisition.why, []
    if named and plain(named) in acquisition.possible:
        if plain(named) is not sequence:
            why = f"{why}; {source}"
        sequence = plain(named)
    elif named:
        against.append(f"{source} says {named}")
    if sequence is not Sequence.T1:
        return Verdict(sequence, str(sequence), why, tuple(against))
    return _with_or_without_contrast(facts, named, why, against)


def _with_or_without_contrast(facts: Facts, named: Sequence | None, why: str, against: list[str]) -> Verdict:
    """Return T1 or T1CE: by the contrast agent in the header, else by words."""
    has_agent = names_agent(str(facts.get("ContrastBolusAgent", "")))
    stated = states_contrast(str(facts.get("SeriesDescription", "")))
    says_with, says_without = stated or named is Sequence.T1CE, stated is False
    if _BOTH.search(text_of(facts, "SeriesDescription")):
        says_with, says_without = False, False
        if not has_agent:
            against.append(
                f"description {quoted(facts)} says with and without, and the header names no agent"
            )
    if has_agent:
        if says_without:
            against.append(f"contrast agent in the header, but description {quoted(facts)}")
        return Verdict(Sequence.T1CE, "T1CE", f"{why}; contrast agent", tuple(against))
    if says_with and not says_without:
        if has_agent is False:
            against.append(f"no contrast agent in the header, but description {quoted(facts)}")
            return Verdict(Sequence.T1, "T1", why, tuple(against))
        return Verdict(
            Sequence.T1CE, "T1CE", f"{why}; contrast by description {quoted(facts)}", tuple(against)
        )
    return Verdict(Sequence.T1, "T1", f"{why}; no contrast agent", tuple(against))


def name_of(facts: Facts) -> tuple[Sequence | None, str]:
    """Return the sequence that a description states, and which element states it."""
    for keyword, word in (("SeriesDescription", "description"), ("ProtocolName", "protocol")):
        text = str(facts.get(keyword, ""))
        found = sequence_of(text)
        if found in (None, Sequence.T2) and _FSE_FLAIR.search(text.lower()):
            found = Sequence.T1 if re.search(r"t1[ _-]?flair", text.lower()) else Sequence.FLAIR
        if found:
            return found, f"{word} “{text}”"
    code = str(facts.get("SequenceName", "")).lower()
    for pattern, sequence in _SEQUENCE_CODES:
        if re.search(pattern, code):
            return sequence, f"sequence name “{code}”"
    return None, ""


def plain(sequence: Sequence) -> Sequence:
    """Return the sequence as it is without contrast medium."""
    return Sequence.T1 if sequence is Sequence.T1CE else sequence
