"""The promise on recorded outcomes: what learned ladders cost at a quality loss, uncertified and certified.

    python bench/quality/promise.py [--board mix] [--seeds 20] [--parts open,certified] [--ablation 0]

Needs ../shared/data/outcomes, pyarrow and scikit-learn; about a minute a seed on two busy cores. Definitions are the
study's: every attempt and the whole panel paid, prices per million tokens SLM 0.10, mid 0.15/0.60, frontier 2.50/10,
tokens characters / 4, whole prompt groups on one side of each split.

    open       fitted on 40% of the prompts (settings chosen out of fold on the same), reported on the other 60%
    certified  fitted on 40%, certified on another 40% by betting, reported on the last 20%
    ablation   `open` once more with a kind of evidence taken off the board, so many seeds

Nothing that is fitted here is shipped: the mix holds BFCL. Writes bench/out/promise_<board>.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from smallfirst.calibrate.promise import Promise
from smallfirst.calibrate.walk import walk
from smallfirst.evals.ladder import Climbed, climb
from smallfirst.evals.mix import BOARDS, load_board, study_split
from smallfirst.learn.board import Board, ensure_apart
from smallfirst.learn.courses import looks
from smallfirst.learn.ladder import Path as Recipe
from smallfirst.learn.ladder import Words, fit_ladder, fit_words
from smallfirst.learn.metrics import auroc, auroc_within, brier, calibration_error
from smallfirst.learn.verifier import chance_values, logistics
from smallfirst.policy.ladder import Ladder, Reader
from smallfirst.verify.evidence import same

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "outcomes"
PLANS = {
    "at once": [("slm-a", "slm-b", "slm-c", "mid")],
    "one by one": [("slm-b",), ("slm-c",), ("mid",), ("slm-a",)],
}
"""Whom each step asks. `at once` is for latency, `one by one` for cost."""

TARGETS = {
    "2%": (0.02, False),
    "1%": (0.01, False),
    "2%, steady": (0.02, True),
    "1.5%, steady": (0.015, True),
    "1.25%, steady": (0.0125, True),
    "1%, steady": (0.01, True),
}
"""Setting -> (largest expected loss, chosen by the steadier estimate): a margin makes a miss rarer and dearer."""

LOSS = 0.02
TRADES = (0.0, *np.logspace(-3, 1.5, 60).tolist())
out = Console(highlight=False, width=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--board", choices=BOARDS, default="mix")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--parts", default="open,certified")
    parser.add_argument("--ablation", type=int, default=0, metavar="SEEDS")
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"{args.data} is not there: this program needs the recorded outcomes")
    board = load_board(args.data, args.board)
    out.print(f"{args.board}: {len(board)} prompts in {len(set(board.groups))} groups")
    found: dict[str, list[dict]] = {}
    for seed in range(args.seeds):
        if "open" in args.parts:
            add(found, "open", open_part(board, seed))
        if "certified" in args.parts:
            add(found, "certified", certified_part(board, seed))
        out.print(f"seed {seed}: {time.strftime('%H:%M:%S')}", style="dim")
        write(args, board, found)
    for seed in range(args.ablation):
        for name, change in ABLATIONS.items():
            lines = open_part(change(board), seed, plans=("at once",), recipe=Recipe(words=name not in BLIND_TO_WORDS))
            add(found, "ablation", [{**line, "way": name} for line in lines if line["way"] == "at once, curve at 2%"])
        write(args, board, found)
    show(found, args)


def add(found: dict[str, list[dict]], part: str, lines: list[dict]) -> None:
    found.setdefault(part, []).extend(lines)


def open_part(
    board: Board, seed: int, plans: tuple[str, ...] = tuple(PLANS), recipe: Recipe | None = None
) -> list[dict]:
    """One split: baselines and ladders, settings chosen on the fit part, measured on the report part."""
    fit, report = study_split(board.groups, 0.4, np.random.default_rng(1000 + seed))
    known, asked = board.rows(fit), board.rows(report)
    ensure_apart(fit=known, report=asked)
    recipe = recipe or Recipe()
    words = fit_words(known, path=recipe, seed=seed)
    lines = [
        line("always mid", seed, asked, *single(asked, "mid")),
        line("random mix", seed, asked, *random_mix(known, asked)),
        line("untuned rule: mid if any SLM says the same", seed, asked, *rule(asked)),
        line("oracle", seed, asked, *oracle(asked)),
    ]
    for name in plans:
        ladder = fit_ladder(known, asks=PLANS[name], seed=seed, path=recipe, words=words)
        climbed = climb(asked, ladder)
        if name == "at once" and words.heads:
            lines.append(line("query text only", seed, asked, *query_only(known, asked, words, ladder)))
        if name == "at once":
            lines.append({"way": "verifier", "seed": seed, **verifier(asked, ladder)})
        for target, (loss, steady) in TARGETS.items():
            rung = ladder.cheapest(loss, steady=steady)
            lines.append({**climbed_line(f"{name}, {target}", seed, asked, climbed, rung), "rung": rung})
        lines.append({**climbed_line(f"{name}, curve at 2%", seed, asked, climbed, 0), **curve(ladder, climbed)})
    return lines


def certified_part(board: Board, seed: int) -> list[dict]:
    """One split in three: the walk sees only the certifying part, and stops where it must."""
    rng = np.random.default_rng(5000 + seed)
    fit, rest = study_split(board.groups, 0.4, rng)
    certify, report = (rest[part] for part in study_split([board.groups[i] for i in rest], 2 / 3, rng))
    known, proving, asked = board.rows(fit), board.rows(certify), board.rows(report)
    ensure_apart(fit=known, certify=proving, report=asked)
    words = fit_words(known, seed=seed)
    lines = []
    for name, plan in PLANS.items():
        ladder = fit_ladder(known, asks=plan, seed=seed, words=words)
        proved, climbed = climb(proving, ladder), climb(asked, ladder)
        for loss in (0.02, 0.05):
            walked = walk(proved.scores, proved.baseline, ladder.rungs, Promise(loss, 0.95), groups=proving.groups)
            for way, rung in (("certified", walked.certified), ("z-test's floor", walked.floor)):
                made = climbed_line(f"{name}, {way} {loss:.0%}", seed, asked, climbed, rung)
                lines.append({**made, "rung": rung, "rows": walked.rows, "broken": made["relative"] < 1 - loss})
    return lines


def line(way: str, seed: int, asked: Board, scores: np.ndarray, costs: np.ndarray, calls: np.ndarray) -> dict:
    """One way to route on one split: relative to always-frontier on the same prompts."""
    top, price = asked.scores[:, -1], asked.costs[:, -1]
    relative = float(scores.mean() / top.mean())
    slices = np.array(asked.slices)
    return {
        "way": way,
        "seed": seed,
        "cost": float(costs.mean() / price.mean()),
        "relative": relative,
        "missed": bool(relative < 1 - LOSS),
        "calls": float(np.mean(calls)),
        "by_source": {
            str(name): [float(scores[rows].mean() / top[rows].mean()), float(costs[rows].mean() / price[rows].mean())]
            for name in dict.fromkeys(slices.tolist())
            if (rows := slices == name).any()
        },
    }


def climbed_line(way: str, seed: int, asked: Board, climbed: Climbed, rung: int) -> dict:
    made = line(way, seed, asked, climbed.scores[rung], climbed.costs[rung], climbed.calls[rung])
    served = climbed.served[rung]
    shares = {model: float((served == c).mean()) for c, model in enumerate(climbed.models)}
    return {**made, "shares": shares}


CURVE = np.geomspace(1e-3, 4.0, 120)


def curve(ladder: Ladder, climbed: Climbed) -> dict:
    """The whole path on common settings, so that it can be averaged over splits before it is read off at a loss."""
    at = np.log(np.maximum(ladder.rungs, 1e-7))
    values = {"loss": climbed.losses(), "cost": climbed.prices(), "calls": climbed.calls.mean(1)}
    rungs = {"expected": msgspec.to_builtins(ladder.expected), **{name: v.tolist() for name, v in values.items()}}
    return {"curve": {name: np.interp(np.log(CURVE), at, v).tolist() for name, v in values.items()}, "rungs": rungs}


def verifier(asked: Board, ladder: Ladder) -> dict:
    """How good P(the leading answer is right) is once all have answered, beside counting those who say the same."""
    step, reader = ladder.steps[-1], Reader(ladder)
    query = [reader.about(prompt, tools=tools) for prompt, tools in zip(asked.prompts, asked.tools, strict=True)]
    lead, table = looks(asked, step.asked, step.trust, query)
    right = asked.scores[np.arange(len(asked)), np.maximum(lead, 0)]
    chance, size = chance_values(step.right, table), len(step.asked)
    backed = table[:, len(query[0]) : len(query[0]) + size].sum(1)
    sources = np.array(asked.slices)
    return {
        name: {
            "auroc": auroc(right, one),
            "auroc within source": auroc_within(right, one, sources),
            **({"brier": brier(right, one), "ece": calibration_error(right, one)} if name == "learned" else {}),
        }
        for name, one in (("learned", chance), ("count of those who agree", backed))
    }


# -- baselines --------------------------------------------------------------------------------------------------------


def single(asked: Board, model: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    column = asked.column(model)
    return asked.scores[:, column], asked.costs[:, column], np.ones(len(asked))


def random_mix(known: Board, asked: Board) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cheapest mix of two models, by the fit part, that loses 2% of the frontier's score; in expectation."""
    quality, cost = known.scores.mean(0), known.costs.mean(0)
    goal, best = (1 - LOSS) * quality[-1], (float(cost[-1]), len(quality) - 1, 0.0)
    for i in range(len(quality) - 1):
        share = float(np.clip((quality[-1] - goal) / (quality[-1] - quality[i]), 0, 1)) if quality[i] < goal else 1.0
        best = min(best, (share * cost[i] + (1 - share) * cost[-1], i, share))
    _, i, share = best
    mixed = [share * table[:, i] + (1 - share) * table[:, -1] for table in (asked.scores, asked.costs)]
    return mixed[0], mixed[1], np.ones(len(asked))


