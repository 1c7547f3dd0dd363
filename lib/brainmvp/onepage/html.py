"""The page as one HTML file that needs nothing else."""

import base64
from html import escape
from importlib import resources
from string import Template

from brainmvp.millilitres import written_ml
from brainmvp.onepage.content import Content, Row


def render_html(content: Content, figure: bytes) -> str:
    """Return the page; figure: a PNG."""
    template = Template(resources.files("brainmvp.onepage").joinpath("template.html").read_text("utf-8"))
    words = {
        name: escape(getattr(content, name))
        for name in ("study", "title", "made", "model", "how_measured", "notice")
    }
    return template.substitute(
        words,
        figure=base64.b64encode(figure).decode("ascii"),
        rows="\n".join(map(_row, [*content.regions, *content.parts])),
        facts="\n".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in content.facts),
    )


def _row(row: Row) -> str:
    swatch = ""
    if row.colour:
        swatch = f'<span class="swatch" style="background:rgb{row.colour}"></span>'
    size = f"{row.diameters[0]:.0f} x {row.diameters[1]:.0f}" if row.diameters else ""
    return (
        f"<tr><td>{swatch}{escape(row.name)}</td>"
        f'<td class="number">{escape(written_ml(row.volume_ml))}</td><td class="number">{size}</td></tr>'
    )
