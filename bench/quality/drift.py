"""The drift detector: how rarely it is wrong, and how many audits it takes to find a drift.

    python bench/quality/drift.py [--streams 1000] [--seed 0]

Scores of 0 or 1, a baseline that is right on 0.7, a promise of 2%, four slices of unequal size with their own
detectors beside that of all traffic; alpha 0.05 within a horizon of 2,000 and of 10,000 audits. False alarms: policies
exactly at the bound, and where they usually stand (1% loss). Drifts, each after 1,000 quiet audits at 1% loss: sudden,
slow (growing evenly over 2,000 audits), and in one slice of a tenth of the traffic only. Delays are counted in audits
of all traffic; at an audit rate of 1% multiply by 100 for requests. Writes bench/out/drift.json. About a minute.
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

from smallfirst.calibrate.detector import Watch
from smallfirst.calibrate.streams import first_alarms

HERE = Path(__file__).resolve().parent.parent
SLICES = {"a": 0.5, "b": 0.25, "c": 0.15, "d": 0.1}
BOUND, RIGHT, GAIN, QUIET, USUAL = 0.02, 0.7, 0.03, 1000, 0.01
HORIZONS = (2_000, 10_000)
LOSSES = (0.04, 0.06, 0.1, 0.2, 0.5)
AFTER = 6000
NAMES = ("all", *SLICES)
out = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    result = {
        "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True, cwd=HERE).strip(),
        "command": " ".join(["bench/quality/drift.py", *sys.argv[1:]]),
        "seed": args.seed,
        "false alarms": false_alarms(args.streams, args.seed),
        "delays": delays(args.streams, args.seed),
    }
    path = HERE / "out" / "drift.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1))
    out.print(f"written to {path.relative_to(HERE.parent)}")


def watch(horizon: int) -> Watch:
    return Watch(dict.fromkeys(NAMES, BOUND), alpha=0.05, horizon=horizon)


def draw(rng: np.random.Generator, losses: np.ndarray, streams: int) -> tuple[np.ndarray, np.ndarray]:
    """Slice (n, streams) and evidence (n, streams) of audits whose true loss is `losses` (n, slices)."""
    which = rng.choice(len(SLICES), (len(losses), streams), p=list(SLICES.values()))
    harm = np.minimum(GAIN + RIGHT * np.take_along_axis(losses, which, 1), RIGHT)
    u = rng.random(which.shape)
    f = u < RIGHT
    s = np.where(u < harm, False, f | ((u >= RIGHT) & (u < RIGHT + GAIN)))
    return which, (1 - BOUND) * f - s


def alarms(which: np.ndarray, excess: np.ndarray, threshold: float) -> np.ndarray:
    """(streams, detectors): the audit of all traffic at which each sounds; 0 where it does not."""
    found = [first_alarms(excess, threshold)]
    for index in range(len(SLICES)):
        own = [np.flatnonzero(which[:, stream] == index) for stream in range(which.shape[1])]
        rows = np.zeros((max(map(len, own)), len(own)))
        for stream, at in enumerate(own):
            rows[: len(at), stream] = excess[at, stream]
            rows[len(at) :, stream] = -1.0  # past its end nothing sounds
        at = first_alarms(rows, threshold)
        found.append(
            np.array([own[stream][n - 1] + 1 if 0 < n <= len(own[stream]) else 0 for stream, n in enumerate(at)])
        )
    return np.stack(found, axis=1)


def false_alarms(streams: int, seed: int) -> dict[str, float]:
    table = Table(title=f"share of {streams} streams with any false alarm within the horizon; alpha is 0.05")
    for name in ("horizon", "at the bound (2%)", "usual (1%)"):
        table.add_column(name, justify="right")
    found = {}
    for horizon in HORIZONS:
        shares = []
        for loss in (BOUND, USUAL):
            rng = np.random.default_rng([seed, horizon])
            which, excess = draw(rng, np.full((horizon, len(SLICES)), loss), streams)
            share = float((alarms(which, excess, watch(horizon).threshold) > 0).any(1).mean())
            found[f"{horizon}, loss {loss}"] = share
            shares.append(f"{share:.3f}")
        table.add_row(f"{horizon:,}", *shares)
    out.print(table)
    return found


def delays(streams: int, seed: int) -> dict[str, dict[str, float | None]]:
    title = f"audits from the drift's begin to the first alarm, after {QUIET} quiet ones: median (nine in ten)"
    table = Table(title=title)
    kinds = ("sudden", "slow", "one slice (d)")
    columns = [f"{kind}, {horizon:,}" for horizon in HORIZONS for kind in kinds]
    for name in ("loss", *columns):
        table.add_column(name, justify="right")
    found: dict[str, dict[str, float | None]] = {}
    streams = max(streams // 5, 1)
    for loss in LOSSES:
        cells = []
        for horizon in HORIZONS:
            for kind in kinds:
                rng = np.random.default_rng([seed, round(1000 * loss)])
                which, excess = draw(rng, course(kind, loss), streams)
                first = alarms(which, excess, watch(horizon).threshold)
                delay = np.where(first > QUIET, first - QUIET, AFTER + 1).min(1)
                early = ((first > 0) & (first <= QUIET)).any(1)
                delay = delay[~early]
                middle, late = np.quantile(delay, (0.5, 0.9))
                cells.append(f"{show(middle)}\n({show(late)})")
                found[f"{kind}, loss {loss}, horizon {horizon}"] = {
                    "median": float(middle) if middle <= AFTER else None,
                    "nine in ten": float(late) if late <= AFTER else None,
                    "found": float((delay <= AFTER).mean()),
                    "false alarms before": float(early.mean()),
                }
        table.add_row(f"{loss:.0%}", *cells)
    out.print(table)
    return found


def course(kind: str, loss: float) -> np.ndarray:
    """(QUIET + AFTER, slices): the true loss of each slice at each audit."""
    after = np.full((AFTER, len(SLICES)), USUAL)
    if kind == "sudden":
        after[:] = loss
    elif kind == "slow":
        after[:] = np.minimum(USUAL + (loss - USUAL) * np.arange(AFTER) / 2000, loss)[:, None]
    else:
        after[:, -1] = loss
    return np.concatenate([np.full((QUIET, len(SLICES)), USUAL), after])


def show(delay: float) -> str:
    return f"{delay:,.0f}" if delay <= AFTER else f"> {AFTER:,}"


if __name__ == "__main__":
    main()