def rule(asked: Board) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mid is served where any SLM says the same, else the frontier; nothing is tuned."""
    mid = asked.column("mid")
    slms = [asked.column(model) for model in asked.models if model.startswith("slm")]
    agreed = np.array([any(same(row[mid].form, row[c].form) for c in slms) for row in asked.seen])
    costs = asked.costs[:, :-1].sum(1) + np.where(agreed, 0, asked.costs[:, -1])
    return np.where(agreed, asked.scores[:, mid], asked.scores[:, -1]), costs, np.where(agreed, 1.0, 2.0)


def oracle(asked: Board) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cheapest model that was right; where none was, the cheapest."""
    cost = np.where(asked.scores >= 0.5, asked.costs, np.inf)
    pick = np.where(np.isfinite(cost).any(1), cost.argmin(1), asked.costs.argmin(1))
    rows = np.arange(len(asked))
    return asked.scores[rows, pick], asked.costs[rows, pick], np.ones(len(asked))


def query_only(known: Board, asked: Board, words: Words, ladder: Ladder) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Route on the words alone: chance to be right less a price on mean cost; the price by the fit part's scores."""
    heads = Reader(ladder).heads
    slms = [known.column(model) for model in known.models if model.startswith("slm")]
    tiers = [max(slms, key=lambda c: known.scores[:, c].mean()), known.column("mid"), len(known.models) - 1]
    price = known.costs[:, tiers].mean(0) / known.costs[:, -1].mean()
    chances = logistics(words.logits[:, tiers]), logistics(np.array([heads.logits(p) for p in asked.prompts])[:, tiers])
    best = (np.inf, 0.0)
    for trade in TRADES:
        pick = np.array(tiers)[(chances[0] - trade * price).argmax(1)]
        rows = np.arange(len(known))
        if known.scores[rows, pick].mean() >= (1 - LOSS) * known.scores[:, -1].mean():
            best = min(best, (float(known.costs[rows, pick].mean()), trade))
    pick = (
        np.array(tiers)[(chances[1] - best[1] * price).argmax(1)] if np.isfinite(best[0]) else np.full(len(asked), -1)
    )
    rows = np.arange(len(asked))
    return asked.scores[rows, pick], asked.costs[rows, pick], np.ones(len(asked))


