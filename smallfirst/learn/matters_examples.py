"""The texts on which the classifier of private matters is fitted: read, sampled, and grouped by template.

Knows the recorded files and what in them counts as private. Does not know features (matters_fit.py). Files that are for
evaluation only are never opened.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pyarrow.parquet as pq

from smallfirst.errors import DataError
from smallfirst.learn.matters_text import make_texts

PRESIDIO = ("presidio_generated_large", "presidio_synth_v2")
TELLING = frozenset(
    (
        "PERSON", "ADDRESS", "STREET_ADDRESS", "PHONE_NUMBER", "EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "US_SSN",
        "US_DRIVER_LICENSE", "IP_ADDRESS",
    )
)  # fmt: skip
"""Entities that are about somebody. Texts that name only a place, a firm or a day are left out: they are neither."""

OUTCOMES = (("zeroeval", 500), ("mmlu_pro", 300), ("llmrouter", 500), ("livecodebench", 400), ("routellm", 300))
"""Public questions and exercises, and how many of each: many name people (who have apples), none is about somebody."""


class Example(msgspec.Struct, frozen=True):
    """A text, whether it is private, where it came from, and the template that it shares with others."""

    text: str
    private: bool
    source: str
    group: str


EACH = 40
"""Texts of each of our own templates."""


def read_examples(folder: Path, seed: int) -> list[Example]:
    """All that is fitted on. Raises DataError where a file is missing."""
    found = [Example(m.text, m.private, f"made: {m.style}", m.template) for m in make_texts(EACH, seed)]
    for name in PRESIDIO:
        for row in _rows(folder / "pii" / f"{name}.parquet"):
            told = {span["type"] for span in msgspec.json.decode(row["spans"])}
            if row["has_pii"] and not told & TELLING:
                continue
            found.append(Example(row["text"], bool(row["has_pii"]), name, _template(row)))
    draw = random.Random(seed)
    for name, most in OUTCOMES:
        texts = sorted(
            {
                str(text)
                for text in pq.read_table(folder.parent / "outcomes" / f"{name}.parquet", columns=["prompt"])[
                    "prompt"
                ].to_pylist()
            }
        )
        found += [Example(t, False, name, f"{name}/{t[:80]}") for t in draw.sample(texts, min(most, len(texts)))]
    for name, column, most in (
        ("triage/clinc150_oos", "text", 1200),
        ("triage/banking77", "text", 400),
        ("rag/clapnq_dev_questions", "question", 600),
        ("rag/mtragun_questions", "question", 244),
        ("rag/clapnq_dev_passages", "text", 400),
        ("extraction/restaurant8k_slots", "document_text", 300),
        ("extraction/cuad_contracts", "document_text", 398),
    ):
        texts = sorted({_stretch(row[column], draw) for row in _rows(folder / f"{name}.parquet")})
        found += [Example(t, False, name, f"{name}/{t[:40]}") for t in draw.sample(texts, min(most, len(texts)))]
    return found


def read_vocabulary(folder: Path, without: set[str]) -> Iterator[str]:
    """Texts that are only counted for their common words: public questions, none of those that are fitted on."""
    for name, _ in OUTCOMES:
        table = pq.read_table(folder.parent / "outcomes" / f"{name}.parquet", columns=["prompt"])
        yield from sorted(set(table["prompt"].to_pylist()) - without)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such file; --data is the folder that holds pii, triage, rag and extraction"
        )
    rows: list[dict[str, str]] = pq.read_table(path).to_pylist()
    return rows


def _template(row: Mapping[str, str]) -> str:
    """What two texts of one template share: the two files number their templates apart, and use many of them both."""
    text, at, parts = row["text"], 0, []
    for span in sorted(msgspec.json.decode(row["spans"]), key=lambda one: one["start"]):
        parts.append(text[at : max(at, span["start"])])
        at = max(at, span["end"])
    parts.append(text[at:])
    return "presidio/" + " ".join(re.findall(r"[a-z]+", " ".join(parts).lower()))[:60]


def _stretch(text: str, draw: random.Random) -> str:
    """At most 400 words of a long text: a page, such as is pasted into a prompt."""
    parts = text.split(" ")
    at = draw.randrange(max(1, len(parts) - 400))
    return " ".join(parts[at : at + 400])
