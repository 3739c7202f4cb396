"""swaps.json -> claims with evidence: what the judge of groundedness is fitted and measured on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from passages import DATA, FITTED, HERE, part_of, read
from rich.progress import track

from smallfirst.tasks.kb.grounded import claims_of
from smallfirst.tasks.kb.grounded_evidence import Source, evidence
from smallfirst.tasks.kb.rarity import Rarity
from smallfirst.tasks.kb.sentences import split_sentences
from smallfirst.text.embedder import Embedder

SWAPS = HERE / "out" / "swaps.json"


@dataclass
class Judged:
    """An answer with a row of evidence for each claim. `wrong` tells which claims were changed."""

    base: str
    group: str
    part: str
    kind: str
    answer: str
    passages: list[str]
    rows: list[dict[str, float]]
    wrong: list[bool]


def judged(
    folder: Path, seed: int, rarity: Rarity, embedder: Embedder | None, keep: Callable[[str], bool]
) -> list[Judged]:
    """All answers of the parts that `keep` accepts. Ends the program when swaps.json is not there."""
    if not SWAPS.exists():
        sys.exit(f"{SWAPS} is not there: run bench/tasks/swaps.py first")
    texts = {name: read(folder, name).texts for name in FITTED}
    swaps = [row for row in json.loads(SWAPS.read_text()) if keep(part_of(row["group"], seed))]
    true = {
        (row["base"], row["group"], row["question"]): {s.text for s in split_sentences(row["answer"])}
        for row in swaps if row["kind"] == "gold"
    }  # fmt: skip
    made, known, source = [], {}, (None, None)
    for row in track(swaps, "claims", transient=True):
        passages = [texts[row["base"]][at] for at in row["passages"]]
        place = (row["base"], *row["passages"])
        if source[0] != place:
            source = (place, Source(passages, embedder))
        rows, wrong = [], []
        for sentence in claims_of(row["answer"]):
            key = (place, sentence.text)
            if key not in known:
                known[key] = evidence(sentence.text, source[1], rarity)
            rows.append(known[key])
            own = true[row["base"], row["group"], row["question"]]
            wrong.append(row["kind"] == "other passages" or (row["kind"] != "gold" and sentence.text not in own))
        if rows:
            part = part_of(row["group"], seed)
            made.append(Judged(row["base"], row["group"], part, row["kind"], row["answer"], passages, rows, wrong))
    return made


__all__ = ["DATA", "Judged", "judged"]
