"""What stands on the page, in words and numbers, before anybody lays it out."""

from dataclasses import dataclass
from datetime import date

from brainmvp.brain import BUILT_IN, STRIPPED
from brainmvp.card import NOTICE
from brainmvp.files import readable
from brainmvp.onepage.diameters import how_measured, measure
from brainmvp.segmentation import Segmentation
from brainmvp.volume import Volume

_FOUND_BY = {
    STRIPPED: "the skull had been removed",
    BUILT_IN: "found by the built-in network",
    "hd-bet": "found by HD-BET",
    "synthstrip": "found by SynthStrip",
}


@dataclass(frozen=True)
class Row:
    """A structure: volume_ml: millilitres; diameters: longest x across, mm, or None where it is not measured."""

    name: str
    volume_ml: float
    colour: tuple[int, int, int] | None = None
    diameters: tuple[float, float] | None = None


@dataclass(frozen=True)
class Content:
    """The page: regions are what is measured together (whole tumour, …), parts the labels that they are made of."""

    study: str
    title: str
    made: str
    model: str
    regions: list[Row]
    parts: list[Row]
    facts: list[tuple[str, str]]
    how_measured: str
    notice: str


def content_of(result: Segmentation) -> Content:
    """Return the content of a result's page."""
    masks = result.task.regions_of(result.labels.data)
    colour_of_value = {label.value: label.color for label in result.task.labels}
    colours = {name: colour_of_value[value] for value, name in result.label_names.items()}
    volumes = result.measured_ml
    regions = []
    for region in result.offered:
        pair = measure(Volume(masks[region.name], result.labels.affine))
        # A region that is one label, or stands for one, is one row, with the label's colour.
        colour = colours.pop(result.label_of(region), None)
        name = region.measured_as or region.title
        regions.append(Row(name, volumes[name], colour, pair))
    parts = [Row(name, volumes[name], colour) for name, colour in colours.items()]
    return Content(
        result.study.id, result.task.title, date.today().isoformat(), result.model, regions, parts,
        _facts(result), how_measured(result.labels), NOTICE,
    )  # fmt: skip


def _facts(result: Segmentation) -> list[tuple[str, str]]:
    missing = [str(s) for s in result.filled if s not in result.flagged]
    moved = [
        f"{s} ({a.shift_mm:.1f} mm, {a.turn_deg:.1f}°)"
        for s, a in result.alignments.items()
        if a.moved and not a.doubt
    ]
    doubt = f"; {result.brain.doubt}" if result.brain.doubt else ""
    facts = [
        ("Scanned", str(result.study.taken.day or "date unknown")),
        ("Folder", readable(str(result.study.folder))),
        ("Sequences used", ", ".join(map(str, result.used))),
        ("Missing", ", ".join(missing) or "none"),
        ("Flagged, not used", "; ".join(f"{s}: {why}" for s, why in result.flagged.items()) or "none"),
        ("Registered", ", ".join(moved) or ("none" if result.flagged else "none needed it")),
        ("Brain", f"{result.brain_ml:.0f} mL, {_FOUND_BY[result.brain.source]}{doubt}"),
        ("Measured on", f"the grid of {result.reference}, {_spacing(result.labels)}"),
        ("Mean uncertainty", result.uncertainty_in_words),
    ]
    if result.minimum_lesion_ml:
        facts.append(("Not marked", f"findings below {result.minimum_lesion_ml:g} mL"))
    if result.notes:
        facts.append(("Notes", "; ".join(result.notes)))
    if result.left_out:
        facts.append(("Left out", " ".join(result.left_out.values())))
    return facts


def _spacing(volume: Volume) -> str:
    return " x ".join(f"{size:.2g}" for size in volume.spacing) + " mm"
