"""A certified policy over HTTP beside its offline evaluation, decision by decision, on held-out recorded prompts.

    python bench/quality/replay_promise.py [--limit 2000] [--max-quality-loss 0.05] [--seed 0]

Needs ../shared/data/outcomes, pyarrow and scikit-learn. In order: recorded answers and scores of five roles (ZeroEval
and MMLU-Pro; BFCL's prompts name no answer without their tools) are written in the outcome format; `smallfirst
calibrate` fits, certifies and writes the certificate; a server of the recorded answers and a gateway with that
certificate start on loopback; the prompts of the report part, which were neither fitted nor certified on, go through
it; each reply's model and cost are compared with what evals/ladder.py says of the row. Any difference is a failure.
Writes bench/out/replay_promise.json with commit, seed and command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec
import yaml
from rich.console import Console
from rich.progress import track

from smallfirst.cli.build import App, read_settings
from smallfirst.cli.certified import read_certified
from smallfirst.cli.running import running
from smallfirst.core import Grade
from smallfirst.evals.child_server import ChildServer, free_port
from smallfirst.evals.grades import GradedQuery, join
from smallfirst.evals.ladder import climb
from smallfirst.evals.mix import PARTS, ROLES, USD_PER_M
from smallfirst.evals.outcome_board import board_of, deal
from smallfirst.evals.outcomes import read_outcomes
from smallfirst.evals.replay import Prompt, Replay
from smallfirst.evals.replies import Reply
from smallfirst.learn.board import Board
from smallfirst.models.answers import AnswerRow, write_rows
from smallfirst.models.recorded import Recording, prompt_key
from smallfirst.models.recorded_files import recordings_by_query

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "outcomes"
CLI = [sys.executable, "-m", "smallfirst.cli.main"]
BENCHMARKS = ("gsm", "math-l5", "crux", "mmlu_pro")
PARTS_SHARES = (0.4, 0.3, 0.3)
out = Console(highlight=False, width=140)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--limit", type=int, default=2000, help="prompts of the report part that are replayed")
    parser.add_argument("--max-quality-loss", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=8)
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"{args.data} is not there: this program needs the recorded outcomes")
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        rows, grades = write_outcomes(args.data, home)
        port = free_port()
        (home / "smallfirst.yaml").write_text(config_yaml(port))
        calibrate(args, home)
        queries = join(rows, grades, ROLES)
        app = start(home)
        board = board_of(queries, ROLES, {role: app.catalogue.models[role].price for role in ROLES})
        offline = decisions(args, home, queries, board)
        recorded = [*CLI, "recorded", "serve", "--data", str(home / "recordings.jsonl"), "--port", str(port)]
        began = time.perf_counter()
        with ChildServer(recorded, f"http://127.0.0.1:{port}/health"), running(app) as url:
            online = replay(args, url, [prompt for prompt, _, _ in offline])
        seconds = time.perf_counter() - began
        finish(args, home, offline, online, seconds)


def write_outcomes(data: Path, home: Path) -> tuple[list[AnswerRow], list[Grade]]:
    """Answers, grades and recordings under the roles' names: what is fitted on is what is served, byte by byte."""
    rows: list[AnswerRow] = []
    grades: list[Grade] = []
    recordings: list[Recording] = []
    taken: set[str] = set()
    for name in track(BENCHMARKS, "reading", console=out, transient=True):
        part = PARTS[name]
        models = list(dict.fromkeys(part.roles))
        column = "score_lenient" if part.source == "mmlu_pro" else "score"
        table = read_outcomes(data / f"{part.source}.parquet", models=models, score=column)
        scores = {(row.query_id, row.model): row.score for row in table if row.benchmark == part.benchmark}
        said: dict[str, dict[str, Recording]] = {}
        for query_id, one in recordings_by_query(data, part.source, models, lenient=True):
            said.setdefault(query_id, {})[one.model] = one
        for query_id, answers in said.items():
            key = prompt_key(next(iter(answers.values())).prompt)
            if key in taken or not all((query_id, m) in scores and m in answers for m in models):
                continue
            taken.add(key)  # a gateway is asked by prompt: of copies, the first speaks
            for role, model in zip(ROLES, part.roles, strict=True):
                one, id = answers[model], f"{name}/{query_id}"
                recordings.append(msgspec.structs.replace(one, model=role))
                rows.append(
                    AnswerRow(
                        id,
                        role,
                        one.prompt,
                        answer=one.text,
                        category=name,
                        finish=one.finish,
                        input_tokens=one.input_tokens,
                        output_tokens=one.output_tokens,
                    )
                )
                grades.append(Grade(id, role, scores[query_id, model], "checker:recorded"))
    write_rows(home / "answers.jsonl", rows)
    write_rows(home / "grades.jsonl", grades)
    write_rows(home / "recordings.jsonl", recordings)
    return rows, grades


