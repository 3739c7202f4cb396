"""A picture of a page -> its text: straightened and cleaned first, then read by tesseract.

Knows pixels and the program `tesseract` (a process of its own for each page). Does not know what the text is for.
Columns stay apart by blanks. Needs the extra `ocr` (Pillow) and tesseract itself, which is no Python package.

Straightening: the angle at which the rows' ink varies most (Postl 1986, "Detection of linear oblique structures and
skew scan in digitized documents"). Cleaning: the paper's own shade is divided out, single specks are taken by a median,
and small pictures are enlarged, since tesseract wants letters some 30 pixels high.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from smallfirst.errors import DataError, SetupError

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
MOST_PIXELS = 100_000_000
MOST_PAGES = 200
LONGEST_S = 120.0
"""Seconds that a page may take."""

STEEPEST, COARSE, FINE = 6.0, 0.5, 0.1
"""Degrees: how far a page may lean, and the steps in which its angle is sought."""

SPECKLED = 0.002
"""Share of specks from which on a picture is filtered; the filter costs thin strokes."""

SMALLEST, MOST_ENLARGED = (600, 800), 4.0
"""Pixels across and down below which a picture is enlarged, and how much at most."""

HELP = (
    "it takes pip install 'smallfirst[ocr]' and the program tesseract (apt-get install tesseract-ocr, or brew install)"
)


def available() -> bool:
    """Whether pictures can be read here."""
    try:
        import PIL  # noqa: F401, PLC0415 - an extra
    except ImportError:
        return False
    return shutil.which("tesseract") is not None


def read_picture(data: bytes, name: str, language: str = "eng") -> str:
    """The text of each page of a picture. Raises DataError for no picture, SetupError where OCR is not here."""
    if not available():
        raise SetupError(f"{name}: a picture needs OCR; {HELP}")
    return "\n".join(read_page(page, name, language) for page in _pages(data, name))


def read_page(page: Image.Image, name: str, language: str = "eng", *, clean: bool = True) -> str:
    """The text of one page. `clean`: straighten and clean it first. Raises DataError, SetupError."""
    if page.width * page.height > MOST_PIXELS:
        raise DataError(
            f"{name}: {page.width} x {page.height} pixels; at most {MOST_PIXELS / 1e6:.0f} million are read"
        )
    ready = cleaned(page) if clean else page.convert("L")
    buffer = io.BytesIO()
    ready.save(buffer, "PNG")
    command = ["tesseract", "-", "-", "-l", language, "--psm", "4", "-c", "preserve_interword_spaces=1"]
    try:
        done = subprocess.run(
            command, input=buffer.getvalue(), capture_output=True, timeout=LONGEST_S, check=False,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        )  # fmt: skip
    except FileNotFoundError as error:
        raise SetupError(f"{name}: a picture needs OCR; {HELP}") from error
    except subprocess.TimeoutExpired:
        raise DataError(f"{name}: OCR took longer than {LONGEST_S:.0f} s a page") from None
    if done.returncode != 0:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise DataError(f"{name}: OCR failed ({words[-1] if words else done.returncode})")
    return done.stdout.decode("utf-8", "replace").replace("\f", "\n")


def cleaned(page: Image.Image) -> Image.Image:
    """Grey, large enough, straight, on white paper, without specks."""
    from PIL import Image, ImageFilter  # noqa: PLC0415 - an extra

    grey = page.convert("L")
    if specks(np.asarray(grey)) > SPECKLED:  # before it is enlarged: a speck is one pixel
        grey = grey.filter(ImageFilter.MedianFilter(3))
    if (times := max(SMALLEST[0] / grey.width, SMALLEST[1] / grey.height)) > 1:
        times = min(times, MOST_ENLARGED)
        grey = grey.resize((round(grey.width * times), round(grey.height * times)), Image.Resampling.LANCZOS)
    angle = skew(grey)
    if abs(angle) >= FINE:
        grey = grey.rotate(-angle, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
    paper = grey.filter(ImageFilter.MaxFilter(9)).filter(ImageFilter.GaussianBlur(15))
    shade = np.asarray(grey, dtype=np.float32) / np.maximum(np.asarray(paper, dtype=np.float32), 1.0)
    return Image.fromarray(np.clip(255 * shade, 0, 255).astype(np.uint8))


def specks(pixels: npt.NDArray[np.uint8]) -> float:
    """Share of pixels that differ much from all four neighbours: salt and pepper."""
    inner = pixels[1:-1, 1:-1].astype(np.int16)
    beside = (pixels[:-2, 1:-1], pixels[2:, 1:-1], pixels[1:-1, :-2], pixels[1:-1, 2:])
    apart = np.min([np.abs(inner - one) for one in beside], axis=0)
    return float((apart > 80).mean()) if apart.size else 0.0


def skew(page: Image.Image) -> float:
    """Degrees by which the lines of `page` lean, counter-clockwise; 0 for an empty one."""
    small = page.copy()
    small.thumbnail((700, 700))
    ink = _ink(np.asarray(small))
    if not len(ink):
        return 0.0
    best = 0.0
    for step, reach in ((COARSE, STEEPEST), (FINE, COARSE)):
        angles = best + np.arange(-reach, reach + step / 2, step)
        best = float(angles[int(np.argmax([_sharpness(ink, angle) for angle in angles]))])
    return round(best, 3)


def _ink(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """(n, 2) rows and columns of dark pixels."""
    dark = pixels < (float(pixels.mean()) + float(pixels.min())) / 2
    return np.argwhere(dark).astype(np.float64)


def _sharpness(ink: npt.NDArray[np.float64], degrees: float) -> float:
    """How much the ink gathers in rows when the page is turned back by `degrees`."""
    lean = np.tan(np.radians(degrees))
    rows = ink[:, 0] + lean * ink[:, 1]
    counts = np.bincount((rows - rows.min()).astype(np.intp))
    return float((counts.astype(np.float64) ** 2).sum())


def _pages(data: bytes, name: str) -> Iterator[Image.Image]:
    from PIL import Image, ImageSequence, UnidentifiedImageError  # noqa: PLC0415 - an extra

    try:
        picture = Image.open(io.BytesIO(data))
        for number, page in enumerate(ImageSequence.Iterator(picture)):
            if number == MOST_PAGES:
                raise DataError(f"{name}: more than {MOST_PAGES} pages; split it")
            yield page
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{name}: not a picture that can be opened ({error})") from None
