"""One path for all sources: what every setting would serve, pay and take on each row.

Knows rows, mixes and climbed ladders as arrays. The scalar of the path is the expected loss of score that is put up
with to save a dollar. At 0 the frontier model answers everything, alone. A local answer is served where its expected
loss divided by the dollars of the frontier's call is at most the setting; a ladder, whose rate is per mean call of its
frontier model, stands at setting x the dollars of that. So all sources move together and what is served only grows.
Where the mix counts calls in place of dollars (Mix.worth), each call is worth the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from mix import Mix
from rows import Said

from smallfirst.evals.ladder import Climbed
from smallfirst.evals.latency import make_times, shipped_laws

SETTINGS = np.r_[0.0, np.geomspace(0.5, 5000, 100)]
TIERS = ("slm", "mid", "frontier")


class Course(msgspec.Struct, frozen=True):
    """k settings x n rows of one source. Setting 0 is the frontier model alone."""

    groups: list[str]
    score: np.ndarray  # (k, n)
    usd: np.ndarray  # (k, n), every attempt
    us: np.ndarray  # (k, n), microseconds until the answer served
    tier: np.ndarray  # (k, n) index into TIERS of who is served
    oracle: tuple[np.ndarray, ...]  # (n,) score, dollars, microseconds, tier of the cheapest that was right
    local: tuple[np.ndarray, np.ndarray, np.ndarray]  # (n,) score, dollars, microseconds of the cheapest, alone


def local_course(rows: Sequence[Said], mix: Mix, answers: Sequence[str], seed: int) -> Course:
    """A task: the local answer, or the frontier model, which is taken to be right."""
    sure, score = (np.array([[getattr(row, of)[name] for name in answers] for row in rows]) for of in ("sure", "score"))
    pick, at = sure.argmax(1), np.arange(len(rows))
    ms = np.array([row.ms for row in rows])
    (base, slow), (dear, wait) = (frontier_calls(rows, mix, short, seed)
                                  for short in (mix.excerpts == "always", mix.excerpts != "never"))  # fmt: skip
    own = ms / 3.6e6 * mix.usd_per_core_hour
    kept = served(sure[at, pick], mix.worth(dear), SETTINGS)
    tried = (SETTINGS > 0)[:, None]
    right = score[at, pick]
    return Course(
        groups=[row.group for row in rows],
        score=np.where(kept, right, 1.0),
        usd=np.where(tried, own + np.where(kept, 0.0, dear), base),
        us=np.where(tried, 1000 * ms + np.where(kept, 0.0, wait), slow),
        tier=np.where(kept, 0, 2),
        oracle=(np.ones(len(rows)), *(np.where(right >= 1, *two) for two in ((own, dear), (1000 * ms, wait), (0, 2)))),
        local=(right, own, 1000 * ms),
    )


def frontier_calls(rows: Sequence[Said], mix: Mix, short: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) dollars and microseconds, by the stated law, of the frontier's calls; `short`: with excerpts."""
    sent = np.array([row.excerpt if short else row.sent for row in rows])
    got = np.array([row.got for row in rows])
    law = shipped_laws().of("", "frontier")
    times = make_times([law], sent[:, None], got[:, None], seed=seed).total[:, 0]
    return mix.usd("frontier", sent, got), times.astype(float)


def served(sure: np.ndarray, usd: np.ndarray, settings: np.ndarray) -> np.ndarray:
    """(k, n) whether the local answer is served: its expected loss at most setting x dollars saved; at 0 never."""
    return ((1 - sure)[None, :] <= settings[:, None] * usd[None, :]) & (settings > 0)[:, None]


def ladder_course(groups: Sequence[str], climbed: Climbed, rungs: Sequence[float], usd: float, parts: tuple) -> Course:
    """`usd`: dollars of a mean frontier call where the ladder was fitted; `parts`: (oracle, local) as in Course."""
    at = np.searchsorted(np.array(rungs), SETTINGS * usd, side="right") - 1
    tiers = np.array([TIERS.index(tier_of(model)) for model in climbed.models])
    return Course(
        groups=list(groups),
        score=climbed.scores[at],
        usd=climbed.costs[at] / 1e9,
        us=climbed.latency[at],
        tier=tiers[climbed.served[at]],
        oracle=parts[0],
        local=parts[1],
    )


def tier_of(model: str) -> str:
    return "slm" if model.startswith(("slm", "triage")) else "mid" if model.startswith("mid") else "frontier"


def draw(weights: dict[str, float], groups: dict[str, Sequence[str]], seed: int) -> dict[str, np.ndarray]:
    """Rows of each source for a sample of the mix: a source by its weight, a group not drawn yet, one row of it.

    It ends where a source has no group left. So rows are independent draws of the mix, each group at most once.
    """
    rng = np.random.default_rng(seed)
    names = [name for name, weight in weights.items() if weight > 0]
    left = {name: one_a_group(groups[name], rng) for name in names}
    share = np.array([weights[name] for name in names])
    count = sum(len(rows) for rows in left.values())
    source = rng.choice(len(names), size=count + 1, p=share / share.sum())
    ends = [np.flatnonzero(source == n)[len(left[name]) :][:1] for n, name in enumerate(names)]
    stop = min(int(end[0]) for end in ends if len(end))
    taken = np.bincount(source[:stop], minlength=len(names))
    return {name: left[name][:many] for name, many in zip(names, taken, strict=True)}


def one_a_group(groups: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    """One random row of each group, in random order."""
    order = rng.permutation(len(groups))
    return np.array(list({groups[n]: n for n in order}.values()), dtype=int)
