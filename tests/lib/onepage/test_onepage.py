"""The page says what was found, from what, and that it is no medical device."""

import re
from dataclasses import replace
from html import escape
from io import BytesIO

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure

from brainmvp import fonts
from brainmvp.card import NOTICE
from brainmvp.errors import BrainMVPError
from brainmvp.millilitres import written_change, written_ml
from brainmvp.modelstore import ModelStore
from brainmvp.onepage import write_page
from brainmvp.onepage.content import Content, Row, content_of
from brainmvp.onepage.diameters import HOW_MEASURED
from brainmvp.onepage.pdf import lay_out
from brainmvp.segment import Segmenter
from brainmvp.study import Study
from brainmvp.volume import Volume


@pytest.fixture
def result(tiny_models, write_study):
    segmenter = Segmenter.load("tumour", device="cpu", store=ModelStore(tiny_models))
    return segmenter.segment(Study.from_folder(write_study("p<1>", "T1CE FLAIR")))


def test_the_html_page_holds_the_facts_and_needs_nothing_else(result, tmp_path):
    text = write_page(result, tmp_path / "page.html").read_text("utf-8")
    assert "p&lt;1&gt;" in text and "<1>" not in text
    assert "Not a medical device" in text and result.model in text
    assert re.search(r"Missing</th><td>T1, T2<", text)
    assert (
        "Scanned</th><td>date unknown<" in text
        and f"Folder</th><td>{escape(str(result.study.folder))}<" in text
    )
    assert f"{result.regions_ml['WT']:.1f}" in text
    assert "<td>Whole tumour (with oedema)</td>" in text and " x " in text
    assert "data:image/png;base64," in text and "http" not in text


def test_the_pdf_page_is_one_page(result, tmp_path):
    content = write_page(result, tmp_path / "page.pdf").read_bytes()
    assert (
        content.startswith(b"%PDF") and content.count(b"/Type /Page\n") + content.count(b"/Type /Page ") == 1
    )


@pytest.mark.parametrize("notes", [0, 4, 12, 20])
def test_no_line_of_the_pdf_page_is_lost_however_many_notes_there_are(notes):
    note = "T1CE: its header contradicts itself, contrast agent in the header, but “t1 nativ”"
    content = Content(
        "p", "Brain tumour", "2026-01-01", "tumour@1",
        [Row("Whole tumour", 100, None, (50, 40)), Row("Tumour core", 50), Row("Enhancing tumour", 20)],
        [Row("Oedema", 50, (1, 2, 3)), Row("Necrosis", 30, (1, 2, 3)), Row("Enhancing", 20, (4, 5, 6))],
        [("Missing", "none")] * 7 + [("Notes", note)] * notes, HOW_MEASURED, NOTICE,
    )  # fmt: skip
    figure = BytesIO()
    Figure(figsize=(9, 6.6)).savefig(figure, dpi=30)
    page = lay_out(content, figure.getvalue())
    assert min(text.get_position()[1] for text in page.texts) > 0.019
    assert page.axes[0].get_position().height == pytest.approx(0.446, abs=0.01) or notes > 4


def test_a_chinese_name_is_drawn_where_a_font_has_it_and_told_where_none_has(
    result, tmp_path, monkeypatch, recwarn
):
    result = replace(result, study=replace(result.study, id="张三"))
    monkeypatch.setattr(fonts, "_families", lambda: ("DejaVu Sans",))
    write_page(result, tmp_path / "boxes.pdf")
    assert fonts.undrawn("Müller 张三张") == "三张"
    monkeypatch.setattr(fonts, "_families", lambda: ("DejaVu Sans", "Two Letters"))
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist])
    font_manager.fontManager.addfont(two_letters(tmp_path / "two.ttf", "张三"))
    page = write_page(result, tmp_path / "page.pdf").read_bytes()
    assert fonts.undrawn("Müller 张三张") == "" and b"TwoLetters" in page
    assert not [str(one.message) for one in recwarn if "Glyph" in str(one.message)]


def two_letters(path, letters):
    """Write a font that has these letters, as squares."""
    pen = TTGlyphPen(None)
    for move, point in zip(
        ("moveTo", *["lineTo"] * 3), ((0, 0), (0, 700), (700, 700), (700, 0)), strict=True
    ):
        getattr(pen, move)(point)
    pen.closePath()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "square"])
    font.setupCharacterMap({ord(letter): "square" for letter in letters})
    font.setupGlyf(dict.fromkeys([".notdef", "square"], pen.glyph()))
    font.setupHorizontalMetrics({".notdef": (800, 0), "square": (800, 0)})
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Two Letters", "styleName": "Regular", "psName": "TwoLetters"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return path


@pytest.mark.parametrize(
    ("volume", "text"),
    [(0, "0.00"), (0.003, "<0.01"), (0.036, "0.04"), (0.996, "1.00"), (1, "1.0"), (9.96, "10.0")],
)
def test_a_small_volume_has_two_decimals(volume, text):
    assert written_ml(volume) == text
    plus, minus = ("", "") if text.startswith("<") else ("+", "-")
    assert written_change(volume) == plus + text and (not volume or written_change(-volume) == minus + text)


def test_an_infarct_is_one_row_with_its_colour(tiny_models, write_study):
    segmenter = Segmenter.load("stroke", device="cpu", store=ModelStore(tiny_models))
    content = content_of(segmenter.segment(Study.from_folder(write_study("p", "DWI ADC"))))
    assert [row.name for row in content.regions] == ["Infarct"] and not content.parts
    assert content.regions[0].colour == (230, 80, 60)


def test_what_is_known_of_the_series_stands_on_the_page(result, monkeypatch):
    assert "Notes" not in dict(content_of(replace(result, used=result.task.sequences)).facts)
    monkeypatch.setattr(Study, "notes", lambda self, used: [f"{used[0]}: slices may be missing", "and more"])
    notes = dict(content_of(result).facts)["Notes"]
    assert notes.startswith("without T1, what was bright before")
    assert notes.endswith(f"; {result.used[0]}: slices may be missing; and more")


def test_what_is_too_small_to_be_marked_stands_on_the_page(result):
    assert "Not marked" not in dict(content_of(replace(result, minimum_lesion_ml=0.0)).facts)
    assert (
        dict(content_of(replace(result, minimum_lesion_ml=0.1)).facts)["Not marked"]
        == "findings below 0.1 mL"
    )


@pytest.mark.parametrize(
    ("unsure", "note", "of_it"),
    [
        (0.0, "nothing is marked: that is no proof of absence", "nothing is marked and nothing is likely"),
        (
            0.8,
            "nothing is marked, though something might be there: that is no proof of absence",
            "0.80 where something might be there (0: sure, 1: a toss-up)",
        ),
    ],
)
def test_nothing_marked_is_told_as_no_proof_of_absence(result, unsure, note, of_it):
    assert not any("absence" in note for note in result.notes)
    nothing = np.zeros_like(result.labels.data)
    uncertainty = nothing.astype(np.float32)
    uncertainty[3:5, 3:5, 3:5] = unsure
    empty = replace(result, labels=Volume(nothing, result.labels.affine), uncertainty=uncertainty)
    report = empty.report()
    assert report["notes"][0] == note and report["notice"] == NOTICE
    assert (report["mean_uncertainty"] is None) == (unsure == 0)
    facts = dict(content_of(empty).facts)
    assert facts["Mean uncertainty"] == of_it and note in facts["Notes"]


def test_another_ending_is_refused(result, tmp_path):
    with pytest.raises(BrainMVPError, match=r"must end in \.html or \.pdf"):
        write_page(result, tmp_path / "page.docx")
