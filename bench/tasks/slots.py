"""Short requests -> slots: restaurant8k, by the data's own split.

    python bench/tasks/slots.py [--data ../shared/data/tasks/extraction] [--test] [--seed 0]

Without --test: left-out thirds of the training part, copies of a text on one side; choices are made on that. --test
fits and certifies on the training part (texts that also stand in the test part are left out) and reports on the test
part. What the assistant had asked for stands above each request as a quoted line.

F1 is micro, strict: a slot counts where its text is the wanted text, character for character, blanks at the ends apart.
The data give texts and no places. Intervals resample requests (2,000 draws, 95%). Beside it: the training values as a
dictionary, and patterns written by hand.

Writes bench/out/slots.json. About three minutes on a quiet core.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from smallfirst.tasks.certify import Certified
from smallfirst.tasks.extract.fit import Wanted, fit_extract, part
from smallfirst.tasks.extract.fit_field import folds
from smallfirst.tasks.extract.labelled import Labelled
from smallfirst.tasks.extract.model import Extractor, encode
from smallfirst.tasks.extract.schema import Field, Schema
from smallfirst.tasks.extract.tagger import Tagger
from smallfirst.tasks.extract.tagging import train_chain
from smallfirst.tasks.triage.rows import read_records

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "tasks" / "extraction"
NAMES = ("people", "date", "time", "first_name", "last_name")
SCHEMA = Schema("booking", tuple(Field(name, required=False) for name in NAMES))
GOAL, SURE = 0.97, 0.95
DRAWS = 2000
Said = dict[str, str]
out = Console(width=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--test", action="store_true", help="look at the test part")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"{args.data} is not there: this program needs the recorded task data")
    train, test = read(args.data, "train"), read(args.data, "test")
    found = tested(train, test, args.seed) if args.test else left_out(train, args.seed)
    written = HERE / "out" / "slots.json"
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    written.parent.mkdir(exist_ok=True)
    kept = json.loads(written.read_text())["found"] if written.exists() else {}
    said = {"command": " ".join(sys.argv), "commit": commit.stdout.strip(), "seed": args.seed, "found": kept | found}
    written.write_text(json.dumps(said, indent=1))
    out.print(f"written to {written.relative_to(HERE.parent)}")


def read(folder: Path, split: str) -> list[Labelled]:
    """Requests of one part, grouped by their text; an empty slot is a slot without a value."""
    rows = []
    for at, record in read_records(folder / "restaurant8k_slots.parquet"):
        if record["split"] != split:
            continue
        asked, text = record["requested_slots"].replace("|", " "), record["document_text"]
        said = json.loads(record["json_fields"])
        values = {name: (" ".join(said[name].split()),) if name in said else () for name in NAMES}
        rows.append(Labelled(f"> {asked}\n{text}" if asked else text, values, plain(text), at))
    return rows


def plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def left_out(rows: list[Labelled], seed: int) -> dict[str, object]:
    """F1 of chains that never saw the request's text, uncalibrated, at a cut of one half."""
    fold = folds([row.group for row in rows], seed, 3)
    said: dict[int, Said] = {}
    for one in range(3):
        weights = train_chain(SCHEMA.fields, [row for row, at in zip(rows, fold, strict=True) if at != one])
        taggers = {field.name: Tagger(field, weights) for field in SCHEMA.fields}
        for n in np.flatnonzero(fold == one).tolist():
            values = {name: tagger.find(rows[n].text) for name, tagger in taggers.items()}
            said[n] = {name: found[0].text for name, found in values.items() if found and found[0].confidence >= 0.4}
        f1 = score(counts([said[n] for n in sorted(said)], [rows[n] for n in sorted(said)]))
        out.print(f"{one + 1} of 3 thirds: F1 {f1:.4f} over {len(said)} requests")
    every = counts([said[n] for n in range(len(rows))], rows)
    out.print(f"left-out thirds: F1 {score(every):.4f}; " + by_slot(every))
    return {"left out": {"f1": score(every), "by slot": {name: score(every, name) for name in NAMES}}}


