"""The mix and the courses of its sources -> what is certified, what is chosen, and what each comes to.

Knows weights, settings and arrays. Does not know tasks or files. The setting is chosen, or certified, on the certify
part; everything is measured on the report part, whose rows neither fits nor choices have seen. Certified: a sample of
the mix is drawn from the certify part (courses.draw), which makes its rows independent draws of the mix, and
calibrate's walk tests setting by setting. Chosen: the last setting whose estimated loss there, over all rows by weight,
is within the promise.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import msgspec
import numpy as np
from courses import SETTINGS, TIERS, Course, draw

from smallfirst.calibrate.promise import Promise
from smallfirst.calibrate.walk import Walk, walk

PROMISE = Promise(0.02, 0.95)
DRAWS = 1000
Courses = dict[str, Course]
Weights = dict[str, float]
Picked = Callable[[str, Course], tuple[np.ndarray, ...]]


class Line(msgspec.Struct, frozen=True):
    """One way to route, on the report part. Shares are of queries; cost, latency and loss relative to all-frontier."""

    way: str
    setting: float | None
    cost: float
    loss: float
    latency: float
    shares: dict[str, float]
    interval: dict[str, tuple[float, float]]  # 95%, of cost, loss, latency, and the SLM tier's share
    sources: dict[str, dict[str, float]]


def certify(courses: Courses, weights: Weights, seed: int) -> tuple[Walk, int]:
    """(how far the promise is proved, the cheapest certified setting)."""
    drawn = draw(weights, {name: courses[name].groups for name in courses}, seed)
    score = np.concatenate([courses[name].score[:, rows] for name, rows in drawn.items()], axis=1)
    usd = np.concatenate([courses[name].usd[:, rows] for name, rows in drawn.items()], axis=1)
    proved = walk(score, score[0], SETTINGS.tolist(), PROMISE)
    return proved, proved.cheapest(usd.mean(1))


def choose(courses: Courses, weights: Weights) -> int:
    """The last setting before the first whose estimated loss is above the promise."""
    loss = 1 - total(courses, weights, "score") / total(courses, weights, "score")[0]
    beyond = np.flatnonzero(loss > PROMISE.max_quality_loss)
    return int(beyond[0]) - 1 if len(beyond) else len(loss) - 1


def total(courses: Courses, weights: Weights, of: str) -> np.ndarray:
    """(k,) weighted mean."""
    return sum(weights[name] * getattr(course, of).mean(1) for name, course in courses.items())


def at_setting(setting: int) -> Picked:
    """What is served at a setting: score, dollars, microseconds, tier."""
    return lambda _name, one: (one.score[setting], one.usd[setting], one.us[setting], one.tier[setting])


def all_local(_name: str, one: Course) -> tuple[np.ndarray, ...]:
    return (*one.local, np.zeros(len(one.groups)))


def fixed(local: dict[str, bool]) -> Picked:
    """A choice for each source, whatever the row."""
    top = at_setting(0)
    return lambda name, one: all_local(name, one) if local[name] else top(name, one)


def by_oracle(_name: str, one: Course) -> tuple[np.ndarray, ...]:
    return one.oracle


def by_source(courses: Courses, weights: Weights) -> Picked:
    """The cheapest choice for each source that keeps the promise on these rows: routing that knows only the task."""
    best, least = dict.fromkeys(courses, False), np.inf
    for mask in product((False, True), repeat=len(courses)):
        tried = dict(zip(courses, mask, strict=True))
        score, usd = (sum(weights[n] * fixed(tried)(n, c)[at].mean() for n, c in courses.items()) for at in (0, 1))
        base = total(courses, weights, "score")[0]
        if score >= (1 - PROMISE.max_quality_loss) * base and usd < least:
            best, least = tried, usd
    return fixed(best)


def random_at(courses: Courses, weights: Weights, cost: float) -> tuple[float, float]:
    """(share that stays local, loss) of a coin between everything local and all-frontier, at a relative cost."""
    low, high = (sum(weights[n] * c.local[1].mean() for n, c in courses.items()), total(courses, weights, "usd")[0])
    share = float(np.clip((1 - cost) * high / (high - low), 0, 1))
    loss = 1 - sum(weights[n] * c.local[0].mean() for n, c in courses.items()) / total(courses, weights, "score")[0]
    return share, float(share * loss)


def measure(
    way: str, courses: Courses, weights: Weights, picked: Picked, seed: int, setting: float | None = None
) -> Line:
    """Means by weight, and their 95% intervals by redrawing groups inside each source."""
    table, spread = {}, {}
    rng = np.random.default_rng(seed)
    for name, course in courses.items():
        found = picked(name, course)
        columns = [found[0], course.score[0], found[1], course.usd[0], found[2], course.us[0]]
        columns += [found[3] == at for at in range(len(TIERS))]
        values = np.array(columns, dtype=float).T
        table[name] = values.mean(0)
        spread[name] = redrawn(values, course.groups, rng)
    middle = sum(weights[name] * values for name, values in table.items())
    drawn = sum(weights[name] * values for name, values in spread.items())
    told = ratios(middle[None, :])
    return Line(
        way=way,
        setting=setting,
        cost=float(told["cost"][0]),
        loss=float(told["loss"][0]),
        latency=float(told["latency"][0]),
        shares=dict(zip(TIERS, middle[6:].tolist(), strict=True)),
        interval={key: tuple(np.quantile(values, (0.025, 0.975)).tolist()) for key, values in ratios(drawn).items()},
        sources={name: of_source(values, weights[name], middle) | {"rows": float(len(courses[name].groups))}
                 for name, values in table.items()},
    )  # fmt: skip


def of_source(values: np.ndarray, weight: float, middle: np.ndarray) -> dict[str, float]:
    """A source by itself; `part of`: its addend in the mix's cost, loss and latency."""
    found = {key: float(value[0]) for key, value in ratios(values[None, :]).items()}
    found |= {"usd": float(values[3]), "frontier part of cost": float(weight * values[3] / middle[3])}
    found |= {"part of cost": float(weight * values[2] / middle[3])}
    found |= {"part of loss": float(weight * (values[1] - values[0]) / middle[1])}
    found |= {"mid": float(values[7]), "part of latency": float(weight * values[4] / middle[5])}
    found |= {"frontier part of latency": float(weight * values[5] / middle[5])}
    return found


def ratios(means: np.ndarray) -> dict[str, np.ndarray]:
    """(d, columns of `measure`) -> (d,) each."""
    cost, loss, latency = means[:, 2] / means[:, 3], 1 - means[:, 0] / means[:, 1], means[:, 4] / means[:, 5]
    return {"cost": cost, "loss": loss, "latency": latency, "slm": means[:, 6]}


def redrawn(values: np.ndarray, groups: list[str], rng: np.random.Generator) -> np.ndarray:
    """(DRAWS, columns) means over redrawn groups."""
    names, at = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, at, values)
    sizes = np.bincount(at)
    many = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS)
    return (many @ sums) / (many @ sizes)[:, None]
