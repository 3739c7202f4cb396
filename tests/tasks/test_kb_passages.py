"""Cutting: every passage is the document's own words, nothing is lost, headings are kept above."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from smallfirst.tasks.kb.passages import LONG, WINDOW, split, windows

HANDBOOK = """Before any heading.

# Leave

## Annual leave

27 days. Ask your team lead.

```
# not a heading
```

## Sick leave ##

Tell us before 9:30.
"""


def test_titles_hold_the_headings_above_and_offsets_give_the_words_back() -> None:
    pieces = split(HANDBOOK, "handbook")
    assert [piece.title for piece in pieces] == ["handbook", "Leave > Annual leave", "Leave > Sick leave"]
    assert all(HANDBOOK[piece.start : piece.end] == piece.text for piece in pieces)
    assert "# not a heading" in pieces[1].text
    assert pieces[2].text == "Tell us before 9:30."


def test_a_long_paragraph_is_cut_at_sentences_and_the_last_one_is_repeated() -> None:
    text = " ".join(f"Sentence number {n} says that shelf {n} holds the spare parts of machine {n}." for n in range(60))
    pieces = split(text, "shelves")
    assert len(pieces) > 3
    for before, after in pairwise(pieces):
        assert before.text.endswith(".")
        assert after.text.startswith("Sentence number")
        assert before.start < after.start < before.end < after.end


def test_a_passage_ends_with_a_paragraph_where_one_ends_late_enough() -> None:
    text = f"{'First words. ' * 50}\n\n{'Second words. ' * 60}"
    assert split(text, "two")[0].text == ("First words. " * 50).strip()


@given(st.text(alphabet="ab. \n#\r\u2028é", max_size=3000), st.integers(1, 4))
def test_nothing_but_headings_and_blanks_is_lost_and_no_passage_is_too_long(text, times) -> None:
    text *= times
    pieces = split(text, "any")
    covered = set()
    for piece in pieces:
        assert piece.text == text[piece.start : piece.end] != ""
        assert len(piece.text) <= LONG
        covered.update(range(piece.start, piece.end))
    at = 0
    for line in text.splitlines(keepends=True):
        if not line.lstrip(" ").startswith("#"):
            assert all(n in covered for n in range(at, at + len(line)) if not text[n].isspace())
        at += len(line)


@given(st.text(alphabet="ab. \n", min_size=1, max_size=3000), st.text(alphabet="t", max_size=300))
def test_windows_hold_the_whole_passage_under_its_title(text, title) -> None:
    found = windows(title, text)
    assert all(len(window) <= WINDOW for window in found)
    bodies = "".join(window.partition("\n")[2] if title else window for window in found)
    assert "".join(bodies.split()) == "".join(text.split())
