"""What tissues are, to an MRI scanner: relaxation times, water, diffusion, contrast agent.

Sources, at 1.5 to 3 T: relaxation of grey and white matter, Stanisz et al., Magn Reson Med 2005, Wansapura et al.,
J Magn Reson Imaging 1999, and Rooney et al., Magn Reson Med 2007, who measured CSF, too; diffusion of normal tissue,
Helenius et al., AJNR 2002; of infarcts, Schlaug et al., Neurology 1997. Tumours and oedema are set by eye. The ranges
are wider than the papers': they stand for scanners and patients unseen.
"""

from dataclasses import dataclass, replace

from brainmvp.phantom.draw import Draw

# Of CSF, ms (Rooney et al., 2007).
_FREE_WATER_T1 = 4200.0


@dataclass(frozen=True)
class Material:
    """t1, t2: ms; water: proton density, CSF = 1; adc: 1e-3 mm²/s; agent: mmol/L of gadolinium after injection.

    flow: 0…1, share of fresh blood, bright in time-of-flight angiography and void in spin echoes.
    """

    t1: float
    t2: float
    water: float
    adc: float
    agent: float = 0.0
    flow: float = 0.0

    def at_field(self, field: float) -> "Material":
        """Return a material known at 1.5 T in another field, 0 (1.5 T) to 1 (3 T).

        T1 grows as grey and white matter's do (see `healthy`), the less the more it is free water, whose T1 stays.
        """
        return replace(self, t1=self.t1 * (1 + 0.4 * field * max(1 - self.t1 / _FREE_WATER_T1, 0.0)))


def healthy(draw: Draw, field: float) -> tuple[Material, Material, Material]:
    """Return the grey matter, white matter and CSF of one person in one scanner; field: 0 (1.5 T) to 1 (3 T)."""
    grey = Material(
        1080 + 330 * field + draw.normal(60), 98 + draw.normal(5), 0.82 + draw.normal(0.015),
        0.83 + draw.normal(0.04), draw.uniform(0.0, 0.04),
    )  # fmt: skip
    white = Material(
        680 + 220 * field + draw.normal(40), 76 + draw.normal(4), 0.70 + draw.normal(0.015),
        0.72 + draw.normal(0.03), draw.uniform(0.0, 0.02),
    )  # fmt: skip
    csf = Material(_FREE_WATER_T1 + draw.normal(200), draw.uniform(900, 2000), 1.0, draw.uniform(2.6, 3.3))
    return grey, white, csf


def _watery(
    draw: Draw, t1: tuple[float, float], t2: tuple[float, float], adc: tuple[float, float]
) -> Material:
    """Return a tissue whose T1, T2, water and diffusion rise together, as they do with free water."""
    free = draw.uniform(0, 1)

    def between(low: float, high: float) -> float:
        share = min(max(free + draw.normal(0.12), 0.0), 1.0)
        return low + share * (high - low)

    return Material(between(*t1), between(*t2), between(0.79, 0.93), between(*adc))


def oedema(draw: Draw) -> Material:
    """Vasogenic. T1 is set by eye: the equations then mostly show it darker than cortex in T1 and, nine times in ten,
    1.2 to 1.8 times as bright in FLAIR, as patients' scans do."""
    return _watery(draw, (1100, 1650), (130, 230), (1.0, 1.7))


def solid_tumour(draw: Draw) -> Material:
    """A non-enhancing glioma: much water, few vessels. T1 is set by eye, as oedema's is."""
    return _watery(draw, (1150, 1750), (120, 240), (0.9, 1.8))


def microcystic_tumour(draw: Draw) -> Material:
    """The inside of a glioma with T2-FLAIR mismatch (Park et al., Eur Radiol 2021): so watery that FLAIR
    mostly suppresses it below grey matter; the times are set by eye."""
    return _watery(draw, (2000, 2800), (260, 500), (1.4, 2.2))


