"""Extraction on public receipts: what a small local ranker finds, what it may keep, and simple rules beside it.

    python bench/tasks/extraction.py [--data ../shared/data/tasks/extraction] [--test] [--seed 0]

SROIE, by the split by vendor that the data bring: fitted on its training part alone, inside this program; nothing of it
is shipped. Without --test only left-out fifths of the training part are reported, whole vendors left out: that is what
choices are made on. --test looks at the test part.

"Letters and digits": the value agrees in its letters and digits (names, addresses), its day, its amount. "Verbatim":
in every character, blanks apart. Intervals resample vendors (2,000 draws, 95%). The threshold is the laxest on the
left-out fifths that keeps 97% right in four of five resamples of vendors. It is not certified: vendors are too few.

Writes bench/out/extraction_sroie.json. Some minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from smallfirst.tasks.extract.fit_field import Fitted, agree, fit_field
from smallfirst.tasks.extract.labelled import Columns, Labelled, read_labelled
from smallfirst.tasks.extract.mentions import find_mentions
from smallfirst.tasks.extract.model import FORMAT, ExtractModel, Extractor
from smallfirst.tasks.extract.names import loose
from smallfirst.tasks.extract.normal import normalise
from smallfirst.tasks.extract.patterns import Patterns
from smallfirst.tasks.extract.schema import Field, Schema, parse_schema
from smallfirst.tasks.extract.values import Value
from smallfirst.tasks.triage.rows import read_records

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "tasks" / "extraction"
SCHEMA = b"""
name: receipt
fields:
  company: {type: name}
  date: {type: date, order: dmy, labels: [date]}
  address: {type: address}
  total: {type: money, currency: MYR, labels: [total, nett total, amount due]}
