"""Fits the local part of each source on its fit part, and keeps what it says on the others.

    python bench/enterprise/local.py [--only banking77 restaurant8k ...] [--seed 1]

Rows are dealt 40 / 35 / 25 by prompt group (contracts by company, conversations whole): fit, certify, report. Local
models are fitted on the first part alone, by the code that users call; at most MOST rows of a part are used. What they
say goes to bench/out/enterprise/, where run.py finds it; about ten minutes of CPU, most of it vectors.
cfpb and the general prompts need no local file but that of cfpb's triage: judge.py fits ladders on recorded answers.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rows import HERE, SHARED, Said, Source, deal, keep, path_of

sys.path.insert(0, str(HERE / "tasks"))
import contracts
import slots
from kb_local import kb_source

from smallfirst.tasks.extract.fit import Parts as ExtractParts
from smallfirst.tasks.extract.fit import Wanted as ExtractWanted
from smallfirst.tasks.extract.fit import fit_extract
from smallfirst.tasks.extract.labelled import Labelled as Document
from smallfirst.tasks.extract.model import Extractor
from smallfirst.tasks.extract.question import Question, excerpt
from smallfirst.tasks.extract.schema import Schema, read_schema
from smallfirst.tasks.triage.fit import Parts, Wanted, fit_triage, is_right
from smallfirst.tasks.triage.model import Triage
from smallfirst.tasks.triage.offer import Offer
from smallfirst.tasks.triage.rows import Labelled, read_labelled
from smallfirst.text.embedder import MiniLM

MOST = {"fit": 4500, "certify": 1200, "report": 1200}
ASIDE = 0.06
"""Of the fit part, for the threshold that the task's own fit wants; the mix has its own path and does not use it."""

ASIDE_DOCUMENTS, ENOUGH = 0.2, 1000
"""Of many documents so large a part also says how likely a document is right as a whole."""

FOLDS = 5
CHARACTERS = 4
out = Console(width=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=SHARED / "tasks")
    parser.add_argument("--only", nargs="*", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="also what is there already")
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"{args.data} is not there: this program needs the recorded task data")
    make(args.data, args.only, args.seed, again=args.again)


def make(folder: Path, names: list[str], seed: int, *, again: bool = False) -> None:
    """Make the files that are not there."""
    for name in names:
        if again or not path_of(name, seed).exists():
            began = time.process_time()
            source = SOURCES[name](folder, name, seed)
            keep(source)
            right = {key: np.mean([row.score[key] for row in source.rows]) for key in source.rows[0].score}
            told = ", ".join(f"{key} {value:.3f}" for key, value in right.items())
            out.print(f"{name}: fitted on {source.fitted_on}, {len(source.rows)} rows, mean score {told}; "
                      f"{time.process_time() - began:.0f} s of CPU")  # fmt: skip


# -- triage -----------------------------------------------------------------------------------------------------------

TRIAGE = {"banking77": ("banking77", None), "clinc150": ("clinc150_oos", "oos"),
          "cfpb": ("cfpb1000_complaints", None)}  # fmt: skip


def triage_source(folder: Path, name: str, seed: int) -> Source:
    """One label a text; right or not."""
    file, beyond = TRIAGE[name]
    rows = read_labelled(folder / "triage" / f"{file}.parquet", "text", "label")
    parts = dealt(rows, seed)
    embedder = MiniLM()
    triage = fitted(parts["fit"], beyond, seed, embedder)
    labels = tuple(triage.model.labels)
    found = [
        judged(triage, row, part, Offer(labels, beyond=beyond), beyond)
        for part in ("certify", "report")
        for row in track(parts[part], f"{name}: {part}", console=out, transient=True)
    ]
    return Source(name, seed, len(parts["fit"]), found)


def cfpb_source(folder: Path, name: str, seed: int) -> Source:
    """As any triage, and the fit part as fits say that did not see the row: a ladder learns from it."""
    source = triage_source(folder, name, seed)
    fit = dealt(read_labelled(folder / "triage" / f"{TRIAGE[name][0]}.parquet", "text", "label"), seed)["fit"]
    fold, embedder = np.arange(len(fit)) % FOLDS, MiniLM()
    for one in range(FOLDS):
        triage = fitted([row for row, at in zip(fit, fold, strict=True) if at != one], None, seed, embedder)
        offer = Offer(tuple(triage.model.labels))
        source.rows.extend(judged(triage, row, "fit", offer, None)
                           for row, at in zip(fit, fold, strict=True) if at == one)  # fmt: skip
    return source


def fitted(rows: list[Labelled], beyond: str | None, seed: int, embedder: MiniLM) -> Triage:
    order = np.random.default_rng(seed).permutation(len(rows))
    aside = set(order[: max(40, round(ASIDE * len(rows)))].tolist())
    inside = [row for n, row in enumerate(rows) if n not in aside]
    parts = Parts(inside, [rows[n] for n in sorted(aside)], [])
    wanted = Wanted(accuracy=0.9, confidence=0.95, out_of_scope=beyond, seed=seed)
    return Triage(fit_triage(parts, wanted, embedder), embedder)


