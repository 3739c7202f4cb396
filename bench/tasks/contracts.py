"""Contracts -> parties, dates, governing law: CUAD, by the data's own split, on the normalised key (json_norm).

    python bench/tasks/contracts.py [--data ../shared/data/tasks/extraction] [--dev] [--seed 0]

Without --dev: fitted on four fifths of the training contracts, reported on the last; choices are made on that. --dev:
fitted on 60% of the training contracts, certified on 40%, reported on the dev contracts. Contracts of a company that
stands in dev too are taken out of training.

The scorer. Parties: keys of names (companies.py), matched one to one; a contract is right when the sets are the same.
Entries of the key that name no party (empty, "each a Party") are dropped. Dates: the same ISO date; a blank of the form
(07/[]/2000) is 2000-07-XX and must be found as a blank. Law: the same state or country; provinces drop their country,
England and Wales are one. Where the key names two, either counts for "right" and none for "strict". A contract whose
key has no value of a field is right where nothing was said.

Writes bench/out/contracts.json. About five minutes on a quiet core, most of it names.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from smallfirst.evals.outcomes import split
from smallfirst.evals.probe import wilson
from smallfirst.tasks.certify import fewest
from smallfirst.tasks.extract.companies import company_key, full_name, matched
from smallfirst.tasks.extract.fit import Parts, Wanted, fit_extract
from smallfirst.tasks.extract.labelled import Labelled
from smallfirst.tasks.extract.model import ExtractModel, Extractor, encode
from smallfirst.tasks.extract.normal import normalise
from smallfirst.tasks.extract.schema import Field, Schema, read_schema
from smallfirst.tasks.extract.values import Value
from smallfirst.tasks.extract.written_dates import written_dates
from smallfirst.tasks.triage.rows import read_records

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "tasks" / "extraction"
SCHEMA = HERE.parent / "examples" / "extract" / "contract.yaml"
GOALS, SURE = (0.97, 0.90), 0.95
COUNTRIES = {"Canada", "United Kingdom", "Australia", "United States"}
NO_PARTY = re.compile(r"\bpart(?:y|ies)\b", re.IGNORECASE)
QUOTED_FIRST = re.compile(r"[^(\"\u201c]*(?:\b(?:inc|corp\w*|ltd|llc|l\.?p|company|limited)\b)", re.IGNORECASE)
TOGETHER = re.compile(r"\b(?:each|collectively|individually|together|referred)\b", re.IGNORECASE)
out = Console(width=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--dev", action="store_true", help="look at the dev part")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"{args.data} is not there: this program needs the recorded task data")
    schema = read_schema(SCHEMA)
    train, dev = read(args.data, schema, "train"), read(args.data, schema, "dev")
    apart = {row.group for row in dev}
    train = [row for row in train if row.group not in apart]
    groups = [row.group for row in train]
    one, other = split(groups, seed=args.seed, fractions=(0.6, 0.4) if args.dev else (0.8, 0.2))
    fit, rest = ([row for row in train if row.group in part] for part in (one, other))
    found = reported(schema, Parts(fit, rest, dev if args.dev else rest), args.seed)
    written = HERE / "out" / "contracts.json"
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    written.parent.mkdir(exist_ok=True)
    kept = json.loads(written.read_text())["found"] if written.exists() else {}
    kept["dev" if args.dev else "left out"] = found
    said = {"command": " ".join(sys.argv), "commit": commit.stdout.strip(), "seed": args.seed, "found": kept}
    written.write_text(json.dumps(said, indent=1))
    out.print(f"written to {written.relative_to(HERE.parent)}")


def read(folder: Path, schema: Schema, part: str) -> list[Labelled]:
    """Contracts of one part, grouped by the company that filed them."""
    rows = []
    for at, record in read_records(folder / "cuad_contracts.parquet"):
        if record["split"] == part:
            key = json.loads(record["json_norm"])
            company = re.sub(r"\W", "", record["doc_id"].removeprefix("cuad-").split("_")[0].lower())
            key["parties"] = parties_of(key.get("parties", []), json.loads(record["json_fields"]).get("parties", ""))
            rows.append(Labelled(record["document_text"], values_of(schema, key), company[:14], at))
    return rows


def values_of(schema: Schema, key: dict[str, object]) -> dict[str, tuple[str, ...]]:
    """The normalised key as our normal forms."""
    law = schema["governing_law"]
    return {
        "parties": tuple(dict.fromkeys(full_name(one) for one in key["parties"])),
        "agreement_date": dates_of(key.get("agreement_date")),
        "effective_date": dates_of(key.get("effective_date")),
        "governing_law": laws_of(law, str(key.get("governing_law") or "")),
    }


def parties_of(names: list[str], written: str) -> list[str]:
    """Names of the key, without those that only say what the parties are called together (`written`: unnormalised)."""
    raw = written.split(";")
    raw = raw if len(raw) == len(names) else names
    return [
        name
        for name, words in zip(names, raw, strict=True)
        if company_key(name)
        and not (NO_PARTY.search(words) and TOGETHER.search(words) and not QUOTED_FIRST.match(words))
    ]


def dates_of(said: object) -> tuple[str, ...]:
    """2014-05-08 as it is; 07/[]/2000 as 2000-07-XX."""
    found = []
    for one in str(said or "").split(";"):
        if re.fullmatch(r"\d{4}-\d\d-\d\d", one.strip()):
            found.append(one.strip())
        elif match := re.fullmatch(r"(\d*)(?:\[\])?/(\d*)(?:\[\])?/(\d*)(?:\[\])?", one.strip()):
            month, day, year = match.groups()
            found.append(f"{year.ljust(4, 'X')}-{month.zfill(2) if month else 'XX'}-{day.zfill(2) if day else 'XX'}")
    return tuple(dict.fromkeys(found))


def laws_of(law: Field, said: str) -> tuple[str, ...]:
    """States and countries; one that the schema does not offer stays as it is written, and can't be found."""
    found: list[str] = []
    for one in re.split(r";|\band\b", said):
        places = [re.sub(r"^(?:the )?(?:province|state|commonwealth) of ", "", part.strip(), flags=re.IGNORECASE)
                  for part in one.split(",")]  # fmt: skip
        known = [normal for place in places if place and (normal := normalise(law, place))]
        if len(known) > 1 and known[-1] in COUNTRIES:
            known = known[:-1]
        if known or one.strip(" []"):
            found += known or [one.strip()]
    return tuple(dict.fromkeys(found))


