"""A file -> its text: .txt, .md, .html, .eml, .pdf, .docx, and pictures of pages.

Knows formats. Does not know what the text is for. Encodings: UTF-8 with or without a mark, UTF-16 with one; anything
else is refused, never guessed. A scanned PDF has no text: its pages are read by OCR where that is installed, and else
that is said, and not taken for an empty document.

PDF and Word need the extra `documents` (pypdfium2, python-docx), pictures the extra `ocr` and tesseract (ocr.py).
"""

from __future__ import annotations

import codecs
import io
import zipfile
from collections.abc import Callable
from email import policy
from email.parser import BytesParser
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from smallfirst.errors import DataError, SetupError
from smallfirst.text import ocr

LARGEST = 100_000_000
"""Bytes of a file; a larger one is refused."""

SCAN = 200 / 72
"""Scanned pages are drawn at 200 dots an inch."""

MISSING = "reading {} needs {}: pip install 'smallfirst[documents]'"


def read_document(path: Path) -> str:
    """The text of `path`. Raises DataError that names the file and what to do, SetupError without the extra."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: not a format that is read here; those are {', '.join(READERS)}")
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    if size > LARGEST:
        raise DataError(f"{path}: {size / 1e6:.0f} MB; files of up to {LARGEST / 1e6:.0f} MB are read: split it")
    text = reader(path)
    if not text.strip():
        raise DataError(f"{path}: there is no text in it{_scanned(path.suffix.lower())}")
    return text


def read_sent(data: bytes, name: str) -> str:
    """The text of a document that came as bytes; the ending of `name` says what it is. Nothing is written to disk.

    Raises as read_document does.
    """
    sent: Any = Sent(name, data)
    reader = READERS.get(sent.suffix)
    if reader is None:
        raise DataError(f"{name}: not a format that is read here; those are {', '.join(READERS)}")
    if (size := sent.unpacked()) > LARGEST:
        raise DataError(f"{name}: {size / 1e6:.0f} MB; documents of up to {LARGEST / 1e6:.0f} MB are read: split it")
    text = reader(sent)
    if not text.strip():
        raise DataError(f"{name}: there is no text in it{_scanned(sent.suffix)}")
    return text


class Sent:
    """Bytes that are read as a Path is by the readers below."""

    def __init__(self, name: str, data: bytes) -> None:
        self._name, self._data = name, data
        self.suffix = Path(name).suffix.lower()

    def __str__(self) -> str:
        return self._name

    def read_bytes(self) -> bytes:
        return self._data

    def unpacked(self) -> int:
        """Bytes; of a Word file, which is a zip, what it unpacks to."""
        if self.suffix != ".docx":
            return len(self._data)
        try:
            with zipfile.ZipFile(io.BytesIO(self._data)) as packed:
                return sum(one.file_size for one in packed.infolist())
        except zipfile.BadZipFile as error:
            raise DataError(f"{self._name}: not a Word file ({error})") from None


def decode(data: bytes, name: str) -> str:
    """Bytes of a text file as text. Raises DataError with the line of the first byte that is wrong."""
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{name}, line {line}: not UTF-8; convert it (iconv -t utf-8)") from None


def html_text(markup: str) -> str:
    """The words a reader sees; scripts and styles are left out."""
    words = _Words()
    words.feed(markup)
    words.close()
    return " ".join("".join(words.parts).split())


class _Words(HTMLParser):
    """Collects text, with a blank at each tag."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the base class's
        self._hidden += tag in {"script", "style"}
        self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in {"script", "style"} and self._hidden > 0
        self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def _plain(path: Path) -> str:
    return decode(path.read_bytes(), str(path))


def _html(path: Path) -> str:
    return html_text(_plain(path))


def _mail(path: Path) -> str:
    """Subject and body; the plain part where there is one. Attachments are not read."""
    message = BytesParser(policy=policy.default).parsebytes(path.read_bytes())
    body = message.get_body(preferencelist=("plain", "html"))
    try:
        text = "" if body is None else str(body.get_content())
    except (LookupError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: its body can't be decoded ({error})") from None
    if body is not None and body.get_content_subtype() == "html":
        text = html_text(text)
    return f"{message.get('subject', '')}\n{text}".strip()


def _pdf(path: Path) -> str:
    try:
        import pypdfium2  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SetupError(MISSING.format("PDF", "pypdfium2")) from error
    try:
        document = pypdfium2.PdfDocument(path.read_bytes())
    except pypdfium2.PdfiumError as error:
        raise DataError(f"{path}: not a PDF that can be opened ({error})") from None
    try:
        text = "\n".join(page.get_textpage().get_text_bounded() for page in document)
        return text if text.strip() or not ocr.available() else _scan(document, str(path))
    finally:
        document.close()


def _scan(document: Any, name: str) -> str:
    """The pages as pictures, read by OCR."""
    if len(document) > ocr.MOST_PAGES:
        raise DataError(f"{name}: a scan of {len(document)} pages; up to {ocr.MOST_PAGES} are read: split it")
    return "\n".join(ocr.read_page(page.render(scale=SCAN).to_pil(), name) for page in document)


def _picture(path: Path) -> str:
    return ocr.read_picture(path.read_bytes(), str(path))


def _scanned(suffix: str) -> str:
    """What a file without text may be."""
    if suffix in ocr.ENDINGS:
        return " that OCR can read"
    if suffix != ".pdf":
        return ""
    return " (a scan, and OCR finds none either)" if ocr.available() else f" (a scan? {ocr.HELP})"


def _word(path: Path) -> str:
    try:
        import docx  # noqa: PLC0415 - an extra
        from docx.opc.exceptions import PackageNotFoundError  # noqa: PLC0415
    except ImportError as error:
        raise SetupError(MISSING.format("Word files", "python-docx")) from error
    try:
        document = docx.Document(io.BytesIO(path.read_bytes()))
    except (PackageNotFoundError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise DataError(f"{path}: not a Word file ({error})") from None
    cells = (cell.text for table in document.tables for row in table.rows for cell in row.cells)
    return "\n".join([*(paragraph.text for paragraph in document.paragraphs), *cells])


READERS: dict[str, Callable[[Path], str]] = {
    ".txt": _plain,
    ".md": _plain,
    ".html": _html,
    ".htm": _html,
    ".eml": _mail,
    ".pdf": _pdf,
    ".docx": _word,
    **dict.fromkeys(ocr.ENDINGS, _picture),
}
"""By file ending."""
