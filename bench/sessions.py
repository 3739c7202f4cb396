"""What conversations cost with sessions and without, and what the price of a switch saves.

    python bench/sessions.py [--data ../shared/data/tasks/rag] [--seed 0] [--hard 0.3 0.7] [--pause 30]

The multi-turn questions of mtragun with their histories: what was asked and answered in each turn, tokens are
characters / 4. Before the first question stands a context of 0, 8,000 or 50,000 tokens (documents, tools, a long
system prompt). Pairs of a smaller and a larger model at list prices, cached tokens at the cached price; a model's
prompt cache holds what it read last, from 1,024 tokens on, for 300 s. A share of the turns, by a coin that is the
same for all ways, is predicted too hard for the smaller model (chance .1: it is not asked); of the others it is asked
with a predicted and true chance of .9, and where its answer is not good enough the call is paid and handed up.
engine/sessions.py itself says who may be asked. What the answers are worth is not looked at: a way that asks the
larger model more often serves better ones.

`stay`: three turns up after a hand-up, no price. `price h`: the price of a switch over h turns, no staying. Prints
total cost relative to always the larger model, and its share of the turns; writes bench/out/sessions.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import harness
import msgspec

from smallfirst.core import (
    NANO,
    Attempt,
    DataClass,
    Dials,
    Entry,
    Model,
    Needs,
    Outcome,
    Price,
    Query,
    Reason,
    Replica,
    Status,
    Tier,
    Usage,
)  # fmt: skip
from smallfirst.engine.sessions import LEAST_CACHED, Sessions
from smallfirst.engine.settings import SessionSettings
from smallfirst.models.presets import find
from smallfirst.models.prices import look_up

DATA = harness.HERE.parent.parent / "shared" / "data" / "tasks" / "rag"
PAIRS = (
    ("claude-haiku-4-5", "claude-sonnet-4-5"), ("claude-haiku-4-5", "claude-opus-4-5"), ("gpt-4.1-mini", "gpt-4.1"),
    ("gpt-4o-mini", "gpt-4o"), ("gemini-2.5-flash", "gemini-2.5-pro"), ("own 8B", "gpt-4o"),
)  # fmt: skip
OWN = Price(NANO // 10, NANO // 10, NANO // 10, "stated: $0.80 an hour at 8M tokens")
CONTEXTS = (0, 8_000, 50_000)
CACHE_S = 300.0
MESSAGES = msgspec.Raw(b'[{"role":"user","content":"x"}]')
EASY, HARD, TRY_ABOVE = 0.9, 0.1, 0.3
WAYS: dict[str, SessionSettings | None] = {
    "none": None,
    "stay": SessionSettings(ttl_s=3600, horizon=1_000_000),
    "price 1": SessionSettings(ttl_s=3600, stay_turns=0),
    "price 3": SessionSettings(ttl_s=3600, stay_turns=0, horizon=3),
    "price 10": SessionSettings(ttl_s=3600, stay_turns=0, horizon=10),
    "both 3": SessionSettings(ttl_s=3600, horizon=3),
}


class Turn(NamedTuple):
    asked: int  # tokens
    answered: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hard", type=float, nargs="+", default=[0.3, 0.7], help="share of turns that are too hard")
    parser.add_argument("--pause", type=float, default=30.0, help="seconds between turns")
    chosen = parser.parse_args()
    file = chosen.data / "mtragun_questions.parquet"
    if not file.is_file():
        sys.exit(f"{file} is not there: this program needs the recorded conversations")
    talks = read(file)
    turns = sum(map(len, talks))
    print(f"{len(talks)} conversations, {turns} turns")
    prices, rows = priced(), []
    for hard, (small, large) in itertools.product(chosen.hard, PAIRS):
        if prices.get(small) is None or prices.get(large) is None:
            print(f"{small}, {large}: no list price; left out")
            continue
        models = {name: Model(name, tier, (Replica("p", "http://x", name),), price=prices[name])
                  for name, tier in ((small, "slm"), (large, "frontier"))}  # fmt: skip
        for context in CONTEXTS:
            row = {"hard": hard, "small": small, "large": large, "context": context}
            whole, _ = play(talks, models, (Tier("frontier", (large,)),), context, None, hard, chosen)
            for way, settings in WAYS.items():
                tiers = (Tier("slm", (small,)), Tier("frontier", (large,)))
                cost, up = play(talks, models, tiers, context, settings, hard, chosen)
                row[way] = {"cost": cost / whole, "up": up / turns}
            rows.append(row)
            cells = "  ".join(f"{way} {row[way]['cost']:.3f} ({row[way]['up']:.2f})" for way in WAYS)
            print(f"{hard:.1f} {small:17} {large:17} {context:6}  {cells}")
    path = harness.record("sessions", seed=chosen.seed, hard=chosen.hard, pause_s=chosen.pause, rows=rows,
                          conversations=len(talks), turns=turns)  # fmt: skip
    print(f"written to {path}")


def read(file: Path) -> list[list[Turn]]:
    """Each conversation once, as far as it is recorded."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    longest: dict[str, list[Turn]] = {}
    table = pq.read_table(file, columns=["qid", "question", "history", "answers"]).to_pydict()
    for qid, question, history, answers in zip(*table.values(), strict=True):
        said = history if isinstance(history, list) else json.loads(history or "[]")
        texts = [str(text) for _, text in said] + [question, answers[0] if answers else ""]
        turns = [Turn(tokens(a), tokens(b)) for a, b in zip(texts[::2], texts[1::2], strict=False)]
        name = qid.split("<::>")[0]
        if len(turns) > len(longest.get(name, ())):
            longest[name] = turns
    return [turns for turns in longest.values() if len(turns) > 1]