def config_yaml(port: int) -> str:
    """The gateway's config: five roles at the recorded server, the study's prices, one certified policy."""
    prices = {role: USD_PER_M["slm" if role.startswith("slm") else role] for role in ROLES}
    config = {
        "providers": {"recorded": {"url": f"http://127.0.0.1:{port}/v1", "location": "premises"}},
        "models": {
            role: {
                "provider": "recorded",
                "cost": {"input_per_m": prices[role][0], "output_per_m": prices[role][1]},
                "abilities": {"context": 32768, "logprobs": False},
            }
            for role in ROLES
        },
        "tiers": [{"slm": [r for r in ROLES if r.startswith("slm")]}, {"mid": ["mid"]}, {"frontier": ["frontier"]}],
    }
    text: str = yaml.safe_dump(config, sort_keys=False)
    return text


def calibrate(args: argparse.Namespace, home: Path) -> None:
    """The verb itself, as a user runs it."""
    command = [*CLI, "calibrate", "--data", str(home / "answers.jsonl"), "--scores", str(home / "grades.jsonl")]
    command += ["--config", str(home / "smallfirst.yaml"), "--max-quality-loss", str(args.max_quality_loss)]
    command += ["--parts", ",".join(map(str, PARTS_SHARES)), "--seed", str(args.seed)]
    command += ["--out", str(home / "promise.json")]
    subprocess.run(command, check=True, env={**os.environ, "SMALLFIRST_HOME": str(home), "COLUMNS": "140"})
    config = yaml.safe_load((home / "smallfirst.yaml").read_text())
    config["policies"] = {"promise": {"kind": "certified", "certificate": "promise.json"}}
    (home / "smallfirst.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def start(home: Path) -> App:
    environ = {**os.environ, "SMALLFIRST_HOME": str(home)}
    return App(read_settings(home / "smallfirst.yaml", environ), environ, ledger_path=home / "ledger.db", probes={})


Decided = tuple[str, str, int]
"""(prompt, model that is served, cost of all attempts in nano-dollars)"""


def decisions(args: argparse.Namespace, home: Path, queries: list[GradedQuery], board: Board) -> list[Decided]:
    """What evaluation says of the report part's rows."""
    certificate, ladder = read_certified(home / "promise.json")
    report = deal(queries, board.groups, seed=args.seed, fractions=PARTS_SHARES).report[: args.limit]
    climbed, rung = climb(board.rows(report), ladder), certificate.bounds[0].rung
    return [
        (board.prompts[row], climbed.models[climbed.served[rung, n]], round(climbed.costs[rung, n]))
        for n, row in enumerate(report)
    ]


def replay(args: argparse.Namespace, url: str, prompts: list[str]) -> list[Reply]:
    """What the gateway does with them, in their order."""
    asked = [Prompt(str(n), ({"role": "user", "content": text},)) for n, text in enumerate(prompts)]
    run = Replay(url, asked, model="promise", concurrency=args.concurrency)
    replies = list(track(run, "replaying", total=len(asked), console=out, transient=True))
    return sorted(replies, key=lambda reply: int(reply.id))


def finish(
    args: argparse.Namespace,
    home: Path,
    offline: list[Decided],
    online: list[Reply],
    seconds: float,
) -> None:
    certificate, _ = read_certified(home / "promise.json")
    pairs = enumerate(zip(offline, online, strict=True))
    differ = [n for n, ((_, model, cost), reply) in pairs if (model, cost) != (reply.model, reply.cost)]
    served = Counter(reply.model for reply in online)
    overhead = sorted(reply.overhead_us or 0 for reply in online)
    p50, p95 = (overhead[int(len(overhead) * share)] / 1000 for share in (0.5, 0.95))
    out.print(
        f"{len(online):,} prompts over HTTP in {seconds:.0f} s; {len(differ)} decisions differ from the evaluation"
    )
    out.print("served by: " + ", ".join(f"{model} {count / len(online):.1%}" for model, count in served.most_common()))
    out.print(f"the gateway's own part of a request: p50 {p50:.2f} ms, p95 {p95:.2f} ms, {args.concurrency} callers")
    for n in differ[:10]:
        got = (online[n].model, online[n].cost)
        out.print(f"  {offline[n][0][:80]!r}: evaluated {offline[n][1:]}, served {got}", markup=False)
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True, cwd=HERE).strip()
    result = {
        "commit": commit,
        "command": " ".join(["bench/quality/replay_promise.py", *sys.argv[1:]]),
        "seed": args.seed,
        "certificate": msgspec.to_builtins(certificate),
        "prompts": len(online),
        "differ": len(differ),
        "served": dict(served),
        "overhead_ms": {"p50": p50, "p95": p95},
        "seconds": round(seconds, 1),
    }
    path = HERE / "out" / "replay_promise.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1))
    out.print(f"written to {path.relative_to(HERE.parent)}")
    if differ:
        sys.exit(1)


if __name__ == "__main__":
    main()
