"""One page about a result, that one would attach to a letter."""

from pathlib import Path

from brainmvp.errors import BrainMVPError
from brainmvp.files import atomically, write_text
from brainmvp.onepage.content import content_of
from brainmvp.onepage.figure import draw_planes
from brainmvp.onepage.html import render_html
from brainmvp.onepage.pdf import write_pdf
from brainmvp.segmentation import Segmentation

PAGE_SUFFIXES = (".html", ".pdf")


def write_page(result: Segmentation, path: str | Path) -> Path:
    """Write the page of a result as `.html` (nothing else needed to open it) or `.pdf`, and return the path.

    Raises `BrainMVPError` for another ending.
    """
    path = Path(path)
    if path.suffix.lower() not in PAGE_SUFFIXES:
        raise BrainMVPError(f"{path} must end in {' or '.join(PAGE_SUFFIXES)}.")
    content, figure = content_of(result), draw_planes(result)
    if path.suffix.lower() == ".pdf":
        atomically(path, lambda temporary: write_pdf(content, figure, temporary))
    else:
        write_text(path, render_html(content, figure))
    return path