"""
GOAL, SAFE = 0.97, 0.8
DRAWS = 2000
out = Console(width=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--test", action="store_true", help="look at the test part")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"{args.data} is not there: this program needs the recorded task data")
    schema = parse_schema(SCHEMA)
    train, _ = read(args.data, schema, "train")
    fitted, rows = {}, {}
    for field in track(schema.fields, "fitting", console=out, transient=True):
        rows[field.name] = [row for row in train if field.name in row.values]
        fitted[field.name] = fit_field(field, rows[field.name], args.seed, GOAL)
    told = left_out_report(fitted, rows, args.seed)
    found: dict[str, object] = {"left out": told}
    if args.test:
        model = ExtractModel(FORMAT, schema, {name: one.model for name, one in fitted.items()})
        found["test"] = test_report(model, *read(args.data, schema, "test"), told["threshold"], args.seed)
    write(found, args.seed)


def read(folder: Path, schema: Schema, split: str) -> tuple[list[Labelled], list[dict[str, str]]]:
    """(receipts of one part, grouped by vendor; their values as the data write them)."""
    file = folder / "sroie_receipts.parquet"
    rows, left_out = read_labelled(file, schema, Columns("document_text", "json_fields"), ("split", split))
    gold = [json.loads(record["json_fields"]) for _, record in read_records(file) if record["split"] == split]
    for words in left_out:
        out.print(f"left out: {words}", style="dim")
    vendors = [loose(values["company"]) for values in gold]
    return [msgspec.structs.replace(row, group=vendor) for row, vendor in zip(rows, vendors, strict=True)], gold


def left_out_report(fitted: dict[str, Fitted], rows: dict[str, list[Labelled]], seed: int) -> dict[str, object]:
    """What the left-out fifths of the training part say, and the threshold that they suggest."""
    table = table_of("left-out fifths of the training part, vendors left out whole")
    told: dict[str, object] = {}
    for name, one in fitted.items():
        groups = [row.group for row in rows[name]]
        told[name] = share = interval(one.right, groups, seed)
        table.add_row(name, "ranker", shown(share), "", str(len(groups)), f"{by_vendor(one.right, groups):.1%}")
    right = np.concatenate([one.right for one in fitted.values()])
    sure = np.concatenate([one.sure for one in fitted.values()])
    groups = [row.group for name in fitted for row in rows[name]]
    threshold = lax_threshold(right, sure, groups, seed)
    kept = sure >= threshold
    out.print(table)
    good = float(right[kept].mean())
    out.print(f"threshold {threshold:.3f}: keeps {kept.mean():.1%} of the fields, {good:.1%} of those right")
    return {"fields": told, "threshold": threshold, "kept": float(kept.mean()), "kept right": good}


def test_report(
    model: ExtractModel, rows: list[Labelled], gold: list[dict[str, str]], threshold: float, seed: int
) -> dict[str, object]:
    """The test part: the ranker, simple rules and the patterns beside it, what is kept, how long it takes."""
    extractor = Extractor(model)
    began = time.process_time()
    said = [extractor.extract(row.text) for row in rows]
    spent = 1000 * (time.process_time() - began) / len(rows)
    groups = [row.group for row in rows]
    table = table_of(f"test part: {len(rows)} receipts of {len(set(groups))} vendors")
    told: dict[str, object] = {
        "ms of processor time a document": spent,
        "documents": len(rows),
        "vendors": len(set(groups)),
    }
    ranked: dict[str, tuple[np.ndarray, np.ndarray, list[str]]] = {}
    for field in model.schema.fields:
        answers = {"ranker": [list(one.fields[field.name]) for one in said]}
        answers |= {who: [rule(field, row.text) for row in rows] for who, rule in RULES.items()}
        wanted = [row.values.get(field.name) for row in rows]  # None: can't be read, so nobody is right
        for who, values in answers.items():
            both = list(zip(values, wanted, strict=True))
            right = np.array([meant is not None and agree(field, one[:1], meant) for one, meant in both])
            exact = np.array(
                [verbatim(field, one, row.get(field.name, "")) for one, row in zip(values, gold, strict=True)]
            )
            share = interval(right, groups, seed)
            told[f"{field.name}, {who}"] = {"letters and digits": share, "verbatim": interval(exact, groups, seed)}
            table.add_row(
                field.name, who, shown(share), f"{exact.mean():.1%}", str(len(rows)), f"{by_vendor(right, groups):.1%}"
            )
            if who == "ranker":
                ranked[field.name] = right, np.array([one.sure[field.name] for one in said]), groups
        there = [
            " ".join(row[field.name].split()) in " ".join(one.text.split()) for row, one in zip(gold, rows, strict=True)
        ]
        told[f"{field.name}, in the source verbatim"] = float(np.mean(there))
        table.add_row(field.name, "[dim]verbatim in the source[/dim]", "", f"{np.mean(there):.1%}", str(len(rows)), "")
    out.print(table)
    told["kept"] = kept_report(ranked, threshold, seed)
    out.print(f"{spent:.1f} ms of processor time a document")
    return told


def kept_report(
    ranked: dict[str, tuple[np.ndarray, np.ndarray, list[str]]], threshold: float, seed: int
) -> dict[str, object]:
    """Accuracy and coverage at the threshold, in all and by field, and what any threshold would have given."""
    right = np.concatenate([one[0] for one in ranked.values()])
    sure = np.concatenate([one[1] for one in ranked.values()])
    groups = [group for one in ranked.values() for group in one[2]]
    kept = sure >= threshold
    share = interval(right[kept], [group for group, one in zip(groups, kept, strict=True) if one], seed)
    out.print(f"kept at {threshold:.3f}: {kept.mean():.1%} of the fields, of those right {shown(share)}")
    order = np.argsort(-sure, kind="stable")
    curve = {f"{c:.0%}": float(right[order[: round(c * len(order))]].mean()) for c in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)}
    out.print("accuracy of the surest share: " + ", ".join(f"{c} {a:.1%}" for c, a in curve.items()))
    by_field = {}
    for name, (good, chance, _) in ranked.items():
        its = chance >= threshold
        by_field[name] = {"kept": float(its.mean()), "right": int(good[its].sum()), "of": int(its.sum())}
        out.print(f"  {name}: {its.mean():.1%} kept, {int(good[its].sum())} of {int(its.sum())} right")
    return {"coverage": float(kept.mean()), "accuracy": share, "curve": curve, "by field": by_field}


def first_line(field: Field, document: str) -> list[Value]:
    """The simplest rule for each type: first line, first date, largest amount with cents, lines two to four."""
    if field.type in ("date", "money"):
        found = find_mentions(field, document)
        if field.type == "money":
            found = [one for one in found if one.size is not None and one.size.as_tuple().exponent == -2]
        if not found:
            return []
        one = found[0] if field.type == "date" else max(found, key=lambda mention: mention.size)
        return [Value(document[one.start : one.end], one.normal, one.start, one.end, 0.0, "rule")]
    lines = [line for line in document.splitlines() if line.strip()]
    text = lines[0] if field.type == "name" else "\n".join(lines[1:4])
    return [Value(text, normalise(field, text) or "", 0, 0, 0.0, "rule")]


RULES: dict[str, Callable[[Field, str], list[Value]]] = {
    "simple rule": first_line,
    "patterns": lambda field, document: Patterns(field).find(document),
}


def verbatim(field: Field, said: Sequence[Value], gold: str) -> bool:
    """Every character, but for blanks and, of amounts, the currency's sign."""
    text = " ".join(said[0].text.split()) if said else ""
    wanted = " ".join(gold.split())
    if field.type == "money":
        text, wanted = (one.lstrip("RM$ ") for one in (text, wanted))
    return text == wanted