# -- ablations: evidence taken off the board --------


def changed(board: Board, change: Callable) -> Board:
    return msgspec.structs.replace(board, seen=tuple(tuple(change(one) for one in row) for row in board.seen))


ABLATIONS: dict[str, Callable[[Board], Board]] = {
    "all evidence": lambda board: board,
    "without the query's words": lambda board: board,
    "without lengths": lambda board: changed(board, lambda one: msgspec.structs.replace(one, tokens=0)),
    "without hedging, refusal, ending": lambda board: changed(
        board, lambda one: msgspec.structs.replace(one, hedges=False, refuses=False, cut=False, loops=False)
    ),
    "without agreement": lambda board: changed(board, lambda one: msgspec.structs.replace(one, form=None)),
}
BLIND_TO_WORDS = {"without the query's words"}


# -- tables -----------------------------------------------------------------------------------------------------------


def show(found: dict[str, list[dict]], args: argparse.Namespace) -> None:
    for part, lines in found.items():
        table = Table(title=f"{args.board}, {part}: mean ± standard error over seeds")
        for name in ("way", "cost", "relative quality", "splits beyond 2%", "calls", "slm / mid / frontier"):
            table.add_column(name, justify="left" if name == "way" else "right")
        for way in dict.fromkeys(one["way"] for one in lines if one["way"] != "verifier"):
            table.add_row(way, *summary([one for one in lines if one["way"] == way]))
        out.print(table)
    judged = [one for one in found.get("open", []) if one["way"] == "verifier"]
    for name in ("learned", "count of those who agree") if judged else ():
        told = ", ".join(f"{key} {np.mean([one[name][key] for one in judged]):.3f}" for key in judged[0][name])
        out.print(f"P(leading answer is right), {name}: {told}")
    for way in ("at once, 2%", "one by one, 2%", "untuned rule: mid if any SLM says the same"):
        rows = [one["by_source"] for one in found.get("open", []) if one["way"] == way]
        if rows:
            means = {name: np.mean([row[name] for row in rows], 0) for name in rows[0]}
            told = "; ".join(f"{name} {quality:.3f} at {cost:.3f}" for name, (quality, cost) in means.items())
            out.print(f"{way}, by source (relative quality at cost): {told}")


