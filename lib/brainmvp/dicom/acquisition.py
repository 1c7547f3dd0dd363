"""Which sequences the acquisition of a series allows: its stated contrast, else its times.

This module is shared with 3D Slicer: Python 3.9 syntax, standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

from brainmvp.dicom.facts import Facts, listed, milliseconds, scanning
from brainmvp.sequences import Sequence, sequence_of

_ACQUISITION_CONTRAST = {  # DICOM PS3.3 C.8.13.3.1.1, value -> what it means here
    "FLUID_ATTENUATED": Sequence.FLAIR,
    "T1": Sequence.T1,
    "T2": Sequence.T2,
    "PROTON_DENSITY": Sequence.PD,
    "TOF": Sequence.MRA,
    "TIME_OF_FLIGHT": Sequence.MRA,
}


@dataclass(frozen=True)
class Acquisition:
    """What an acquisition allows.

    possible: the sequences, the likeliest first; why: the facts that say so; kind: what it is where there is none.
    """

    possible: tuple[Sequence, ...]
    why: str
    kind: str = ""


def acquisition_of(facts: Facts) -> Acquisition | None:
    """Return what the acquisition allows; None where the header does not tell.

    The bounds (ms) are the usual ones of brain protocols at 1.5 and 3 T: inversion near 2000 nulls fluid, near 150
    fat; below 1300 it deepens T1 contrast. Spin echoes are T1-weighted with a short TR and TE, T2-weighted with both
    long, PD-weighted between. Spoiled gradient echoes with a short TE are T1-weighted or time-of-flight; in a steady
    state that is not spoiled fluid is bright.
    """
    stated = _ACQUISITION_CONTRAST.get(str(facts.get("AcquisitionContrast", "")))
    if stated:
        return Acquisition((stated,), f"acquisition contrast {facts['AcquisitionContrast']}")
    tr, te, ti = (milliseconds(facts, name) for name in ("RepetitionTime", "EchoTime", "InversionTime"))
    parts = [f"{n} {v:.4g}" for n, v in (("TR", tr), ("TE", te), ("TI", ti)) if v]
    why = f"{', '.join(parts)} ms"
    kinds = scanning(facts)
    if facts.get("AngioFlag") == "Y":
        return Acquisition((Sequence.MRA,), "angio flag")
    if tr is None or te is None:
        return None
    if ti and tr > 1500 and te >= 50 and ti >= 1400:
        return Acquisition((Sequence.FLAIR,), why)
    if ti and 80 <= ti <= 350 and tr > 1500 and te > 10:
        return Acquisition((), why, "fat-suppressed inversion recovery (STIR)")
    if ti and te <= 40 and ti < 1400:
        return Acquisition((Sequence.T1,), why)
    if "IR" in kinds and tr >= 4000 and te >= 50:
        return Acquisition((Sequence.FLAIR,), f"inversion recovery, {why}")
    if ("GR" in kinds and "SE" not in kinds) or (not kinds and tr < 50):
        if te >= 12:
            return Acquisition((), f"gradient echo, {why}", "T2*-weighted image")
        if _is_steady(facts):
            return Acquisition((), f"gradient echo not spoiled, {why}", "steady-state image")
        return Acquisition((Sequence.T1, Sequence.MRA), f"gradient echo, {why}")
    if tr < 1300 and te <= 35:
        return Acquisition((Sequence.T1,), why)
    if tr >= 1800 and te >= 65:
        # Without an inversion time in the header, a FLAIR looks like this as well.
        return Acquisition((Sequence.T2,) if ti else (Sequence.T2, Sequence.FLAIR), why)
    if tr >= 1500 and te <= 45:
        # Without an inversion time in the header, a T1 FLAIR looks like this as well.
        return Acquisition((Sequence.PD,) if tr > 3000 else (Sequence.PD, Sequence.T1), why)
    return None


def _is_steady(facts: Facts) -> bool:
    """Tell whether a gradient echo is in a steady state without spoiling; some spoiled ones say it only by name."""
    variants = set(listed(facts.get("SequenceVariant")))
    named = sequence_of(str(facts.get("SeriesDescription", "")))
    spoiled = variants & {"SP", "OSP"} or named in (Sequence.T1, Sequence.T1CE, Sequence.MRA)
    return "SS" in variants and not spoiled


def no_clue(facts: Facts) -> str:
    """Say why the times tell nothing."""
    known = [name for name in ("RepetitionTime", "EchoTime") if milliseconds(facts, name)]
    if len(known) < 2:
        return "TR and TE are not in the header"
    tr, te = (milliseconds(facts, name) for name in known)
    return f"TR {tr:.4g}, TE {te:.4g} ms fit no usual sequence"