def enhancing_tumour(draw: Draw) -> Material:
    """Cells and new vessels: less water than oedema, so mostly no brighter in FLAIR. T1 is set by eye; with this much
    of the agent they are 1.2 to 3 times as bright as white matter in T1CE (solid parts in two patients: 1.7, 2.1)."""
    agent = draw.log_uniform(0.16, 0.8)
    return replace(_watery(draw, (1100, 1550), (110, 185), (0.75, 1.4)), agent=agent)


def necrosis(draw: Draw) -> Material:
    """Mostly protein-rich, so not suppressed by FLAIR; one in eight holds methaemoglobin, bright in T1."""
    agent = draw.uniform(0.0, 0.08)
    if draw.chance(0.12):
        return Material(
            draw.uniform(350, 650), draw.log_uniform(50, 300), 0.88, draw.uniform(0.6, 1.4), agent
        )
    if draw.chance(0.2):
        return replace(_watery(draw, (2600, 3900), (350, 1200), (1.6, 2.8)), agent=agent)
    return replace(_watery(draw, (1000, 2100), (135, 400), (0.9, 2.2)), agent=agent)


def infarct(draw: Draw, grey: Material, *, small: bool = False) -> Material:
    """Acute infarct: restricted diffusion; in a third of them, and in half of the small ones, ADC is nearly normal and
    DWI bright by T2."""
    if draw.chance(0.5 if small else 0.35):
        return replace(
            grey, t1=grey.t1 * draw.uniform(1.05, 1.3), t2=grey.t2 * draw.uniform(1.35, 1.9),
            adc=grey.adc * draw.uniform(0.8, 1.12),
        )  # fmt: skip
    return replace(
        grey, t1=grey.t1 * draw.uniform(1.0, 1.25), t2=grey.t2 * draw.uniform(0.98, 1.5),
        adc=grey.adc * draw.uniform(0.4, 0.85),
    )  # fmt: skip


def subacute_infarct(draw: Draw, grey: Material) -> Material:
    """An infarct some days to two weeks old: swollen, bright in T2, its ADC on the way back to normal (Schlaug et al.);
    T1 and T2 are set by eye."""
    return replace(
        grey, t1=grey.t1 * draw.uniform(1.2, 1.5), t2=grey.t2 * draw.uniform(1.5, 2.2),
        adc=grey.adc * draw.uniform(0.7, 1.15),
    )  # fmt: skip


def gliosis(draw: Draw) -> Material:
    """White-matter lesion of multiple sclerosis or small-vessel disease, or the rim of an old infarct."""
    return _watery(draw, (950, 1500), (105, 200), (0.9, 1.4))


def cavity(draw: Draw) -> Material:
    return Material(draw.uniform(3000, 4300), draw.uniform(500, 1600), 0.98, draw.uniform(1.8, 3.0))


def blood(draw: Draw) -> Material:
    """Flowing blood in vessels and sinuses; the short T2 stands for the flow void of spin echoes."""
    return Material(1600.0, 25.0, 0.75, 0.3, draw.uniform(0.8, 3.0), draw.uniform(0.6, 1.0))


def dura(draw: Draw) -> Material:
    """Meninges and choroid plexus take up the agent without a barrier."""
    return Material(
        draw.uniform(1000, 1800), draw.uniform(60, 140), draw.uniform(0.6, 0.85), 1.0, draw.uniform(0.15, 1.0)
    )


def shine_through(draw: Draw) -> Material:
    """Bright in DWI by a long T2, with an ADC above normal: not an acute infarct."""
    return Material(
        draw.uniform(1200, 1700), draw.uniform(170, 280), draw.uniform(0.82, 0.92), draw.uniform(1.0, 1.35)
    )


def stretched(draw: Draw) -> Material:
    """What signal of normal tissue looks like where echo-planar imaging piles it up: bright, with a normal ADC."""
    return Material(
        draw.uniform(1000, 1500), draw.uniform(130, 320), draw.uniform(0.85, 1.0), draw.uniform(0.7, 1.0)
    )


def mineral(draw: Draw) -> Material:
    """Calcification or old blood: little signal anywhere."""
    return Material(
        draw.uniform(900, 1500), draw.uniform(15, 35), draw.uniform(0.3, 0.6), draw.uniform(0.3, 0.7)
    )
