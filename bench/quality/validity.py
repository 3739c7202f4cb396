"""The certificate: how often it is wrong, and how much it sees.

    python bench/quality/validity.py [--draws 1000] [--seed 0] [--path FILE.npz --rows 2080 --max-quality-loss 0.02]

Four parts. (a) Synthetic policies exactly at the promised loss, in eight shapes: every certificate is wrong, and at
most 66 in 1,000 may be given (5% and 2.3 standard errors). (b) A path fixed beforehand, walked on certification groups
that are drawn with replacement from a pool whose truth is known: a synthetic path, and with --path any other (arrays
served (k, n), baseline (n,), settings (k,), and if there are any groups (n,) and costs (k, n)); redraws_mix.py does the
same with ladders of the recorded mix. (c) Power: the bets that smallfirst places, other bets from the literature,
Hoeffding-Bentkus (HB), and the z-test as the floor. (d) Plans: prompts and grades that a promise takes.

Writes bench/out/validity.json. Two minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from smallfirst.calibrate.betting import bet, p_values
from smallfirst.calibrate.comparison import hoeffding_bentkus_p_values, z_p_values
from smallfirst.calibrate.plan import Expectation, plan
from smallfirst.calibrate.promise import Promise
from smallfirst.calibrate.redraws import redraw
from smallfirst.calibrate.synthetic import SHAPES, right_or_wrong
from smallfirst.calibrate.units import Units, make_units

HERE = Path(__file__).resolve().parent.parent
DELTA, MOST = 0.05, 0.066
GOAL = -math.log(DELTA)
SIZES = (300, 2080)
POWER_SIZES = (250, 500, 1000, 2000, 4000, 8000)
CASES = {  # at a promise of 2%: harm, gain; the baseline is right on 0.7
    "no loss, 2% of scores changed": (0.01, 0.01),
    "no loss, 10% changed": (0.05, 0.05),
    "half a point lost, 6% changed": (0.03175, 0.02825),
    "harm only, a quarter point lost": (0.00175, 0.0),
}
PLANS = (
    (0.02, 0.0, 0.05),
    (0.02, 0.0, 0.1),
    (0.02, 0.005, 0.1),
    (0.02, 0.01, 0.1),
    (0.05, 0.01, 0.1),
    (0.05, 0.02, 0.12),
)
out = Console(width=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--path", type=Path, help="a fitted path and its pool, as .npz")
    parser.add_argument("--rows", type=int, default=2080, help="prompt groups that certify")
    parser.add_argument("--max-quality-loss", type=float, default=0.02)
    args = parser.parse_args()
    promise = Promise(args.max_quality_loss, 1 - DELTA)
    result = {
        "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True, cwd=HERE).strip(),
        "command": " ".join(["bench/quality/validity.py", *sys.argv[1:]]),
        "seed": args.seed,
        "at the bound": at_the_bound(args.draws, args.seed, promise.max_quality_loss),
        "redraws": {"synthetic path": redraws(synthetic_path(args.seed), promise, args)},
        "power": power(args.draws, args.seed),
        "plans": plans(),
    }
    if args.path:
        result["redraws"][args.path.name] = redraws(dict(np.load(args.path, allow_pickle=False)), promise, args)
    path = HERE / "out" / "validity.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1))
    out.print(f"written to {path.relative_to(HERE.parent)}")


def at_the_bound(draws: int, seed: int, epsilon: float) -> dict[str, dict[str, float]]:
    """Share of draws in which each test certifies a policy that loses exactly epsilon."""
    table = Table(
        title=f"certified at exactly {epsilon:.0%} loss: share of {draws} draws, at most {MOST} is as it should be"
    )
    for name in ("shape", "prompts", "betting", "z-test", "HB"):
        table.add_column(name, justify="left" if name == "shape" else "right", no_wrap=True)
    found = {}
    for name, shape in track(SHAPES.items(), "policies at the bound"):
        for count in SIZES:
            units = stack([units_of(shape(rng, count, epsilon), epsilon) for rng in generators(seed, draws)])
            shares = {
                "betting": float((p_values(units, DELTA) <= DELTA).mean()),
                "z-test": float((z_p_values(units) <= DELTA).mean()),
                "HB": float((hoeffding_bentkus_p_values(units) <= DELTA).mean()),
            }
            found[f"{name}, {count}"] = shares
            table.add_row(name if count == SIZES[0] else "", str(count), *(mark(share) for share in shares.values()))
    out.print(table)
    return found


def mark(share: float) -> str:
    return f"{share:.3f}" if share <= MOST else f"[red]{share:.3f}[/red]"


def generators(seed: int, draws: int) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, draw]) for draw in range(draws)]


def units_of(rows, epsilon: float) -> Units:
    return make_units(
        rows.served, rows.baseline, epsilon=epsilon, groups=rows.groups, weights=rows.weights, design=rows.design
    )


def stack(units: list[Units]) -> Units:
    """Draws side by side, as if they were rungs."""
    gains, served, baseline = (
        np.concatenate([getattr(one, name) for one in units], axis=1) for name in ("gains", "served", "baseline")
    )
    return Units(gains, served, baseline, units[0].worst, units[0].best, units[0].rows)


def synthetic_path(seed: int, rows: int = 6000) -> dict[str, np.ndarray]:
    """Forty nested rungs from no change to 6% loss; harm grows faster than gain, and cost falls."""
    u = np.random.default_rng([seed, 99]).random(rows)
    f = (u < 0.7).astype(float)
    at = np.linspace(0, 1, 40)
    served = [
        np.where(u < 0.01 * x + 0.09 * x**2, 0.0, np.where((u >= 0.7) & (u < 0.7 + 0.05 * x), 1.0, f)) for x in at
    ]
    return {
        "served": np.array(served),
        "baseline": f,
        "settings": at,
        "costs": np.repeat(1 - 0.8 * at[:, None], rows, 1),
    }


def redraws(pool: dict[str, np.ndarray], promise: Promise, args: argparse.Namespace) -> dict[str, object]:
    """Violations of a fixed path on redrawn certification groups, and how far it gets."""
    costs = (
        pool["costs"].mean(1) / pool["costs"].mean(1)[0] if "costs" in pool else np.full(len(pool["settings"]), np.nan)
    )
    found = redraw(
        pool["served"],
        pool["baseline"],
        pool["settings"].tolist(),
        promise,
        size=args.rows,
        groups=pool["groups"].tolist() if "groups" in pool else None,
        draws=args.draws,
        seed=args.seed,
    )
    ours, floor = found.means(costs)
    nothing = found.stalls()[0]
    best = int(np.flatnonzero(found.losses < promise.max_quality_loss)[-1])
    out.print(
        f"redraws of {found.groups} of {len(pool['baseline'])} rows, promise {promise.max_quality_loss:.0%}: "
        f"{found.violations} violations in {args.draws} (z-test {found.floor_violations}); mean cost {ours:.3f}, "
        f"z-test {floor:.3f}, last rung that truly keeps it {costs[best]:.3f}; nothing certified in {nothing:.1%}"
    )
    return {
        "violations": found.violations,
        "z-test violations": found.floor_violations,
        "draws": args.draws,
        "cost": ours,
        "z-test cost": floor,
        "cost at the truth": float(costs[best]),
        "nothing certified": float(nothing),
        "stalls": found.stalls().tolist(),
        "losses": found.losses.tolist(),
    }


def power(draws: int, seed: int) -> dict[str, dict[str, float]]:
    """Share of draws in which each test certifies a policy that keeps a promise of 2%."""
    tests = {"betting": ours, "plug-in": plug_in, "aGRAPA": agrapa, "STaR": star, "mixture": mixture}
    names = [*tests, "HB", "z-test"]
    table = Table(title=f"certified at a promise of 2%: share of {draws} draws")
    for name in ("policy", "prompts", *names):
        table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=True)
    found = {}
    for case, (harm, gain) in track(CASES.items(), "power"):
        for count in POWER_SIZES:
            s, f = right_or_wrong(np.random.default_rng([seed, count]), (count, draws), harm=harm, gain=gain)
            units = Units(s - 0.98 * f, s, f, 0.98, 1.0, count)
            shares = {name: float((test(units.gains) >= GOAL).mean()) for name, test in tests.items()}
            shares["HB"] = float((hoeffding_bentkus_p_values(units) <= DELTA).mean())
            shares["z-test"] = float((z_p_values(units) <= DELTA).mean())
            found[f"{case}, {count}"] = shares
            table.add_row(
                case if count == POWER_SIZES[0] else "", str(count), *(f"{shares[name]:.3f}" for name in names)
            )
    out.print(table)
    return found


def plans() -> list[dict[str, object]]:
    """What promises take, when all is graded and when disagreements are graded first."""
    table = Table(
        title="to certify with a chance of 80%; the baseline is right on 0.7; a tenth of agreeing rows graded"
    )
    for name in ("promise", "loss", "changed", "z-test", "prompts", "grades", "prompts, first", "grades, first"):
        table.add_column(name, justify="right")
    found = []
    for epsilon, loss, changed in track(PLANS, "plans"):
        one = plan(Promise(epsilon, 1 - DELTA), Expectation(loss, changed, 0.7))
        found.append({"loss": loss, "changed": changed, **msgspec.to_builtins(one)})
        counts = (one.floor_rows, one.rows, one.grades, one.first_rows, one.first_grades)
        table.add_row(f"{epsilon:.0%}", f"{loss:.1%}", f"{changed:.0%}", *(f"{count:,}" for count in counts))
    out.print(table)
    return found


def ours(z: np.ndarray) -> np.ndarray:
    return bet(z, 0.98, DELTA)


def plug_in(z: np.ndarray) -> np.ndarray:
    """Waudby-Smith and Ramdas 2023, section 3.1: l = sqrt(2 log(1/delta) / (n v)), for the last row."""
    t = np.arange(1, len(z) + 1)[:, None]
    variance = before((0.1 + np.cumsum((z - running_mean(z)) ** 2, 0)) / (t + 1), 0.1)
    return most(z, np.sqrt(2 * GOAL / (len(z) * variance)))


def agrapa(z: np.ndarray) -> np.ndarray:
    """The same, section B.3: l = mean / (variance + mean^2), as estimated from earlier rows."""
    t = np.arange(1, len(z) + 1)[:, None]
    mean = running_mean(z)
    variance = before((0.1 + np.cumsum((z - mean) ** 2, 0)) / (t + 1), 0.1)
    return most(z, np.maximum(mean / (variance + mean**2), 0))


def star(z: np.ndarray) -> np.ndarray:
    """Voracek and Orabona 2025: l = sqrt(2 log(goal / wealth) / (rows left x v))."""
    wealth, top = np.zeros(z.shape[1]), np.zeros(z.shape[1])
    total, squares = np.zeros(z.shape[1]), np.full(z.shape[1], 0.4)
    for t, row in enumerate(z):
        left = (len(z) - t) * np.maximum(squares / (t + 4), 1e-6)
        stake = np.minimum(np.sqrt(2 * np.maximum(GOAL - wealth, 0) / left), 0.9 / 0.98)
        wealth = wealth + np.log1p(stake * row)
        top = np.maximum(top, wealth)
        squares += (row - total / (t + 1)) ** 2
        total += row
    return top


def mixture(z: np.ndarray) -> np.ndarray:
    """The mean wealth of 24 bettors with a fixed stake each."""
    parts = [np.cumsum(np.log1p(stake * z), 0) for stake in np.geomspace(0.01, 0.9, 24) / 0.98]
    return (np.logaddexp.reduce(parts) - math.log(len(parts))).max(0)


def most(z: np.ndarray, stakes: np.ndarray) -> np.ndarray:
    return np.cumsum(np.log1p(np.minimum(stakes, 0.9 / 0.98) * z), 0).max(0)


def running_mean(z: np.ndarray) -> np.ndarray:
    """Of the rows before each, with one row of 0 in front."""
    return before(np.cumsum(z, 0) / np.arange(2, len(z) + 2)[:, None], 0.0)


def before(rows: np.ndarray, first: float) -> np.ndarray:
    return np.concatenate([np.full((1, rows.shape[1]), first), rows[:-1]])


if __name__ == "__main__":
    main()
