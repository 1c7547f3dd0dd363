"""From materials to signals: the equations of the eight sequences, and contrasts no scanner has."""

import math
from dataclasses import dataclass

from brainmvp.phantom.anatomy import CSF, GREY, WHITE
from brainmvp.phantom.draw import Draw
from brainmvp.phantom.materials import Material
from brainmvp.sequences import Sequence

# Longitudinal relaxivity of gadolinium chelates in plasma at 1.5 to 3 T, L/mmol/s (Rohrer et al., Invest Radiol 2005).
_RELAXIVITY = 4.0
# Gadolinium also shortens T2, by about this times its concentration (the same source).
_RELAXIVITY_T2 = 5.0

# Turbo spin echoes show tissue darker against CSF than the spin-echo equation says, by magnetisation transfer (Melki
# and Mulkern, Magn Reson Med 1992). The size is ours: oedema comes out as bright against CSF as in clinical images.
_TURBO = 1.5


@dataclass(frozen=True)
class Protocol:
    """The settings of one scan: times in ms, flip angle in degrees, b in 1e3 s/mm²."""

    sequence: Sequence
    tr: float
    te: float
    ti: float = 0.0
    flip: float = 90.0
    b: float = 0.0

    @classmethod
    def drawn(cls, sequence: Sequence, draw: Draw) -> "Protocol":
        """Return settings as hospitals use them."""
        if sequence in (Sequence.T1, Sequence.T1CE):
            if draw.chance(0.5):
                return cls(sequence, draw.uniform(420, 700), draw.uniform(8, 18))
            return cls(sequence, draw.uniform(7, 12), draw.uniform(2.5, 4.5), flip=draw.uniform(14, 24))
        if sequence is Sequence.T2:
            return cls(sequence, draw.uniform(3000, 6500), draw.uniform(80, 120))
        if sequence is Sequence.PD:
            return cls(sequence, draw.uniform(2200, 4000), draw.uniform(12, 30))
        if sequence is Sequence.FLAIR:
            tr = draw.uniform(7500, 11000)
            return cls(
                sequence, tr, draw.uniform(90, 140), ti=nulling_time(4200.0, tr) * draw.uniform(0.93, 1.07)
            )
        if sequence is Sequence.MRA:
            return cls(sequence, draw.uniform(20, 30), draw.uniform(3, 6), flip=draw.uniform(16, 25))
        return cls(sequence, draw.uniform(4000, 8000), draw.uniform(65, 105), b=draw.uniform(0.9, 1.1))


def nulling_time(t1: float, tr: float) -> float:
    """Return the inversion time that leaves no signal of a tissue, ms."""
    return t1 * (math.log(2.0) - math.log1p(math.exp(-tr / t1)))


def signal(material: Material, protocol: Protocol) -> float:
    """Return the signal of a material: spin echo, inversion recovery, spoiled gradient echo or diffusion.

    The textbook equations (Haacke et al., Magnetic Resonance Imaging, 1999). ADC maps give the ADC itself.
    """
    if protocol.sequence is Sequence.ADC:
        return material.adc
    agent = material.agent if protocol.sequence is Sequence.T1CE else 0.0
    t1 = 1000 / (1000 / material.t1 + _RELAXIVITY * agent)
    t2 = 1000 / (1000 / material.t2 + _RELAXIVITY_T2 * agent)
    recovered = math.exp(-protocol.tr / t1)
    decay = material.water * math.exp(-protocol.te / t2)
    if protocol.sequence is Sequence.FLAIR:
        return decay * abs(1 - 2 * math.exp(-protocol.ti / t1) + recovered)
    if protocol.sequence is Sequence.DWI:
        return decay * (1 - recovered) * math.exp(-protocol.b * material.adc)
    if protocol.flip < 90:
        angle = math.radians(protocol.flip)
        still = decay * math.sin(angle) * (1 - recovered) / (1 - math.cos(angle) * recovered)
        # Blood that has just come into the slab was never saturated.
        fresh = material.flow if protocol.sequence is Sequence.MRA else 0.0
        return still * (1 - fresh) + fresh * material.water * math.sin(angle)
    return decay * (1 - recovered)


def random_tissue_levels(sequence: Sequence, draw: Draw, odd: bool = False) -> tuple[float, float, float]:
    """Return levels of grey matter, white matter and CSF from wide ranges around what a sequence looks like.

    Domain randomisation (Billot et al., SynthSeg, Med Image Anal 2023), kept to the order that makes a sequence
    itself, but where odd. Not for ADC maps, which have units.
    """
    if odd:
        return draw.uniform(0.2, 1), draw.uniform(0.2, 1), draw.uniform(0, 1)
    if sequence in (Sequence.T1, Sequence.T1CE):
        return draw.uniform(0.5, 0.85), 1.0, draw.uniform(0.05, 0.4)
    if sequence is Sequence.T2:
        grey = draw.uniform(0.3, 0.62)
        return grey, grey * draw.uniform(0.6, 0.97), 1.0
    if sequence is Sequence.PD:  # cortex is brightest, or nearly
        grey = draw.uniform(0.6, 0.9)
        return grey, grey * draw.uniform(0.75, 0.96), grey * draw.uniform(0.6, 1.1)
    if sequence is Sequence.MRA:
        return 0.4, draw.uniform(0.3, 0.5), draw.uniform(0.05, 0.25)
    return 0.6, 0.6 * draw.uniform(0.72, 1.05), 0.6 * draw.uniform(0.05, 0.6)


def carry_over(value: float, physical: list[float], shown: list[float], sequence: Sequence) -> float:
    """Return the level of a physical signal in an image whose tissues have other levels.

    physical, shown: levels of grey matter, white matter and CSF by the equations and in the image. FLAIR and DWI show
    CSF nearly black, and PD about as bright as tissue, so a level's ratio to grey matter is the same in both (or to
    white matter, where that is brighter: cortex in a real image holds some CSF). Elsewhere the contrast to grey matter
    (in T1 to white matter), in units of its contrast to CSF, is the same in both.
    """
    if sequence in (Sequence.FLAIR, Sequence.DWI, Sequence.PD):
        return max(shown[GREY], shown[WHITE]) * value / physical[GREY]
    anchor = WHITE if sequence in (Sequence.T1, Sequence.T1CE) else GREY
    spread = max(abs(physical[CSF] - physical[anchor]), 0.3 * physical[anchor])
    if sequence is Sequence.T2:
        spread *= _TURBO
    unit = max(abs(shown[CSF] - shown[anchor]), 0.5 * abs(shown[anchor]))
    contrast = (value - physical[anchor]) / spread
    return shown[anchor] + contrast * unit
