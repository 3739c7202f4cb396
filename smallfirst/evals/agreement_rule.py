"""The untuned agreement rule: the mid model's answer if any small model gives the same one, else the frontier's.

Nothing is learned, so whatever is learned has to beat it. All at once, by arrays; policy/panel.py does the same one by
one, and a test holds the two together. The whole panel is paid every time; the answer goes out as soon as one agrees.
"""

from __future__ import annotations

import msgspec
import numpy as np

from smallfirst.evals.baselines import Served
from smallfirst.evals.dataset import Dataset
from smallfirst.evals.latency import one_after_another, side_by_side, waits
from smallfirst.evals.statistics import Floats
from smallfirst.verify.agreement import compare
from smallfirst.verify.canonical import canonical_text

WITNESSES = 3


class Rule(msgspec.Struct, frozen=True):
    """Who leads, who may back it, and who answers otherwise. Chosen on the fit part where nobody named them."""

    lead: str
    witnesses: tuple[str, ...]
    above: str

    def __str__(self) -> str:
        return f"{self.lead} if any of {', '.join(self.witnesses)} agrees, else {self.above}"


def make_rule(data: Dataset) -> Rule | None:
    """The best mid model with the best small ones as witnesses, by mean score on the fit part, lowest tier last named.

    With two tiers the best small model leads. None where there are too few models for a panel.
    """
    tiers = data.players.tiers
    baseline = data.players.baseline
    if len(tiers) < 2 or len(tiers[0].models) < 1:
        return None
    low = _best(data, tiers[0].models)
    middle = _best(data, tuple(m for tier in tiers[1:-1] for m in tier.models))
    if middle:
        return Rule(middle[0], tuple(low[:WITNESSES]), baseline)
    return Rule(low[0], tuple(low[1 : 1 + WITNESSES]), baseline) if len(low) > 1 else None


def _best(data: Dataset, models: tuple[str, ...]) -> list[str]:
    mean = data.fit.scores.mean(0)
    return sorted(models, key=lambda name: -mean[data.fit.table.column(name)])


def agreement_rule(data: Dataset, rule: Rule) -> Served | None:
    """The rule on the report part; None where the answers were not recorded."""
    agreed = agreements(data, rule)
    if agreed is None:
        return None
    report = data.report
    lead, above = (report.table.column(name) for name in (rule.lead, rule.above))
    panel = [lead, *(report.table.column(name) for name in rule.witnesses)]
    kept = agreed.any(1)
    costs = report.costs[:, panel].sum(1) + np.where(kept, 0, report.costs[:, above])
    share = float(kept.mean())
    latency = None
    if report.times is not None:
        total = report.times.total.astype(np.float64)
        latency = waits(np.where(kept, _until_agreed(total, panel, agreed), _all_and_above(total, panel, above)))
    return Served(
        "agreement rule",
        np.where(kept, report.scores[:, lead], report.scores[:, above]),
        costs,
        {rule.lead: share, rule.above: 1 - share},
        calls=len(panel) + 1 - share,
        sequential=2 - share,
        latency=latency,
    )


def agreements(data: Dataset, rule: Rule) -> np.ndarray | None:
    """(n, witnesses) whether each gives the lead's answer; None where an answer is missing."""
    if data.recordings is None:
        return None
    names = (rule.lead, *rule.witnesses)
    roles = [f"{name}|{data.players.roles[name]}" for name in names]
    found = np.zeros((len(data.report.table.prompts), len(rule.witnesses)), dtype=bool)
    for row, prompt in enumerate(data.report.table.prompts):
        said = [data.recordings.find(prompt, role) for role in roles]
        if any(one is None for one in said):
            return None
        texts = [one.text for one in said if one is not None]
        forms = [canonical_text(text) for text in texts]
        for at in range(1, len(texts)):
            found[row, at - 1] = compare(forms[0], forms[at], texts[0], texts[at]) == "same"
    return found


def _until_agreed(total: Floats, panel: list[int], agreed: np.ndarray) -> Floats:
    """The later of the lead and the first witness that agrees."""
    witness = np.where(agreed, total[:, panel[1:]], np.inf).min(1)
    return side_by_side(total[:, panel[0]], witness)


def _all_and_above(total: Floats, panel: list[int], above: int) -> Floats:
    """The whole panel is waited for, then the model above."""
    return one_after_another(side_by_side(*total[:, panel].T), total[:, above])
