"""Pictures -> text. Straightening and cleaning need Pillow alone; reading needs tesseract, and is skipped without."""

from __future__ import annotations

import io

import numpy as np
import pytest

from smallfirst.errors import DataError, SetupError
from smallfirst.text import documents, ocr
from smallfirst.text.documents import read_document
from tests.text.test_documents import pdf

PIL = pytest.importorskip("PIL", reason="the extra `ocr` is not installed")
from PIL import Image, ImageDraw, ImageFont  # noqa: E402

LINES = ["ACME Stationery Ltd", "12 High Street", "Order no: 4711", "Total due\tEUR 120.00"]
needs_tesseract = pytest.mark.skipif(not ocr.available(), reason="the program tesseract is not installed")


def page(lean: float = 0.0, noise: float = 0.0, shade: bool = False) -> Image.Image:
    """LINES on paper: leaning by degrees, with a share of specks, with a shadow over one side."""
    picture = Image.new("L", (700, 420), 255)
    draw = ImageDraw.Draw(picture)
    for n, line in enumerate(LINES):
        for column, cell in enumerate(line.split("\t")):
            draw.text((60 + 360 * column, 60 + 70 * n), cell, fill=20, font=ImageFont.load_default(36))
    picture = picture.rotate(lean, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
    pixels = np.asarray(picture).astype(np.float64)
    if shade:
        pixels *= np.linspace(1.0, 0.35, pixels.shape[1])[None, :]
    rng = np.random.default_rng(0)
    pixels[rng.random(pixels.shape) < noise] = 0
    return Image.fromarray(pixels.astype(np.uint8))


def saved(picture: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("lean", [-4.0, -1.3, 0.0, 2.5, 5.0])
def test_the_angle_of_a_page(lean) -> None:
    assert ocr.skew(page(lean)) == pytest.approx(lean, abs=0.3)
    assert ocr.skew(ocr.cleaned(page(lean))) == pytest.approx(0.0, abs=0.3)


def test_a_page_without_ink_leans_nowhere() -> None:
    assert ocr.skew(Image.new("L", (300, 300), 255)) == pytest.approx(0.0, abs=ocr.STEEPEST)
    assert ocr.cleaned(Image.new("L", (300, 300), 255)).width >= 300


def test_cleaning_takes_specks_and_shadows() -> None:
    dirty = page(noise=0.02, shade=True)
    assert ocr.specks(np.asarray(dirty)) > 0.005
    clean = np.asarray(ocr.cleaned(dirty))
    assert ocr.specks(clean) < 0.001
    white = [(pixels > 240).mean() for pixels in (np.asarray(dirty), clean)]
    assert white[0] < 0.2
    assert white[1] > 0.8  # the paper is white again


@needs_tesseract
def test_a_bad_picture_is_read(tmp_path) -> None:
    (tmp_path / "bad.png").write_bytes(saved(page(2.5, 0.02, shade=True)))
    text = read_document(tmp_path / "bad.png")
    assert [word for word in ("ACME", "12 High Street", "4711", "120.00") if word not in text] == []
    assert "  EUR" in text  # columns stay apart


@needs_tesseract
def test_a_scanned_pdf_is_read(tmp_path, monkeypatch) -> None:
    pytest.importorskip("pypdfium2", reason="the extra `documents` is not installed")
    (tmp_path / "scan.pdf").write_bytes(saved(page(), "PDF"))
    assert "4711" in read_document(tmp_path / "scan.pdf")
    with pytest.raises(DataError, match="OCR failed"):
        ocr.read_page(page(), "x.png", language="nowhere")
    monkeypatch.setattr(ocr, "read_page", lambda *_: " ")
    (tmp_path / "blank.pdf").write_bytes(pdf(""))
    with pytest.raises(DataError, match="OCR finds none either"):
        read_document(tmp_path / "blank.pdf")


def test_without_the_program_it_says_what_to_install(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a.png").write_bytes(saved(page()))
    with pytest.raises(SetupError, match=r"a.png: a picture needs OCR; .*apt-get install tesseract-ocr"):
        read_document(tmp_path / "a.png")
    with pytest.raises(SetupError, match="a picture needs OCR"):
        ocr.read_page(page(), "a.png")


def test_what_is_no_picture(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ocr, "available", lambda: True)
    (tmp_path / "a.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"a\.png: not a picture that can be opened"):
        read_document(tmp_path / "a.png")
    monkeypatch.setattr(ocr, "MOST_PIXELS", 1000)
    with pytest.raises(DataError, match="700 x 420 pixels"):
        documents.read_sent(saved(page()), "b.png")