def tokens(text: str) -> int:
    return max(1, -(-len(text) // 4))


def priced() -> dict[str, Price | None]:
    """List prices of the presets, from the genai-prices package."""
    names = {name for pair in PAIRS for name in pair} - {"own 8B"}
    references = {name: preset.price for name in names if (preset := find(name)) is not None and preset.price}
    with tempfile.TemporaryDirectory() as folder:
        found = look_up(list(references.values()), Path(folder))
    return {**{name: found[reference] for name, reference in references.items()}, "own 8B": OWN}


def play(
    talks: list[list[Turn]], models: dict[str, Model], tiers: tuple[Tier, ...], context: int,
    settings: SessionSettings | None, hard: float, chosen: argparse.Namespace,
) -> tuple[int, int]:  # fmt: skip
    """(nano-dollars of all calls, turns that the highest tier answered)."""
    rng, now, total, up = random.Random(chosen.seed), 0.0, 0, 0
    sessions = None if settings is None else Sessions(settings, clock=lambda: now)
    for number, turns in enumerate(talks):
        read: dict[str, tuple[int, float]] = {}  # model -> (tokens that its cache holds, since when)
        size = context
        for turn in turns:
            now += chosen.pause
            size += turn.asked
            chance, right = HARD if rng.random() < hard else EASY, rng.random()
            dials = Dials(session=str(number))
            query = Query("q", "auto", "", {"messages": MESSAGES}, Needs(input_tokens=size), dials=dials)
            found = sessions.find(query, "key") if sessions else None
            chances = dict.fromkeys(models, chance)
            open_to = sessions.narrow(found, tiers, models, query, chances) if sessions and found else tiers
            calls: list[Outcome] = []
            for tier in open_to:
                top = tier is open_to[-1]
                if not top and chance < TRY_ABOVE:
                    continue
                name = tier.models[0]
                kept, since = read.get(name, (0, 0.0))
                cached = kept if kept >= LEAST_CACHED and now - since <= CACHE_S else 0
                usage = Usage(size, turn.answered, cached)
                price = models[name].price
                calls.append(Outcome(name, Status.ok, usage=usage, cost=price.cost(usage) if price else 0))
                read[name] = (size, now)
                if top or right < chance:
                    break
            total += sum(call.cost for call in calls)
            up += models[calls[-1].model].tier == "frontier"
            if sessions and found:
                sessions.note(found, entry(models[calls[-1].model], calls), turn.answered)
            size += turn.answered
        now += 2 * CACHE_S
    return total, up


def entry(model: Model, calls: list[Outcome]) -> Entry:
    attempts = tuple(Attempt(n, "answer", call) for n, call in enumerate(calls, 1))
    return Entry(
        id="e", at_us=0, asked="auto", policy="auto", key_id="key", tags=(), session=None,
        data_class=DataClass.internal, kind="faq", complexity=0.1, reason=Reason.accepted, status=200,
        served_model=model.name, served_tier=model.tier, attempts=attempts, cost=0, baseline_cost=None,
        baseline_method="", latency_us=1, overhead_us=1, stream=False, would_escalate=False,
        deferrals=("low_confidence",) * (len(calls) - 1),
    )  # fmt: skip


if __name__ == "__main__":
    main()
