"""From a file of outcomes to what an evaluation works on: priced, in tiers, timed, and split by prompt group.

Knows which models play which role, and refuses data that can't be evaluated, saying what to do. Does not know the
config's form (the caller gives `Players`) or what is measured. The split is made before anything is looked at.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from smallfirst.core import Price, Tier
from smallfirst.errors import DataError
from smallfirst.evals.baselines import Priced, price_table, tokens_of
from smallfirst.evals.latency import Law, Laws, Times, make_times
from smallfirst.evals.outcomes import Scored, ScoreTable, ensure_apart, read_outcomes, score_table, split
from smallfirst.evals.players import Players, tiers_of, with_baseline, with_prices
from smallfirst.evals.recorded_experiment import play_roles
from smallfirst.models.recorded import Recording, Recordings
from smallfirst.models.recorded_files import SOURCES, load_recordings

LEAST_GROUPS = 20
"""Prompt groups that each part needs: below, no interval means anything."""


class Request(msgspec.Struct, frozen=True):
    """What is to be evaluated, and how it is split. `fit_file`: a file of its own to choose on, instead of a split."""

    file: Path
    players: Players = Players()
    models: tuple[str, ...] = ()
    fit_file: Path | None = None
    answers: Path | None = None
    score: str = "score"
    fit_share: float = 0.4
    seed: int = 0
    complete_only: bool = False
    benchmarks: tuple[str, ...] = ()  # only these; empty: all
    laws: Laws | None = None  # None: the times in the file


class Dataset(msgspec.Struct, frozen=True):
    """What is evaluated. Columns of both parts are in the order of the tiers, lowest first."""

    name: str
    players: Players
    fit: Priced
    report: Priced
    recordings: Recordings | None
    digest: str  # of all rows that were used, both parts
    notes: tuple[str, ...]

    def tier_of(self, model: str) -> str:
        return self.players.tier_of(model) or model


def load(request: Request) -> Dataset:
    """Read, check, price, time and split. Raises DataError that says what to do; SetupError without pyarrow."""
    wanted = _wanted(request)
    rows = _read(request.file, request, wanted)
    other = None if request.fit_file is None else _read(request.fit_file, request, wanted)
    if other is not None:
        _ensure_apart(other, rows, request)
    notes: list[str] = []
    players = _players(request, [*(other or ()), *rows])
    report = _table(rows, players, request, notes)
    tables = [report] if other is None else [_table(other, players, request, notes), report]
    players = with_prices(players, tables, notes)
    priced = [_priced(table, players, request) for table in tables]
    fit, report_part = _parts(priced, request)
    players = with_baseline(players, fit)
    for part in (fit, report_part):
        if not part.costs[:, part.table.column(players.baseline)].any():
            named = players.baseline
            raise DataError(f"the baseline {named!r} costs nothing; give its price, like --price {named}=2.5/10")
    return Dataset(
        name=_name(request),
        players=players,
        fit=fit,
        report=report_part,
        recordings=_recordings(request, rows, players),
        digest=digest(tables),
        notes=tuple(notes),
    )


def digest(tables: Sequence[ScoreTable]) -> str:
    """sha256 (first 16 hex digits) over models, prompts, scores and tokens, in the order of the rows."""
    seen = hashlib.sha256()
    for table in tables:
        seen.update(msgspec.json.encode([table.models, table.query_ids, table.groups, table.prompts]))
        for values in (table.scores, *tokens_of(table)):
            seen.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return seen.hexdigest()[:16]


def _name(request: Request) -> str:
    name = request.file.stem if request.file.stem != "outcomes" else request.file.parent.name
    return f"{name}: {', '.join(request.benchmarks)}" if request.benchmarks else name


def _wanted(request: Request) -> frozenset[str] | None:
    """Recorded models to read; None: all that are there."""
    if request.players.roles:
        return frozenset(model for role in request.players.roles.values() for model in role.split("|"))
    return frozenset(request.models) or None


def _read(path: Path, request: Request, wanted: frozenset[str] | None) -> list[Scored]:
    rows = read_outcomes(path, models=wanted, score=request.score, once=False)
    if not rows:
        only = f" of {', '.join(sorted(wanted))}" if wanted else ""
        raise DataError(f"{path.name}: no outcomes{only} in it; docs/evaluation.md shows what a row looks like")
    present = {row.model for row in rows}
    roles = request.players.roles or {name: name for name in request.models}
    if absent := [name for name, role in roles.items() if not present & set(role.split("|"))]:
        names = " or ".join(roles[absent[0]].split("|"))
        raise DataError(f"{path.name}: no outcomes of {absent[0]!r} (as {names}); name models that are in the file")
    if missing := sorted(set(request.benchmarks) - {row.benchmark for row in rows}):
        there = ", ".join(sorted({row.benchmark for row in rows if row.benchmark})) or "none named"
        raise DataError(f"{path.name}: no benchmark {missing[0]!r}; there are: {there}")
    rows = [row for row in rows if not request.benchmarks or row.benchmark in request.benchmarks]
    return play_roles(rows, request.players.roles) if request.players.roles else rows


def _ensure_apart(fit: Sequence[Scored], report: Sequence[Scored], request: Request) -> None:
    try:
        ensure_apart({str(request.fit_file): fit, str(request.file): report})
    except DataError as error:
        raise DataError(
            f"{error}; remove the prompt from one of the files, or give one file and let the evaluation split it"
        ) from None


def _players(request: Request, rows: Sequence[Scored]) -> Players:
    """The request's players, filled up with the models and tiers that the rows name. Refuses one model only."""
    given = request.players
    names = list(given.roles) or list(dict.fromkeys(row.model for row in rows))
    if len(names) < 2:
        raise DataError(
            f"outcomes of one model only ({names[0]}): an evaluation compares; add a baseline's outcomes to the same "
            "prompts, or name more models with --model"
        )
    told = tuple(Tier(tier.name, tuple(m for m in tier.models if m in names)) for tier in given.tiers)
    tiers = tuple(tier for tier in told if tier.models) or tiers_of(names, rows)
    order = [model for tier in tiers for model in tier.models if model in names]
    roles = {name: given.roles.get(name, name) for name in [*order, *(n for n in names if n not in order)]}
    if given.baseline and given.baseline not in roles:
        raise DataError(f"the baseline {given.baseline!r} is not among the models: {', '.join(roles)}")
    return msgspec.structs.replace(given, roles=roles, tiers=tiers)


