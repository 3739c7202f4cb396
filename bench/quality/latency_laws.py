"""The stated latency laws beside what was recorded: a law fitted to each model of BFCL that has recorded times.

    python bench/quality/latency_laws.py [--data ../shared/data/outcomes]

BFCL holds the seconds that each hosted model took for each query, seen by its authors' client in 2024, prompts and
answers short. It is for evaluation only: nothing here goes into the laws that are shipped, which are assumptions. This
shows how far off they are. Writes bench/out/latency_laws.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from smallfirst.evals.latency import shipped_laws
from smallfirst.evals.latency_fit import fit_laws
from smallfirst.ledger.timings import Timing

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "outcomes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    args = parser.parse_args()
    path = args.data / "bfcl.parquet"
    if not path.is_file():
        sys.exit(f"{path} is not there: this program needs the recorded outcomes")
    calls, tiers = read(path)
    laws, stated = fit_laws(calls, where=path.name), shipped_laws()
    table = Table(title="latency laws: fitted to recorded times, and as stated", title_justify="left")
    for name in ("model", "tier", "calls", "first ms", "ms a token", "spread", "recorded median s", "stated law says"):
        table.add_column(name, justify="left" if name in ("model", "tier") else "right")
    found = {}
    off: dict[str, list[float]] = defaultdict(list)
    for name, law in laws.items():
        mine = [call for call in calls if call.model == name]
        median = float(np.median([call.latency_us for call in mine])) / 1e6
        says = stated.tiers[tiers[name]].total_us([c.input_tokens for c in mine], [c.output_tokens for c in mine])
        said = float(np.median(says)) / 1e6
        off[tiers[name]].append(said / median)
        row = [str(len(mine)), f"{law.first_ms:.0f}", f"{law.token_ms:.1f}", f"{law.spread:.2f}"]
        table.add_row(name, tiers[name], *row, f"{median:.2f}", f"{said:.2f}")
        found[name] = {"tier": tiers[name], "first_ms": law.first_ms, "token_ms": law.token_ms, "spread": law.spread,
                       "recorded_median_s": median, "stated_median_s": said}  # fmt: skip
    Console(width=130).print(table)
    ratios = {tier: float(np.median(values)) for tier, values in off.items()}
    print("stated / recorded median, median over the models:", {tier: round(r, 2) for tier, r in ratios.items()})
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True, cwd=HERE).strip()
    command = " ".join(["bench/quality/latency_laws.py", *sys.argv[1:]])
    result = {"commit": commit, "command": command, "seed": 0, "stated_over_recorded": ratios, "models": found}
    out = HERE / "out" / "latency_laws.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=1))


def read(path: Path) -> tuple[list[Timing], dict[str, str]]:
    """Every call that has a recorded time, and the tier of each model."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    columns = ["model", "tier", "input_tokens", "output_tokens", "latency_s"]
    table = pq.read_table(path, columns=columns).to_pydict()
    calls, tiers = [], {}
    for model, tier, sent, got, seconds in zip(*(table[name] for name in columns), strict=True):
        if seconds and got and sent:
            calls.append(Timing(model, None, round(seconds * 1e6), int(sent), int(got)))
            tiers[model] = tier
    return calls, tiers


if __name__ == "__main__":
    main()