def reported(schema: Schema, parts: Parts, seed: int) -> dict[str, object]:
    """Fit, certify, and report."""
    began = time.process_time()
    model = fit_extract(schema, parts, Wanted(GOALS[1], SURE, seed=seed))
    fit_s = time.process_time() - began
    extractor, rows = Extractor(model), parts.report
    began = time.perf_counter()
    found = [extractor.extract(row.text) for row in rows]
    seconds = (time.perf_counter() - began) / len(rows)
    table = Table(title=f"CUAD: fitted on {len(parts.fit)}, certified on {len(parts.certify)}, reported on {len(rows)}")
    for heading in ("field", "who", "right", "95%", "strict", "where there is one", "where there is none"):
        table.add_column(heading)
    told: dict[str, object] = {
        "fit s": fit_s, "seconds a contract": seconds, "MB": len(encode(model)) / 1e6,
        "contracts": [len(parts.fit), len(parts.certify), len(rows)],
    }  # fmt: skip
    for field in schema.fields:
        answers = {"model": [one.fields[field.name] for one in found]}
        answers |= {who: [rule(row.text) for row in rows] for who, rule in BASELINES.get(field.name, {}).items()}
        told[field.name] = {who: field_report(table, field, who, said, rows) for who, said in answers.items()}
    out.print(table)
    said = [one.fields["parties"] for one in found]
    told["parties, names"] = names = party_f1(said, rows)
    out.print("parties, name by name: " + ", ".join(f"{what} {value:.1%}" for what, value in names.items()))
    told["kept"] = kept(model, schema, found, rows)
    length = np.mean([len(row.text) for row in rows])
    out.print(f"{seconds:.2f} s a contract ({length:,.0f} characters), fitted in {fit_s:.0f} s CPU")
    return told


def field_report(
    table: Table, field: Field, who: str, said: Sequence[Sequence[Value]], rows: Sequence[Labelled]
) -> dict[str, object]:
    right = np.array([is_right(field, one, row) for one, row in zip(said, rows, strict=True)])
    strict = np.array(
        [good and (field.several or len(row.values[field.name]) < 2) for good, row in zip(right, rows, strict=True)]
    )
    there = np.array([bool(row.values[field.name]) for row in rows])
    low, high = wilson(int(right.sum()), len(right))
    nothing = f"{right[~there].mean():.1%} of {(~there).sum()}" if (~there).any() else ""
    table.add_row(
        field.name, who, f"{right.mean():.1%}", f"{low:.1%} .. {high:.1%}", f"{strict.mean():.1%}",
        f"{right[there].mean():.1%} of {there.sum()}", nothing,
    )  # fmt: skip
    return {"right": float(right.mean()), "low": low, "high": high, "strict": float(strict.mean()),
            "where there is one": float(right[there].mean()), "there": int(there.sum())}  # fmt: skip


