"""The fonts of pictures and pages: a patient's folder may be named in Chinese, Japanese or Korean."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from matplotlib import rc_context
from matplotlib.font_manager import findfont, fontManager, get_font

_FIRST = "DejaVu Sans"  # comes with Matplotlib
# What Windows, macOS and Linux have beside it.
_OTHERS = (
    "Microsoft YaHei", "SimHei", "Yu Gothic", "Malgun Gothic",
    "PingFang SC", "Hiragino Sans GB", "Heiti TC", "Apple SD Gothic Neo", "Arial Unicode MS",
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
)  # fmt: skip


@contextmanager
def fonts() -> Iterator[None]:
    """Draw in the block with all fonts that names may need; `undrawn` says what none of them has."""
    with rc_context({"font.family": list(_families())}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def undrawn(text: str) -> str:
    """Return the characters of a text that no font here has, each once: a picture shows boxes for them."""
    strange = sorted({letter for letter in text if not letter.isascii()})
    faces = [get_font(findfont(family)) for family in _families()] if strange else []
    return "".join(
        letter for letter in strange if not any(face.get_char_index(ord(letter)) for face in faces)
    )


@cache
def _families() -> tuple[str, ...]:
    there = {font.name for font in fontManager.ttflist}
    return (_FIRST, *(family for family in _OTHERS if family in there))