def judged(triage: Triage, row: Labelled, part: str, offer: Offer, beyond: str | None) -> Said:
    began = time.process_time()
    one = triage.judge([row.text])[0]
    ms = 1000 * (time.process_time() - began)
    sent = tokens(offer.messages(row.text)) + tokens(offer.schema.schema)
    answer = json.dumps({"label": row.labels[0] if row.labels else beyond})
    right = float(is_right(one, row, beyond))
    said = one.labels[0] if one.labels else ""
    return Said(row.group, part, {"label": right}, {"label": one.confidence}, ms, sent, tokens(answer), sent, said)


# -- extraction -------------------------------------------------------------------------------------------------------


def requests_source(folder: Path, name: str, seed: int) -> Source:
    """restaurant8k. `whole`: every slot right, an empty one when nothing is said; `fields`: the share of those."""
    rows = [row for split in ("train", "test") for row in slots.read(folder / "extraction", split)]
    return documents_source(name, slots.SCHEMA, rows, lambda _field, said, row, its: slots.agree(said, row, its), seed)


def contracts_source(folder: Path, name: str, seed: int) -> Source:
    """cuad, scored as bench/tasks/contracts.py does."""
    schema = read_schema(contracts.SCHEMA)
    rows = [row for split in ("train", "dev") for row in contracts.read(folder / "extraction", schema, split)]
    return documents_source(
        name, schema, rows, lambda field, said, row, its: contracts.is_right(field, said.fields[its], row), seed
    )


def documents_source(name: str, schema: Schema, rows: list[Document], right: Callable, seed: int) -> Source:
    parts = dealt(rows, seed)
    fit, rest = parts["fit"], [(part, row) for part in ("certify", "report") for row in parts[part]]
    many = round((ASIDE_DOCUMENTS if len(fit) > ENOUGH else ASIDE) * len(fit))
    aside, inside = fit[:many], fit[many:]  # in random order already
    model = fit_extract(schema, ExtractParts(inside, aside, []), ExtractWanted(0.9, 0.95, seed=seed))
    extractor, question = Extractor(model), Question(schema, tuple(field.name for field in schema.fields))
    chance = whole_chance(schema, extractor, aside, right) if len(fit) > ENOUGH else np.prod
    found = []
    for part, row in track(rest, name, console=out, transient=True):
        began = time.process_time()
        said = extractor.extract(row.text)
        ms = 1000 * (time.process_time() - began)
        good = [right(field, said, row, field.name) for field in schema.fields]
        sure = [said.sure[field.name] for field in schema.fields]
        words = tokens(question.messages("")) + tokens(question.json_schema.schema)
        places = [value.start for values in said.fields.values() for value in values]
        found.append(Said(
            row.group, part,
            {"fields": float(np.mean(good)), "whole": float(all(good))},
            {"fields": float(np.mean(sure)), "whole": float(chance(sure))},
            ms, words + len(row.text) / CHARACTERS, tokens(json.dumps(row.values)),
            words + len(excerpt(row.text, places)) / CHARACTERS,
        ))  # fmt: skip
    return Source(name, seed, len(fit), found)


def whole_chance(schema: Schema, extractor: Extractor, rows: list[Document], right: Callable) -> Callable:
    """Chances of the fields -> chance that all are right, fitted on rows beside the fit: fields err together."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - an extra

    found = [extractor.extract(row.text) for row in rows]
    names = [field.name for field in schema.fields]
    table = np.array([odds([said.sure[name] for name in names]) for said in found])
    good = [all(right(field, said, row, field.name) for field in schema.fields)
            for said, row in zip(found, rows, strict=True)]  # fmt: skip
    fitted = LogisticRegression(C=0.1, max_iter=2000).fit(table, good)
    return lambda sure: fitted.predict_proba(odds(sure)[None, :])[0, 1]


def odds(sure: list[float]) -> np.ndarray:
    """Log-odds of each, of the least and of all."""
    values = np.clip([*sure, min(sure), np.prod(sure)], 1e-4, 1 - 1e-4)
    return np.log(values / (1 - values))


# -- all --------------------------------------------------------------------------------------------------------------


def dealt(rows: list, seed: int) -> dict[str, list]:
    """Rows by part, in random order, at most MOST of each."""
    rows = [rows[n] for n in np.random.default_rng(seed).permutation(len(rows))]
    found: dict[str, list] = {part: [] for part in MOST}
    for row, part in zip(rows, deal([row.group for row in rows], seed), strict=True):
        if len(found[part]) < MOST[part]:
            found[part].append(row)
    return found


def tokens(what: object) -> float:
    """Characters / 4 of a text, of the contents of messages, or of a schema as JSON."""
    if isinstance(what, list):
        return sum(len(str(message["content"])) for message in what) / CHARACTERS
    return len(what if isinstance(what, str) else json.dumps(what)) / CHARACTERS


SOURCES: dict[str, Callable[[Path, str, int], Source]] = {
    "clapnq": kb_source,
    "mtragun": kb_source,
    "cuad": contracts_source,
    "cfpb": cfpb_source,
    "restaurant8k": requests_source,
    "banking77": triage_source,
    "clinc150": triage_source,
}


if __name__ == "__main__":
    main()