def lax_threshold(right: np.ndarray, sure: np.ndarray, groups: list[str], seed: int) -> float:
    """The lowest that keeps GOAL right in SAFE of the resamples of vendors."""
    draws = resampled(groups, seed, 400)
    best = 1.0
    for threshold in np.unique(np.round(sure, 3))[::-1]:
        kept = sure >= threshold
        good = [(weight[kept] @ right[kept]) / max(weight[kept].sum(), 1) >= GOAL for weight in draws]
        if np.mean(good) >= SAFE:
            best = float(threshold)
    return best


def interval(right: np.ndarray, groups: list[str], seed: int) -> tuple[float, float, float]:
    """(share, its 2.5% and 97.5% points over resamples of vendors)."""
    draws = resampled(groups, seed, DRAWS)
    shares = draws @ right / np.maximum(draws.sum(1), 1)
    return float(np.mean(right)), *(float(x) for x in np.quantile(shares, (0.025, 0.975)))


def resampled(groups: list[str], seed: int, draws: int) -> np.ndarray:
    """(draws, n): how often each row counts when vendors are drawn with replacement."""
    _, place = np.unique(np.array(groups), return_inverse=True)
    count = place.max() + 1
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)[:, place]


def by_vendor(right: np.ndarray, groups: list[str]) -> float:
    """Each vendor counts once."""
    _, place = np.unique(np.array(groups), return_inverse=True)
    return float((np.bincount(place, right) / np.bincount(place)).mean())


def shown(share: tuple[float, float, float]) -> str:
    return f"{share[0]:.1%} ({share[1]:.1%} .. {share[2]:.1%})"


def table_of(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("field", "who", "letters and digits", "verbatim", "receipts", "each vendor once"):
        table.add_column(name)
    return table


def write(found: dict[str, object], seed: int) -> None:
    written = HERE / "out" / "extraction_sroie.json"
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    written.parent.mkdir(exist_ok=True)
    said = {"command": " ".join(sys.argv), "commit": commit.stdout.strip(), "seed": seed, "found": found}
    written.write_text(json.dumps(said, indent=1))
    out.print(f"written to {written.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
