"""Documents -> text: every format that is named, and what can't be read says why."""

from __future__ import annotations

import pytest

from smallfirst.errors import DataError
from smallfirst.text import documents, ocr
from smallfirst.text.documents import html_text, read_document


def pdf(text: str) -> bytes:
    """The smallest PDF with a line of text."""
    stream = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    body, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % at for at in places)
    return body + b"xref\n0 6\n0000000000 65535 f \n%strailer\n<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (
        table,
        len(body),
    )


def test_pdf(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ocr, "available", lambda: False)
    pytest.importorskip("pypdfium2", reason="the extra `documents` is not installed")
    (tmp_path / "a.pdf").write_bytes(pdf("Invoice 4711"))
    assert read_document(tmp_path / "a.pdf").strip() == "Invoice 4711"
    (tmp_path / "scan.pdf").write_bytes(pdf(""))
    with pytest.raises(DataError, match="a scan"):
        read_document(tmp_path / "scan.pdf")
    (tmp_path / "b.pdf").write_bytes(b"not a pdf")
    with pytest.raises(DataError, match="not a PDF"):
        read_document(tmp_path / "b.pdf")


def test_word(tmp_path) -> None:
    docx = pytest.importorskip("docx", reason="the extra `documents` is not installed")
    made = docx.Document()
    made.add_paragraph("Dear Sir")
    made.add_table(1, 2).cell(0, 1).text = "42"
    made.save(str(tmp_path / "a.docx"))
    assert read_document(tmp_path / "a.docx").split() == ["Dear", "Sir", "42"]
    (tmp_path / "b.docx").write_bytes(b"PK not really")
    with pytest.raises(DataError, match="not a Word file"):
        read_document(tmp_path / "b.docx")


def test_encodings(tmp_path) -> None:
    file = tmp_path / "a.txt"
    for data in ("naïve".encode(), "naïve".encode("utf-8-sig"), "naïve".encode("utf-16")):
        file.write_bytes(data)
        assert read_document(file) == "naïve"
    file.write_bytes(b"fine\nna\xefve")
    with pytest.raises(DataError, match="line 2: not UTF-8"):
        read_document(file)


def test_what_is_too_large_or_unknown_is_refused(tmp_path, monkeypatch) -> None:
    (tmp_path / "a.xyz").write_text("x")
    with pytest.raises(DataError, match=r"not a format that is read here; those are \.txt"):
        read_document(tmp_path / "a.xyz")
    monkeypatch.setattr(documents, "LARGEST", 10)
    (tmp_path / "a.txt").write_text("x" * 11)
    with pytest.raises(DataError, match="split it"):
        read_document(tmp_path / "a.txt")
    with pytest.raises(DataError, match="No such file"):
        read_document(tmp_path / "gone.txt")


def test_html_is_what_a_reader_sees() -> None:
    assert html_text("<style>p{}</style><p>A &amp; B<br>C</p><script>x</script>") == "A & B C"