def is_right(field: Field, said: Sequence[Value], row: Labelled) -> bool:
    """The scorer, see the module's head."""
    wanted = row.values[field.name]
    if field.name == "parties":
        keys, gold = keys_of(value.text for value in said), keys_of(wanted)
        return len(keys) == len(gold) == matched(keys, gold)
    return said[0].normal in wanted if said and wanted else not said and not wanted


def keys_of(names: Sequence[str]) -> list[str]:
    return [key for key in dict.fromkeys(company_key(name) for name in names) if key]


def party_f1(said: Sequence[Sequence[Value]], rows: Sequence[Labelled]) -> dict[str, float]:
    right = given = wanted = 0
    for one, row in zip(said, rows, strict=True):
        keys, gold = keys_of(value.text for value in one), keys_of(row.values["parties"])
        right, given, wanted = right + matched(keys, gold), given + len(keys), wanted + len(gold)
    return {"precision": right / max(1, given), "recall": right / wanted, "F1": 2 * right / (given + wanted)}


def kept(model: ExtractModel, schema: Schema, found: Sequence, rows: Sequence[Labelled]) -> dict[str, object]:
    """What the certified threshold keeps, and what an uncertified one for 97% would keep of the reported contracts."""
    table = Table(
        title=f"kept at a threshold certified for {GOALS[1]:.0%} with {SURE:.0%} confidence, each field by itself"
    )
    for heading in (
        "field",
        "promise",
        "kept",
        "of these right",
        f"surest share that is {GOALS[0]:.0%} right (hindsight)",
    ):
        table.add_column(heading)
    told: dict[str, object] = {}
    for field in schema.fields:
        right = np.array([is_right(field, one.fields[field.name], row) for one, row in zip(found, rows, strict=True)])
        sure = np.array([one.sure[field.name] for one in found])
        stays = np.array([field.name not in one.doubtful for one in found])
        promise = model.fields[field.name].certified
        order = np.argsort(-sure, kind="stable")
        good = np.flatnonzero(np.cumsum(right[order]) / np.arange(1, len(order) + 1) >= GOALS[0])
        most = (good[-1] + 1) / len(order) if len(good) else 0.0
        share = float(right[stays].mean()) if stays.any() else None
        words = promise.explain() if promise else "none"
        table.add_row(field.name, words, f"{stays.mean():.1%}", "" if share is None else f"{share:.1%}", f"{most:.1%}")
        told[field.name] = {
            "promise": words,
            "kept": float(stays.mean()),
            "kept right": share,
            "hindsight": float(most),
        }
    out.print(table)
    out.print(f"{GOALS[0]:.0%} takes at least {fewest(GOALS[0], SURE)} kept contracts without a mistake to certify")
    return told


def first_date(document: str) -> list[Value]:
    return [Value("", one.iso, one.start, one.end, 0.0, "rule") for one in written_dates(document)][:1]


def no_value(_: str) -> list[Value]:
    return []


LAW = re.compile(r"\blaws?\s+of\s+(?:the\s+)?(?:(?:state|commonwealth|province|republic)\s+of\s+)?(\w+(?:\s+(?:York|Jersey|Carolina|Hampshire|Mexico|Island|Dakota|Virginia|Kong|Columbia))?)", re.IGNORECASE)  # fmt: skip  # noqa: E501


def laws_of_the_state(document: str) -> list[Value]:
    """The first place after "laws of (the State of)" that is one."""
    law = read_schema(SCHEMA)["governing_law"]
    for match in LAW.finditer(document):
        if normal := normalise(law, match[1]):
            return [Value(match[1], normal, match.start(1), match.end(1), 0.0, "rule")]
    return []


PREAMBLE = re.compile(
    r"\bbetween[:,]?\s+(.{3,90}?)(?:,|\s\(|\sand\s)(?:.{0,400}?)\band\s+([A-Z].{3,90}?)(?:,|\s\()", re.DOTALL
)


def between_and(document: str) -> list[Value]:
    """between A, ... and B, ..."""
    match = PREAMBLE.search(document[:5000])
    return [] if match is None else [Value(name, name, 0, 0, 0.0, "rule") for name in match.groups()]


BASELINES: dict[str, dict[str, Callable[[str], list[Value]]]] = {
    "parties": {"between A and B": between_and},
    "agreement_date": {"first date": first_date},
    "effective_date": {"first date": first_date, "never": no_value},
    "governing_law": {"laws of the State of": laws_of_the_state, "never": no_value},
}


if __name__ == "__main__":
    main()