def _table(rows: Sequence[Scored], players: Players, request: Request, notes: list[str]) -> ScoreTable:
    """Every prompt with every model. Refuses holes unless `complete_only`."""
    names = list(players.roles)
    answered = Counter(row.model for row in rows)
    queries = {(row.benchmark, row.query_id) for row in rows}
    holes = {name: len(queries) - answered[name] for name in names if answered[name] < len(queries)}
    if holes and not request.complete_only:
        worst = max(holes, key=lambda name: holes[name])
        raise DataError(
            f"scores are missing: {worst!r} has none for {holes[worst]} of {len(queries)} queries"
            f"{f' ({len(holes)} models have holes)' if len(holes) > 1 else ''}; name models that answered all with "
            "--model, or leave those queries out with --complete-only"
        )
    table = score_table(rows, names)
    if len(table.prompts) < len(queries):
        left = len(queries) - len(table.prompts)
        notes.append(f"{left} queries left out: copies of a prompt under another id, or not answered by every model")
    return table


def _priced(table: ScoreTable, players: Players, request: Request) -> Priced:
    free = Price(0, 0, 0, "costs of the data")
    priced = price_table(table, {name: players.prices.get(name, free) for name in players.roles})
    costs = priced.costs
    for at, name in enumerate(players.roles):
        if name not in players.prices and table.costs is not None:
            costs[:, at] = table.costs[:, at]
    if not costs.any():
        raise DataError("every call costs nothing; give prices with --price, or a cost_usd in every row")
    sent, got = tokens_of(table)
    if request.laws is None:
        return Priced(table, costs, _recorded_times(table, request))
    laws = [request.laws.of(name, players.tier_of(name)) for name in players.roles]
    return Priced(table, costs, make_times(laws, sent, got, seed=request.seed))


def _recorded_times(table: ScoreTable, request: Request) -> Times:
    """The times in the file, as they stand. Refuses a model that has none for some query."""
    if table.latency is None or np.isnan(table.latency).any():
        lacking = table.models[0 if table.latency is None else int(np.argmax(np.isnan(table.latency).any(0)))]
        raise DataError(
            f"{request.file.name}: no recorded time of {lacking!r} for every query (latency_ms); name models that "
            "have them, or let laws speak (leave --latency out, or give a file of laws)"
        )
    whole = np.rint(table.latency).astype(np.int64)
    source = f"times recorded in {request.file.name}"
    return Times(whole, whole, tuple(Law(first_ms=0, token_ms=0, source=source) for _ in table.models))


def _parts(priced: Sequence[Priced], request: Request) -> tuple[Priced, Priced]:
    if len(priced) == 2:
        fit, report = priced
    else:
        inside, outside = split(
            priced[0].table.groups, seed=request.seed, fractions=(request.fit_share, 1 - request.fit_share)
        )
        fit, report = priced[0].rows(inside), priced[0].rows(outside)
    for name, part in (("choose on", fit), ("report on", report)):
        groups = len(set(part.table.groups))
        if groups < LEAST_GROUPS:
            raise DataError(
                f"too few prompts to {name}: {groups} different ones, at least {LEAST_GROUPS} are needed; add "
                "outcomes, or change --fit-share"
            )
    return fit, report


def _recordings(request: Request, rows: Sequence[Scored], players: Players) -> Recordings | None:
    """The models' answers, without scores: from `answers`, from the rows, or from the tables beside a public one."""
    wanted = [model for role in players.roles.values() for model in role.split("|")]
    if request.answers is not None:
        return load_recordings(request.answers, models=wanted)
    if any(row.answer is not None for row in rows):
        return Recordings(
            Recording(row.prompt, row.model, row.answer, row.input_chars, row.output_chars)
            for row in rows
            if row.answer is not None
        )
    if request.file.stem in SOURCES and (request.file.parent / f"{SOURCES[request.file.stem][0]}.parquet").is_file():
        return load_recordings(request.file.parent, sources=[request.file.stem], models=wanted)
    return None
