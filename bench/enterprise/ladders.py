"""The two sources where other models' answers were recorded: ladders on them, fitted on the fit part.

Knows the board of the general prompts (evals/mix.py) and makes one of the complaints: the local triage model, two cheap
models (as mid) and the frontier model, which is not taken to be right here: its answers were recorded. BFCL is in the
first and may only be evaluated on: nothing that is fitted here is shipped.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
from courses import TIERS, Course, ladder_course, tier_of
from mix import Mix
from rows import HERE, Source, deal

sys.path.insert(0, str(HERE / "tasks"))
import triage

from smallfirst.core import NANO
from smallfirst.evals.ladder import climb
from smallfirst.evals.latency import make_times, shipped_laws
from smallfirst.evals.mix import load_board
from smallfirst.learn.board import Board, ensure_apart, make_board
from smallfirst.learn.ladder import Path as Recipe
from smallfirst.learn.ladder import fit_ladder
from smallfirst.tasks.triage.rows import Labelled, read_records
from smallfirst.verify.evidence import Seen

PLANS = {
    "small first": [("slm-a", "slm-b", "slm-c"), ("mid",)],
    "at once": [("slm-a", "slm-b", "slm-c", "mid")],
    "one by one": [("slm-b",), ("slm-c",), ("mid",), ("slm-a",)],
}
RECORDED = {"mid-a": "gemini-2.0-flash-lite", "mid-b": "gpt-4o-mini", "frontier": "claude-3-7-sonnet"}
"""The frontier model is the best of those that do not think before they answer, at a lower price than its own."""

COMPLAINTS = [("triage",), ("mid-a", "mid-b")]
FINE = Recipe(rungs=120)


class Climbs(msgspec.Struct, frozen=True):
    """A fitted ladder and what it does on the certify and report parts; `usd`: a mean frontier call of the fit part."""

    rungs: tuple[float, ...]
    usd: float
    parts: dict[str, tuple]

    def courses(self, mix: Mix, part: str) -> Course:
        groups, climbed, oracle, alone = self.parts[part]
        return ladder_course(groups, climbed, self.rungs, float(mix.worth(np.array(self.usd))), (oracle, alone))


def general(folder: Path, seed: int, plan: str) -> Climbs:
    return on_parts(timed(load_board(folder, "mix"), seed), seed, PLANS[plan])


def complaints(folder: Path, local: Source, mix: Mix, seed: int) -> Climbs:
    board, parts = complaints_board(folder, local, mix)
    return on_parts(timed(board, seed), seed, COMPLAINTS, parts)


def on_parts(board: Board, seed: int, plan: list, parts: list[str] | None = None) -> Climbs:
    named = np.array(parts or deal(list(board.groups), seed))
    known, *asked = (board.rows(np.flatnonzero(named == part)) for part in ("fit", "certify", "report"))
    ensure_apart(fit=known, certify=asked[0], report=asked[1])
    ladder = fit_ladder(known, asks=plan, seed=seed, path=FINE)
    usd = float(known.costs[:, -1].mean()) / NANO
    cheapest = int(known.costs.mean(0).argmin())
    slms = [n for n, model in enumerate(known.models) if model.startswith("slm")]
    alone = max(slms, key=lambda n: known.scores[:, n].mean()) if slms else cheapest
    return Climbs(ladder.rungs, usd, {
        part: (rows.groups, climb(rows, ladder), oracle(rows), single(rows, alone))
        for part, rows in zip(("certify", "report"), asked, strict=True)
    })  # fmt: skip


def timed(board: Board, seed: int) -> Board:
    """With times by the stated laws; a local triage model keeps the one it has."""
    laws = shipped_laws()
    kinds = ["slm" if model.startswith(("slm", "triage")) else model.split("-")[0] for model in board.models]
    times = make_times(
        [laws.of("", kind) for kind in kinds], board.input_tokens, board.output_tokens, seed=seed
    ).total.astype(float)
    if board.latency is not None:
        times = np.where(board.latency > 0, board.latency, times)
    return msgspec.structs.replace(board, latency=times)


def single(board: Board, column: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return board.scores[:, column], board.costs[:, column] / NANO, board.latency[:, column]


def oracle(board: Board) -> tuple[np.ndarray, ...]:
    """The cheapest that was right; where none was, the cheapest."""
    cost = np.where(board.scores >= 0.5, board.costs, np.inf)
    pick = np.where(np.isfinite(cost).any(1), cost.argmin(1), board.costs.argmin(1))
    rows = np.arange(len(board))
    tier = np.array([TIERS.index(tier_of(model)) for model in board.models])
    return board.scores[rows, pick], board.costs[rows, pick] / NANO, board.latency[rows, pick], tier[pick]


def complaints_board(folder: Path, local: Source, mix: Mix) -> tuple[Board, list[str]]:
    """(the board, the part of each row). Copies of a complaint stand once."""
    answers, gold, _ = triage.read_predictions(folder / "triage" / "cfpb1000_llm_predictions.parquet")
    path = folder / "triage" / "cfpb1000_complaints.parquet"
    records = sorted((record for _, record in read_records(path)), key=lambda record: record["id"])
    said = {row.group: row for row in local.rows}
    models = ("triage", *RECORDED)
    lines = []
    for n, record in enumerate(records):
        one = said.pop(triage_group(record["text"]), None)
        if one is None:
            continue
        sure = one.sure["label"]
        labels = [answers[model][n] for model in RECORDED.values()]
        seen = (Seen(one.said, tokens=1, first_logprob=float(np.log(max(sure, 1e-4)))),
                *(Seen(label, tokens=round(one.got)) for label in labels))  # fmt: skip
        right = [one.score["label"], *(float(label == gold[n]) for label in labels)]
        cost = [one.ms / 3.6e6 * mix.usd_per_core_hour,
                *(float(mix.usd(model.split("-")[0], one.sent, one.got)) for model in RECORDED)]  # fmt: skip
        lines.append((record["text"], one, seen, right, [usd * NANO for usd in cost]))
    prompts, ones, seen, scores, costs = zip(*lines, strict=True)
    board = make_board(
        models=models,
        prompts=prompts,
        groups=[one.group for one in ones],
        seen=seen,
        scores=scores,
        costs=costs,
        slices=["cfpb"] * len(lines),
        input_tokens=[[one.sent] * len(models) for one in ones],
        output_tokens=[[one.got] * len(models) for one in ones],
        latency=[[1000 * one.ms, *[0.0] * len(RECORDED)] for one in ones],
    )
    return board, [one.part for one in ones]


def triage_group(text: str) -> str:
    return Labelled(text, (), "").group