def summary(lines: list[dict]) -> list[str]:
    if "curve" in lines[0]:
        loss, cost, calls = (np.mean([one["curve"][name] for one in lines], 0) for name in ("loss", "cost", "calls"))
        at = int(np.argmax(loss > LOSS)) or len(loss) - 1
        share = (LOSS - loss[at - 1]) / max(1e-9, loss[at] - loss[at - 1])
        value = cost[at - 1] + share * (cost[at] - cost[at - 1])
        return [f"{value:.3f}", f"{1 - LOSS:.3f}", "", f"{calls[at]:.2f}", "mean curve over splits, no choice"]
    cells = []
    for name in ("cost", "relative"):
        values = np.array([one[name] for one in lines])
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
        cells.append(f"{values.mean():.3f} ± {error:.3f}")
    shares = ""
    if "shares" in lines[0]:
        slm, mid, top = np.mean(
            [
                [sum(v for m, v in one["shares"].items() if m.startswith("slm")), one["shares"]["mid"],
                 one["shares"]["frontier"]]
                for one in lines
            ], 0
        )  # fmt: skip
        shares = f"{slm:.2f} / {mid:.2f} / {top:.2f}"
    missed, calls = np.mean([one["missed"] for one in lines]), np.mean([one["calls"] for one in lines])
    return [*cells, f"{missed:.0%}", f"{calls:.2f}", shares]


def write(args: argparse.Namespace, board: Board, found: dict[str, list[dict]]) -> None:
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True, cwd=HERE).strip()
    result = {
        "commit": commit,
        "command": " ".join(["bench/quality/promise.py", *sys.argv[1:]]),
        "seeds": args.seeds,
        "prompts": len(board),
        "plans": PLANS,
        **found,
    }
    path = HERE / "out" / f"promise_{args.board}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
