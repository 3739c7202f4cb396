"""The whole product on an enterprise's mix of queries: share by tier, cost, latency, quality loss, certified or not.

    python bench/enterprise/run.py [--weights FILE] [--seed 1] [--draws 20]

Sources, weights, prices and what counts as a local answer stand in bench/enterprise/mix.yaml. What the local models say
is made once by local.py (ten minutes of CPU) and kept in bench/out/enterprise/; ladders on the recorded answers take a
minute more. Where nothing was recorded the frontier model is taken to be right, which makes our loss look larger. The
seed deals the parts: another seed is another split, and fits everything anew. Writes bench/out/enterprise_SEED.json and
.html; docs/enterprise.md has the last run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
from courses import SETTINGS, local_course
from judge import (
    Courses,
    Line,
    all_local,
    at_setting,
    by_oracle,
    by_source,
    certify,
    choose,
    measure,
    random_at,
    total,
)
from ladders import PLANS, complaints, general
from local import SOURCES, make
from mix import TABLE, Mix, read_mix, reweighed
from picture import page
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from rows import HERE, SHARED, load

out = Console(width=220, highlight=False)
Parts = dict[str, Courses]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=TABLE, help="another table like mix.yaml")
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=20, help="further samples of the mix, to see what the draw does")
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"{args.data} is not there: this program needs the recorded data")
    mix = read_mix(args.weights)
    make(args.data / "tasks", [name for name in mix.names if name in SOURCES], args.seed)
    ladders = {plan: general(args.data / "outcomes", args.seed, plan) for plan in PLANS}
    fixed = complaints(args.data / "tasks", load("cfpb", args.seed), mix, args.seed)

    def courses(of: Mix) -> Parts:
        found: Parts = {"certify": {}, "report": {}}
        for part, its in found.items():
            for name in of.names:
                if name == "general":
                    its[name] = ladders[of.plan].courses(of, part)
                elif name == "cfpb":
                    its[name] = fixed.courses(of, part)
                else:
                    its[name] = local_course(load(name, args.seed).part(part), of, of.answers[name], args.seed)
        return found

    main_parts = courses(mix)
    lines, proof = judged(main_parts, mix, args.seed)
    show(lines, proof)
    path = along(main_parts["report"], mix)
    show_path(path)
    show_sources(lines[0])
    show_sources(lines[1])
    others = {name: judged(courses(one), one, args.seed, brief=True) for name, one in variants(mix).items()}
    show_others({"as documented": (lines, proof), **others})
    spread = drawn(main_parts, mix, args.seed, args.draws)
    out.print(f"certified cost over {args.draws} other samples of the mix from the same rows: {spread}")
    write(args, mix, path, lines, proof, others, spread)


def judged(parts: Parts, mix: Mix, seed: int, *, brief: bool = False) -> tuple[list[Line], dict]:
    """(ways on the report part; the certified one first, the chosen one second), what the walk says."""
    weights, known, asked = mix.weights, parts["certify"], parts["report"]
    proved, cheapest = certify(known, weights, seed)
    chosen = choose(known, weights)
    ways = {"certified, 2% at 95%": cheapest, "chosen, 2%, not certified": chosen, "z-test's floor": proved.floor}
    lines = [measure(way, asked, weights, at_setting(at), seed, float(SETTINGS[at])) for way, at in ways.items()]
    proof = {"rows": proved.rows, "says": proved.explain(), "settings": [float(SETTINGS[at]) for at in ways.values()]}
    if not brief:
        lines += [
            measure("all frontier (the best single model)", asked, weights, at_setting(0), seed),
            measure("everything local (the cheapest)", asked, weights, all_local, seed),
            measure("a fixed choice for each source", asked, weights, by_source(known, weights), seed),
            measure("oracle: the cheapest that was right", asked, weights, by_oracle, seed),
        ]
        for line in lines[:2]:
            share, loss = random_at(asked, weights, line.cost)
            proof[f"coin at the cost of: {line.way}"] = {"local": share, "cost": line.cost, "loss": loss}
    return lines, proof


def variants(mix: Mix) -> dict[str, Mix]:
    """Other weights and other assumptions; none was used to choose the documented ones."""

    def answers(**changed: list[str]) -> Mix:
        return msgspec.structs.replace(mix, answers={**mix.answers, **changed})

    return {
        "kb: only 'not in the knowledge base'": answers(clapnq=["absent"], mtragun=["absent"]),
        "kb: that, or one passage": answers(clapnq=["absent", "one"], mtragun=["absent", "one"]),
        "contracts right as a whole or not": answers(cuad=["whole"]),
        "calls saved in place of dollars": msgspec.structs.replace(mix, saves="calls"),
        "calls in place of dollars, at once": msgspec.structs.replace(mix, saves="calls", plan="at once"),
        "contracts handed up as excerpts": msgspec.structs.replace(mix, excerpts="up"),
        "the same, and all-frontier reads excerpts": msgspec.structs.replace(mix, excerpts="always"),
        **{f"general: {plan}": msgspec.structs.replace(mix, plan=plan) for plan in PLANS if plan != mix.plan},
        "equal weights": msgspec.structs.replace(mix, weights=dict.fromkeys(mix.names, 1 / len(mix.names))),
        "triage-heavy (60/15/10/15)": reweighed(mix, triage=0.6, extraction=0.15, knowledge_base=0.1, general=0.15),
        "extraction-heavy (20/50/15/15)": reweighed(mix, triage=0.2, extraction=0.5, knowledge_base=0.15, general=0.15),
        "knowledge-base-heavy (20/10/55/15)": reweighed(mix, triage=0.2, extraction=0.1, knowledge_base=0.55,
                                                        general=0.15),
        "general-heavy (15/10/15/60)": reweighed(mix, triage=0.15, extraction=0.1, knowledge_base=0.15, general=0.6),
        "no general prompts (45/30/25)": reweighed(mix, triage=0.45, extraction=0.3, knowledge_base=0.25),
    }  # fmt: skip


def drawn(parts: Parts, mix: Mix, seed: int, draws: int) -> dict[str, float]:
    """What chance there was in the sample that was certified on. Reported, never chosen from."""
    costs = []
    for one in range(draws):
        _, cheapest = certify(parts["certify"], mix.weights, seed + 1 + one)
        report = total(parts["report"], mix.weights, "usd")
        costs.append(report[cheapest] / report[0])
    return {"mean": float(np.mean(costs)), "least": float(min(costs)), "most": float(max(costs))} if costs else {}


# -- tables -----------------------------------------------------------------------------------------------------------


def show(lines: Iterable[Line], proof: dict) -> None:
    table = Table(box=MARKDOWN, title="on the report part, relative to all-frontier; 95% intervals")
    for name in ("way", "cost", "quality loss", "latency", "SLM / mid / frontier"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for line in lines:
        table.add_row(*cells(line))
    out.print(table)
    for key, value in proof.items():
        out.print(f"{key}: {value}")


def cells(line: Line) -> list[str]:
    def span(key: str) -> str:
        low, high = line.interval[key]
        return f"({low:.3f} .. {high:.3f})"

    shares = " / ".join(f"{value:.2f}" for value in line.shares.values())
    figures = (f"{getattr(line, key):.3f} {span(key)}" for key in ("cost", "loss", "latency"))
    return [line.way, *figures, shares]


SHOWN = {
    "cost": "cost", "quality loss": "loss", "latency": "latency", "SLM": "slm", "mid": "mid",
    "its part of all-frontier's cost": "frontier part of cost", "of ours": "part of cost",
    "of all-frontier's time": "frontier part of latency", "of ours ": "part of latency", "of the loss": "part of loss",
}  # fmt: skip


def along(courses: Courses, mix: Mix) -> dict[str, list[float]]:
    """Means of every setting."""
    found = {of: total(courses, mix.weights, of) for of in ("score", "usd", "us")}
    found["slm"] = sum(mix.weights[name] * (course.tier == 0).mean(1) for name, course in courses.items())
    return {name: values.tolist() for name, values in found.items()}


def show_path(path: dict[str, list[float]]) -> None:
    """Where the whole path lies, read off the report part with hindsight: no choice, no promise."""
    score, usd, us, slm = (np.array(path[key]) for key in ("score", "usd", "us", "slm"))
    loss = 1 - score / score[0]
    table = Table(box=MARKDOWN, title="the path on the report part, in hindsight")
    for name in ("loss at most", "cost", "latency", "SLM"):
        table.add_column(name, justify="right")
    for most in (0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.10):
        at = int(np.flatnonzero(loss <= most)[-1])
        table.add_row(f"{most:.0%}", f"{usd[at] / usd[0]:.3f}", f"{us[at] / us[0]:.3f}", f"{slm[at]:.2f}")
    out.print(table)


def show_sources(line: Line) -> None:
    table = Table(box=MARKDOWN, title=f"{line.way}: by source; parts add up to the mix's figures")
    for name in ("source", "rows", "USD a frontier call", *SHOWN):
        table.add_column(name, justify="left" if name == "source" else "right")
    for name, one in line.sources.items():
        figures = (f"{one[key]:.4f}" if "loss" in key else f"{one[key]:.3f}" for key in SHOWN.values())
        table.add_row(name, f"{one['rows']:.0f}", f"{one['usd']:.5f}", *figures)
    out.print(table)


def show_others(found: dict[str, tuple[list[Line], dict]]) -> None:
    table = Table(box=MARKDOWN, title="other weights and assumptions: certified | chosen, not certified")
    for name in ("mix", "rows", "cost", "loss", "latency", "SLM", "floor", "cost", "loss", "latency", "SLM"):
        table.add_column(name, justify="left" if name == "mix" else "right")
    for name, (lines, proof) in found.items():
        one, two = ([f"{line.cost:.3f}", f"{line.loss:.4f}", f"{line.latency:.3f}", f"{line.shares['slm']:.2f}"]
                    for line in lines[:2])  # fmt: skip
        table.add_row(name, str(proof["rows"]), *one, f"{lines[2].cost:.3f}", *two)
    out.print(table)


def write(args: argparse.Namespace, mix: Mix, path: dict, lines: list, proof: dict, others: dict, spread: dict):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    said = {
        "command": " ".join(sys.argv), "commit": commit.stdout.strip(), "seed": args.seed, "mix": mix, "lines": lines,
        "certificate": proof, "samples": spread, "settings": SETTINGS.tolist(), "path": path,
        "others": {name: {"lines": its, "certificate": told} for name, (its, told) in others.items()},
    }  # fmt: skip
    target = HERE / "out" / f"enterprise_{args.seed}.json"
    target.write_bytes(msgspec.json.format(msgspec.json.encode(said), indent=1))
    target.with_suffix(".html").write_text(page(lines, path))
    out.print(f"written to {target.relative_to(HERE.parent)} and {target.with_suffix('.html').name} beside it")


if __name__ == "__main__":
    main()
