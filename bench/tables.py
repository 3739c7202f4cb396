"""The tables of docs/benchmarks.md, made from what the programs of bench/ wrote.

    python bench/tables.py --take      keep bench/out/*.json in bench/results/, and rewrite the tables
    python bench/tables.py             rewrite the tables from bench/results/
    python bench/tables.py --check     exit status 1 where the page says something else than bench/results/

A table stands between `<!-- table NAME -->` and `<!-- end -->`, and NAME is the name of its file of results. Every
table is followed by what is needed to repeat it: command, commit, machine.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OUT, RESULTS, PAGE = HERE / "out", HERE / "results", HERE.parent / "docs" / "benchmarks.md"
BLOCK = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Result = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--take", action="store_true", help="keep the latest results first")
    parser.add_argument("--check", action="store_true", help="change nothing; say whether the page is up to date")
    chosen = parser.parse_args()
    if chosen.take:
        take()
    now = PAGE.read_text()
    page = BLOCK.sub(lambda found: found[1] + table(found[2]) + found[3], now)
    if chosen.check:
        if page != now:
            print("docs/benchmarks.md is not what bench/results/ says; run: python bench/tables.py", file=sys.stderr)
        return int(page != now)
    PAGE.write_text(page)
    return 0


def take() -> None:
    """Copy the results that the page shows from bench/out, which is not kept, to bench/results, which is."""
    RESULTS.mkdir(exist_ok=True)
    for name in TABLES:
        if (OUT / f"{name}.json").exists():
            shutil.copyfile(OUT / f"{name}.json", RESULTS / f"{name}.json")
            print(f"kept {name}.json")


def table(name: str) -> str:
    """The Markdown of one table and the line under it."""
    path = RESULTS / f"{name}.json"
    if name not in TABLES or not path.exists():
        sys.exit(f"docs/benchmarks.md names the table {name}, and there is no {path.relative_to(HERE.parent)} for it")
    result: Result = json.loads(path.read_text())
    head, *rows = TABLES[name](result)
    lines = [head, ("---", *("--:" for _ in head[1:])), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines) + f"\n{source(result)}\n"


def source(result: Result) -> str:
    """How the figures came about, in a line."""
    command = result["command"]
    words = command if isinstance(command, str) else " ".join(command)
    said = [f"`python {words.removeprefix('python ')}`", f"commit {result['commit'][:7]}"]
    if result.get("seed") is not None:
        said.append(f"seed {result['seed']}")
    if machine := result.get("machine"):
        load = f", load average {result['load_average'][0]:.1f} at its end" if "load_average" in result else ""
        said.append(f"{machine['cores']} cores ({machine['cpu']}){load}")
    return f"*{'; '.join(said)}.*"


Rows = Iterable[tuple[object, ...]]

CASES = {
    "c": "JSON answer",
    "v": "JSON answer, first tier asked and verified",
    "b": "JSON answer, prompt of 8 KB",
    "s": "stream, 30 events at once",
    "p": "stream, an event each 5 ms",
}


def gateway(result: Result) -> Rows:
    yield (
        "case", "callers", "CPU a request, us", "nginx, us", "times nginx", "one more event, us", "times nginx",
        "added p50, us", "goal",
    )  # fmt: skip
    for line in result["table"]:
        case = line["case"]
        event = [f"{line[name]:.1f}" if name in line else "" for name in ("event_us", "event_ratio")]
        goal = {"c64": "350 us or 12x", "p64": "2.5x an event"}.get(case, "")
        figures = f"{line['cpu_us']:.0f}", f"{line['nginx_us']:.0f}", f"{line['ratio']:.1f}"
        yield (CASES[case[0]], case[1:], *figures, *event, f"{line['added_p50_us']:.0f}", goal)


def startup(result: Result) -> Rows:
    yield ("what", "figure", "goal")
    for module, seconds in result["import_s"].items():
        yield (f"`import {module}`", f"{max(0.0, seconds):.3f} s", "0.3 s" if module == "smallfirst" else "")
    yield ("`smallfirst serve` ready, no embedded model", f"{result['ready_s']:.2f} s", "1.5 s")
    yield ("idle memory of the gateway process (PSS)", f"{result['idle_mb']:.0f} MB", "80 MB")


def classifier(result: Result) -> Rows:
    yield ("text", "p50, us", "p99, us", "goal (p50)")
    for name, found in result["us"].items():
        yield (name, f"{found['p50']:.1f}", f"{found['p99']:.1f}", "25 us" if name == "40 words" else "60 us")


def ledger(result: Result) -> Rows:
    yield ("what", "figure", "goal")
    alone, through = result["writer_alone"], result["sustained"]
    spread = "{slowest:,.0f} to {fastest:,.0f}"
    yield (
        f"entries/s, the writer alone (median of 5, {spread.format(**alone)})",
        f"{alone['entries_per_s']:,.0f}",
        "50,000",
    )
    yield (
        f"entries/s through `record()` and the writer's thread, which share one interpreter (median of 3, "
        f"{spread.format(**through)})",
        f"{through['entries_per_s']:,.0f}",
        "",
    )
    yield ("CPU of the event loop an entry", f"{result['producer']['record_cpu_us']:.1f} us", "")
    yield ("on the disk, an entry", f"{through['bytes_per_entry']:.0f} bytes", "")
    for name, words in (("intents_64", "64 callers"), ("intents_1", "one caller")):
        run = result[name]
        yield (f"intents/s, each synced to the disk, {words}", f"{run['intents_per_s']:,.0f}", "")
        yield (
            f"added by an intent, {words}, p50 / p99",
            f"{run['added_ms_p50']:.1f} / {run['added_ms_p99']:.1f} ms",
            "",
        )
    lost = ", ".join(str(kill["lost"]) for kill in result["kills"])
    intact = "intact" if all(kill["intact"] for kill in result["kills"]) else "DAMAGED"
    yield (f"entries lost by kill -9 under load, each time; the file is {intact}", lost, "1,000")


def embedded(result: Result) -> Rows:
    yield (
        "weights", "threads", "MB", "first token of ~96, ms", "prompt tokens/s", "output tokens/s", "memory, MB",
        "same first word", "its log-probability moved by",
    )  # fmt: skip
    for row in result["rows"]:
        keys = ("kind", "threads", "mb", "first_ms", "prompt_per_s", "output_per_s", "rss_mb", "same", "moved")
        yield tuple(row[key] for key in keys)


def agreement_rule(result: Result) -> Rows:
    yield ("how agreement is found", "cost", "relative quality", "served by mid")
    for how, found in result.items():
        if isinstance(found, dict) and "cost_sd" in found:
            cost = f"{found['cost']:.3f} ± {found['cost_sd']:.3f}"
            quality = f"{found['relative quality']:.3f} ± {found['quality_sd']:.3f}"
            yield (how, cost, quality, f"{found['share of mid']:.3f}")
    study = result["study"]
    yield ("the study, all prompts", *(f"{study[key]:.3f}" for key in ("cost", "relative quality", "share of mid")))


def replay(result: Result) -> Rows:
    """One line a policy; costs relative to always frontier, all calls paid."""
    tiers = [name for name in ("slm", "mid", "frontier") if name in result["lineup"]]
    yield ("policy", "cost", "quality", "relative quality, 95%", *tiers, "calls")
    for line in result["lines"]:
        relative = "{estimate:.3f} [{low:.3f}, {high:.3f}]".format(**line["relative"])
        shares = [f"{100 * line['shares'][tier]:.1f}%" for tier in tiers]
        yield (line["name"], f"{line['cost']:.3f}", f"{line['quality']:.3f}", relative, *shares, f"{line['calls']:.2f}")


def triage(result: Result) -> Rows:
    """One row a data set; cfpb is a cascade over recorded LLMs and stands in the text."""
    yield (
        "set",
        "texts",
        "accuracy",
        "with a label",
        "surest 88%",
        "kept",
        "of these right",
        "out of scope, AUROC",
        "ms",
    )
    for name, found in result["found"].items():
        if name != "cfpb":
            report = found["report"]
            scope = report["scope_auroc"]
            yield (
                name, report["rows"], *(f"{percent(report[part]):.1%}" for part in ("everything", "in_scope")),
                f"{report['at_coverage']['88%']:.1%}", f"{report['kept_share']:.1%}", f"{percent(report['kept']):.1%}",
                "" if scope is None else f"{scope:.3f}", f"{report['us_per_text'] / 1000:.1f}",
            )  # fmt: skip


def extraction_sroie(result: Result) -> Rows:
    """One row a field and finder, on the test part."""
    test = result["found"]["test"]
    yield "field, who", "right, letters and digits", "95% interval over vendors", "verbatim"
    for name, found in test.items():
        if isinstance(found, dict) and "verbatim" in found:
            right, low, high = found["letters and digits"]
            yield name, f"{right:.1%}", f"{low:.1%} .. {high:.1%}", f"{found['verbatim'][0]:.1%}"


def ocr_noise(result: Result) -> Rows:
    """One row a way to spoil a picture."""
    columns = ("words, as it is", "words, cleaned", "fields, as it is", "fields, cleaned")
    yield "picture", *columns
    for name, found in result["found"].items():
        if isinstance(found, dict):
            yield name, *(f"{found[column]:.0%}" for column in columns)


def percent(share: Result) -> float:
    return share["right"] / share["n"]


def slots(result: Result) -> Rows:
    """The tagger and what stands beside it, on the test part."""
    test = result["found"]["test"]
    names = list(test["tagger"]["by slot"])
    yield ("who", "F1", "95%", *names)
    for who in ("tagger", "dictionary", "patterns"):
        one = test[who]
        ends = f"{one['low']:.3f} .. {one['high']:.3f}"
        yield (who, f"{one['f1']:.3f}", ends, *(f"{one['by slot'][name]:.3f}" for name in names))


def contracts(result: Result) -> Rows:
    """Each field and its baselines, on the dev part."""
    dev = result["found"]["dev"]
    yield ("field", "who", "right", "95%", "where there is one", "kept at 90%", "of these right")
    for field, kept in dev["kept"].items():
        for who, one in dev[field].items():
            its = (
                (f"{kept['kept']:.0%}", f"{kept['kept right']:.1%}" if kept["kept"] else "")
                if who == "model"
                else ("", "")
            )
            yield (
                field, who, f"{one['right']:.1%}", f"{one['low']:.1%} .. {one['high']:.1%}",
                f"{one['where there is one']:.1%} of {one['there']}", *its,
            )  # fmt: skip


TABLES: dict[str, Callable[[Result], Rows]] = {
    "triage": triage,
    "slots": slots,
    "contracts": contracts,
    "extraction_sroie": extraction_sroie,
    "ocr_noise": ocr_noise,
    "gateway": gateway,
    "startup": startup,
    "classifier": classifier,
    "ledger": ledger,
    "embedded": embedded,
    "agreement_rule": agreement_rule,
    "replay_zeroeval": replay,
    "replay_mmlu_pro": replay,
}
"""The name of a table and of its results -> its rows, the heading first."""


if __name__ == "__main__":
    sys.exit(main())
