"""The untuned agreement rule, offline, against the study: the mid model's answer if any of three SLMs agrees, else up.

    python bench/quality/agreement_rule.py [--data ../shared/data/outcomes] [--seeds 20]

Three ways to the same figures, on ZeroEval with the study's panel and prices: the answers that the data's authors
canonicalised, compared as text; the same through smallfirst's own canonicaliser on what the models wrote; and
policy/panel.py itself on a virtual clock. The study (feasibility.csv, f_never_any) has cost .470 and relative quality
.998 on all prompts; 70% of them are here. Writes bench/out/agreement_rule.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from smallfirst.core import Outcome, Query, Score, Status, Tier, Usage
from smallfirst.engine.virtual import simulate
from smallfirst.evals.baselines import Priced, price_table
from smallfirst.evals.outcomes import read_outcomes, score_table, split
from smallfirst.evals.recorded_experiment import FRACTIONS, LINEUPS, Lineup, play_roles
from smallfirst.models.recorded import Recordings
from smallfirst.models.recorded_files import load_recordings
from smallfirst.policy.build import build_policy
from smallfirst.policy.protocol import Facts, Start
from smallfirst.policy.settings import PanelSettings, PolicySettings
from smallfirst.verify.agreement import compare
from smallfirst.verify.canonical import canonical_text
from smallfirst.verify.judge import make_judge

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "outcomes"
STUDY = {"cost": 0.4699, "relative quality": 0.9982, "share of mid": 0.7610}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, default=20)
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"{args.data} is not there: this program needs the recorded outcomes")
    lineup = LINEUPS["zeroeval"]
    rows = read_outcomes(args.data / "zeroeval.parquet", models=lineup.recorded)
    table = score_table(play_roles(rows, lineup.roles), list(lineup.roles))
    data = price_table(table, lineup.prices())
    recordings = load_recordings(args.data, sources=["zeroeval"], models=lineup.recorded)
    found = {
        "answers as the data gives them": measure(data, stored_agreement(args.data, data, lineup), None, args.seeds),
        "smallfirst's canonical form of the texts": measure(
            data, own_agreement(data, recordings, lineup), None, args.seeds
        ),
        "policy/panel.py on a virtual clock": measure(data, *panel(data, recordings, lineup), args.seeds),
    }
    show(found, len(table.prompts))


def stored_agreement(folder: Path, data: Priced, lineup: Lineup) -> np.ndarray:
    """(n,) whether any SLM's stored final answer equals the mid model's."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    table = pq.read_table(folder / "answers_zeroeval.parquet", columns=["query_id", "model", "answer"]).to_pydict()
    answers = dict(zip(zip(table["query_id"], table["model"], strict=True), table["answer"], strict=True))

    def said(query_id: str, role: str) -> str | None:
        return next((answers[query_id, m] for m in role.split("|") if (query_id, m) in answers), None)

    mid = next(iter(lineup.mid.values()))
    return np.array(
        [
            (meant := said(query_id, mid)) is not None and meant in [said(query_id, r) for r in lineup.slm.values()]
            for query_id in data.table.query_ids
        ]
    )


def own_agreement(data: Priced, recordings: Recordings, lineup: Lineup) -> np.ndarray:
    """(n,) the same by verify's canonical form of the texts."""
    mid = next(iter(lineup.mid.values()))
    agreed = []
    for prompt in data.table.prompts:
        texts = [recordings.find(prompt, role).text for role in (mid, *lineup.slm.values())]
        forms = [canonical_text(text) for text in texts]
        pairs = zip(forms[1:], texts[1:], strict=True)
        agreed.append(any(compare(forms[0], form, texts[0], text) == "same" for form, text in pairs))
    return np.array(agreed)


def panel(data: Priced, recordings: Recordings, lineup: Lineup) -> tuple[np.ndarray, np.ndarray]:
    """((n,) whether the mid model was served, (n,) column of the model that was), by the gateway's own policy."""
    tiers = tuple(Tier(tier, tuple(models)) for tier, models in lineup.tiers.items())
    settings = PolicySettings(
        kind="panel", panel=PanelSettings(models=tuple(lineup.slm), with_mid=True), accept={"mid": 1.0}
    )
    policy = build_policy("panel", settings, tiers)
    score = Score(0.5, "other", dict.fromkeys(lineup.roles, 0.5))
    served = []
    for prompt in data.table.prompts:
        query = Query(id="q", asked="panel", text=prompt, fields={})
        facts = Facts(tiers, score.p_correct, 0.5, "other", make_judge(query, score), lambda _: 0)

        def answer(start: Start, prompt: str = prompt) -> tuple[Outcome, int]:
            said = recordings.find(prompt, lineup.roles[start.model])
            usage = Usage(said.input_tokens, said.output_tokens)
            return Outcome(start.model, Status.ok, said.text, finish=said.finish, usage=usage), 1000

        trace = simulate(policy, facts, answer)
        model = next(a.outcome.model for a in trace.attempts if a.n == trace.decision.served)
        served.append(data.table.column(model))
    column = np.array(served)
    return np.isin(column, [data.table.column(m) for m in lineup.mid]), column


def measure(data: Priced, agreed: np.ndarray, served: np.ndarray | None, seeds: int) -> dict[str, float]:
    """Mean over splits of cost and relative quality on the report part; the whole panel is paid every time."""
    top = len(data.models) - 1
    column = np.where(agreed, top - 1, top) if served is None else served
    scores = data.scores[np.arange(len(column)), column]
    costs = data.costs[:, :top].sum(1) + np.where(column == top, data.costs[:, top], 0)
    parts = []
    for seed in range(seeds):
        report = split(data.table.groups, seed=seed, fractions=FRACTIONS)[1]
        rows = np.array([group in report for group in data.table.groups])
        quality = scores[rows].sum() / data.scores[rows, top].sum()
        parts.append((costs[rows].sum() / data.costs[rows, top].sum(), quality, (column == top - 1)[rows].mean()))
    mean, spread = np.mean(parts, 0), np.std(parts, 0)
    return {
        "cost": mean[0],
        "cost_sd": spread[0],
        "relative quality": mean[1],
        "quality_sd": spread[1],
        "share of mid": mean[2],
    }


def show(found: dict[str, dict[str, float]], prompts: int) -> None:
    table = Table(
        title=f"mid if any SLM agrees, else frontier: ZeroEval, {prompts} prompts, report parts of many splits"
    )
    for name in ("how", "cost", "relative quality", "share of mid"):
        table.add_column(name, justify="left" if name == "how" else "right")
    for how, f in found.items():
        cost, quality = f"{f['cost']:.3f} ± {f['cost_sd']:.3f}", f"{f['relative quality']:.3f} ± {f['quality_sd']:.3f}"
        table.add_row(how, cost, quality, f"{f['share of mid']:.3f}")
    table.add_row("the study, all prompts", "0.470 ± 0.010", "0.998 ± 0.004", "0.761")
    Console().print(table)
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True, cwd=HERE).strip()
    command = " ".join(["bench/quality/agreement_rule.py", *sys.argv[1:]])
    result = {"commit": commit, "command": command, "seed": "0..seeds-1", "prompts": prompts, "study": STUDY, **found}
    path = HERE / "out" / "agreement_rule.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