def tested(train: list[Labelled], test: list[Labelled], seed: int) -> dict[str, object]:
    """Fit, certify, and report on the test part."""
    apart = {row.group for row in test}
    parts = part([row for row in train if row.group not in apart], seed, test)
    began = time.process_time()
    model = fit_extract(SCHEMA, parts, Wanted(GOAL, SURE, seed=seed))
    fit_s = time.process_time() - began
    extractor = Extractor(model)
    began = time.perf_counter()
    found = [extractor.extract(row.text) for row in test]
    ms = 1000 * (time.perf_counter() - began) / len(test)
    said = [{name: values[0].text for name, values in one.fields.items() if values} for one in found]
    table = Table(
        title=f"restaurant8k: fitted on {len(parts.fit)}, certified on {len(parts.certify)}, test {len(test)}"
    )
    for heading in ("who", "F1", "95%", *NAMES):
        table.add_column(heading)
    told: dict[str, object] = {"fit s": fit_s, "ms a text": ms, "MB": len(encode(model)) / 1e6, "texts": len(test)}
    rules = {"tagger": None, "dictionary": dictionary(parts.fit), "patterns": by_hand}
    for who, rule in rules.items():
        its = said if rule is None else [rule(row.text) for row in test]
        each = counts(its, test)
        low, high = interval(each, seed)
        table.add_row(who, f"{score(each):.4f}", f"{low:.4f} .. {high:.4f}", *(f"{score(each, n):.4f}" for n in NAMES))
        told[who] = {"f1": score(each), "low": low, "high": high, "by slot": {n: score(each, n) for n in NAMES}}
    out.print(table)
    told["kept"] = kept(found, test, {name: one.certified for name, one in model.fields.items()})
    empty = [n for n, row in enumerate(test) if not any(row.values.values())]
    silent = sum(not said[n] for n in empty)
    told["without a slot"] = {"texts": len(empty), "nothing said": silent}
    out.print(
        f"{silent} of {len(empty)} requests without a slot got none; {ms:.2f} ms a text, fitted in {fit_s:.0f} s CPU"
    )
    return {"test": told}


def kept(found: Sequence, rows: Sequence[Labelled], promises: dict[str, Certified | None]) -> dict[str, object]:
    """By field: what is kept at the certified threshold, empty slots included, and how much of it is right."""
    table = Table(title=f"fields kept at {GOAL:.0%}, certified with {SURE:.0%} confidence, each field by itself")
    for heading in ("slot", "right, all kept", "promise", "kept", "of these right"):
        table.add_column(heading)
    told: dict[str, object] = {}
    for name in NAMES:
        right = np.array([agree(one, row, name) for one, row in zip(found, rows, strict=True)])
        stays = np.array([name not in one.doubtful for one in found])
        words = promises[name].explain() if promises[name] else "none"
        good = float(right[stays].mean()) if stays.any() else float("nan")
        table.add_row(name, f"{right.mean():.1%}", words, f"{stays.mean():.1%}", f"{good:.1%}")
        told[name] = {"right": float(right.mean()), "promise": words, "kept": float(stays.mean()), "kept right": good}
    whole = np.array([all(agree(one, row, name) for name in NAMES) for one, row in zip(found, rows, strict=True)])
    stays = np.array([not one.doubtful for one in found])
    told["request"] = {
        "right": float(whole.mean()),
        "kept": float(stays.mean()),
        "kept right": float(whole[stays].mean()),
    }
    table.add_row("whole request", f"{whole.mean():.1%}", "", f"{stays.mean():.1%}", f"{whole[stays].mean():.1%}")
    out.print(table)
    return told


def agree(found: msgspec.Struct, row: Labelled, name: str) -> bool:
    return tuple(" ".join(value.text.split()) for value in found.fields[name]) == row.values[name]


