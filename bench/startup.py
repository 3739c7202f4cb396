"""How long smallfirst takes to be there, and what it weighs when it idles.

    python bench/startup.py [--runs 7]

Import time is that of a fresh interpreter less that of one that imports nothing; ready time is from starting the
process of `smallfirst serve` (two HTTP tiers, no embedded model) until /ready answers. Modules are compiled beforehand,
as they are from the second start on. Prints a table, writes bench/out/startup.json.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness
from gateway import CONFIG

TARGETS = {"import smallfirst": 0.3, "ready": 1.5, "idle": 80.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    nothing = seconds_of("pass", runs)
    imports = {
        module: seconds_of(f"import {module}", runs) - nothing
        for module in ("smallfirst", "smallfirst.cli.main", "smallfirst.cli.serve")
    }
    ready, idle = starts(runs)
    for module, seconds in imports.items():
        print(f"import {module:22} {seconds:8.3f} s")
    print(f"ready                         {ready:8.3f} s")
    print(f"idle memory (PSS)             {idle:8.1f} MB")
    found = {"import smallfirst": imports["smallfirst"], "ready": ready, "idle": idle}
    for name, value in found.items():
        print(f"{name}: {'within' if value <= TARGETS[name] else 'ABOVE'} the target of {TARGETS[name]}")
    path = harness.record("startup", runs=runs, import_s=imports, ready_s=ready, idle_mb=idle)
    print(f"written to {path}")


def seconds_of(code: str, runs: int) -> float:
    """Least time of an interpreter that runs `code`; one run beforehand compiles what it imports."""
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, env=harness.environment())
        times.append(time.perf_counter() - began)
    return min(times[1:])


def starts(runs: int) -> tuple[float, float]:
    """(least seconds until ready, median MB of PSS a second later): other programs can only add time."""
    ready, idle = [], []
    with tempfile.TemporaryDirectory() as name:
        for run in range(runs):
            folder = Path(name) / str(run)
            folder.mkdir()
            config = CONFIG.format(folder=folder, port=harness.BURST, unprobed="escalate", terms="", more="")
            with harness.gateway(config, folder) as (child, seconds):
                time.sleep(1.0)
                ready.append(seconds)
                idle.append(harness.pss_mb(child.pid))
    return min(ready), statistics.median(idle)


if __name__ == "__main__":
    main()
