"""The page as a PDF of one A4 sheet, text as text."""

import textwrap
from io import BytesIO
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D

from brainmvp.fonts import fonts
from brainmvp.millilitres import written_ml
from brainmvp.onepage.content import Content, Row

_A4 = (8.27, 11.69)  # inches
_LEFT, _VALUES, _SIZES = 0.07, 0.62, 0.93
_TOP, _LOWEST = 0.885, 0.02  # between them lie the figure, the table and the facts
_LINE = 0.0165  # of the page's height
_SMALLEST = 0.12  # height of the figure
_COLUMNS = 92  # characters that fit beside the names of the facts


@fonts()
def write_pdf(content: Content, figure: bytes, path: Path) -> None:
    """Write the page; figure: a PNG."""
    with rc_context({"pdf.fonttype": 42, "font.size": 9}):  # real fonts, so that the text can be searched
        page = lay_out(content, figure)
        page.savefig(path, format="pdf", metadata={"Title": f"{content.study}: {content.title}"})


def lay_out(content: Content, figure: bytes) -> Figure:
    """Return the page; the figure is as wide as that, or as high as the words leave room for."""
    page = Figure(figsize=_A4)
    page.text(_LEFT, 0.955, content.study, fontsize=16, weight="bold", parse_math=False)
    made = f"{content.title} · made {content.made} by model {content.model}"
    page.text(_LEFT, 0.935, made, color="0.35", parse_math=False)
    box = {"boxstyle": "round,pad=0.5", "facecolor": "#fff7e8", "edgecolor": "#b36b00"}
    page.text(_LEFT + 0.01, 0.905, content.notice, weight="bold", fontsize=8.5, bbox=box)
    pixels = imread(BytesIO(figure))
    width = 1 - 2 * _LEFT
    height = width * _A4[0] / _A4[1] * pixels.shape[0] / pixels.shape[1]
    height = min(height, max(_TOP - _LOWEST - _words(content), _SMALLEST))
    axes = page.add_axes((_LEFT, _TOP - height, width, height))
    axes.imshow(pixels)
    axes.set_axis_off()
    y = _table(page, content, _TOP - height - 2 * _LINE)
    _facts(page, content, y - _LINE)
    return page


def _words(content: Content) -> float:
    """Return the height that is needed below the figure, of the page's."""
    rows = len(content.regions) + len(content.parts)
    facts = sum(len(_wrapped(value)) for _, value in content.facts)
    return (4 + rows + len(_how_measured(content)) + facts) * _LINE


def _table(page: Figure, content: Content, y: float) -> float:
    for x, heading, side in (
        (_LEFT, "Structure", "left"),
        (_VALUES, "Volume, mL", "right"),
        (_SIZES, "Longest x across, mm", "right"),
    ):
        page.text(x, y, heading, weight="bold", ha=side)
    y -= 0.3 * _LINE
    _rule(page, y)
    for row in [*content.regions, *content.parts]:
        y -= _LINE
        _row(page, row, y)
    y -= 0.5 * _LINE
    _rule(page, y)
    y -= 0.2 * _LINE
    for line in _how_measured(content):
        y -= _LINE
        page.text(_LEFT, y, line, fontsize=7.5, color="0.35")
    return y - _LINE


def _rule(page: Figure, y: float) -> None:
    page.add_artist(Line2D([_LEFT, _SIZES], [y, y], color="0.7", linewidth=0.6))


def _row(page: Figure, row: Row, y: float) -> None:
    indent = 0.0
    if row.colour:
        indent = 0.02
        page.text(_LEFT, y, "■", color=tuple(value / 255 for value in row.colour))
    page.text(_LEFT + indent, y, row.name, parse_math=False)
    page.text(_VALUES, y, written_ml(row.volume_ml), ha="right")
    if row.diameters:
        page.text(_SIZES, y, f"{row.diameters[0]:.0f} x {row.diameters[1]:.0f}", ha="right")


def _facts(page: Figure, content: Content, y: float) -> None:
    for name, value in content.facts:
        page.text(_LEFT, y, name, weight="bold")
        for line in _wrapped(value):
            page.text(_LEFT + 0.2, y, line, parse_math=False)
            y -= _LINE


def _how_measured(content: Content) -> list[str]:
    return textwrap.wrap(content.how_measured, 130)


def _wrapped(fact: str) -> list[str]:
    return textwrap.wrap(fact, _COLUMNS) or [""]