def counts(said: Sequence[Said], rows: Sequence[Labelled]) -> np.ndarray:
    """(requests, slots, 3): right, said and wanted."""
    made = np.zeros((len(rows), len(NAMES), 3), dtype=int)
    for n, (one, row) in enumerate(zip(said, rows, strict=True)):
        for at, name in enumerate(NAMES):
            text = " ".join(one[name].split()) if name in one else None
            made[n, at] = (text is not None and (text,) == row.values[name], text is not None, bool(row.values[name]))
    return made


def score(each: np.ndarray, name: str | None = None) -> float:
    """F1 over all slots, or of one."""
    right, said, wanted = (each if name is None else each[:, [NAMES.index(name)]]).sum((0, 1))
    return float(2 * right / max(1, said + wanted))


def interval(each: np.ndarray, seed: int) -> tuple[float, float]:
    """2.5% and 97.5% points over resamples of requests."""
    rng, by_row = np.random.default_rng(seed), each.sum(1)
    drawn = [by_row[rng.integers(0, len(by_row), len(by_row))].sum(0) for _ in range(DRAWS)]
    low, high = np.quantile([2 * right / (said + wanted) for right, said, wanted in drawn], (0.025, 0.975))
    return float(low), float(high)


def by_slot(each: np.ndarray) -> str:
    return ", ".join(f"{name} {score(each, name):.4f}" for name in NAMES)


def dictionary(rows: Sequence[Labelled]) -> Callable[[str], Said]:
    """The longest training value that stands in the text, where it was the slot's at least every second time."""
    named: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for name, values in row.values.items():
            named[name].update(value.lower() for value in values)
    texts = Counter()
    for row in rows:
        words = body(row.text).lower().split()
        texts.update(
            {" ".join(words[a:b]) for a in range(len(words)) for b in range(a + 1, min(a + 7, len(words) + 1))}
        )

    def said(text: str) -> Said:
        words = body(text).split()
        found: Said = {}
        for name in NAMES:
            for length in range(min(6, len(words)), 0, -1):
                runs = [" ".join(words[a : a + length]).strip(".,?!") for a in range(len(words) - length + 1)]
                hits = [run for run in runs if 2 * named[name][run.lower()] > max(1, texts[run.lower()])]
                if hits:
                    found[name] = hits[0]
                    break
        return found

    return said


MONTH = r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)\w*"
BY_HAND = {
    "time": r"\d{1,2}[:.]\d\d(?: ?[ap]\.?m\.?)?|\d{1,2} ?[ap]\.?m\.?|noon|midnight"
    r"|half past \w+|quarter (?:to|past) \w+",
    "date": rf"(?:\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {MONTH}|{MONTH} \d{{1,2}}(?:st|nd|rd|th)?)(?:,? \d{{4}})?"
    r"|\d{1,4}[/-]\d{1,2}[/-]\d{1,4}|today|tonight|tomorrow|(?:next |this )?(?:mon|tues|wednes|thurs|fri|satur|sun)day"
    r"|\d{1,2}(?:st|nd|rd|th)|in \w+ days",
    "people": r"(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten)(?: people| persons?| guests| adults)"
    r"|(?<=for )\d{1,2}(?= |$)|(?<=party of )\w+",
    "name": r"(?<=name is )([A-Z]\w+) ([A-Z]\w+)|(?<=under )([A-Z]\w+) ([A-Z]\w+)|(?<=I'm )([A-Z]\w+) ([A-Z]\w+)",
}
SHAPES = {name: re.compile(shape, 0 if name == "name" else re.IGNORECASE) for name, shape in BY_HAND.items()}


def by_hand(text: str) -> Said:
    """What a careful quarter of an hour with regular expressions finds."""
    request = body(text)
    found = {name: match[0] for name, shape in SHAPES.items() if name != "name" and (match := shape.search(request))}
    if match := SHAPES["name"].search(request):
        found["first_name"], found["last_name"] = (group for group in match.groups() if group)
    return found


def body(text: str) -> str:
    return text.split("\n", 1)[1] if text.startswith("> ") else text


if __name__ == "__main__":
    main()
