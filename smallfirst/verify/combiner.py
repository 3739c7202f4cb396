"""A learned combiner: a flat list of evidence -> one number, in microseconds, without any library.

Knows a clipped linear model, small boosted trees and a piecewise-linear calibration, as numbers that were fitted
elsewhere (learn/verifier.py). Does not know what its inputs mean or how it was fitted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import exp
from typing import Literal

import msgspec


class Linear(msgspec.Struct, frozen=True):
    """intercept + sum of weight x value, each value first held within [low, high] (the range it was fitted on)."""

    intercept: float
    weights: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def value(self, evidence: Sequence[float]) -> float:
        total = self.intercept
        for x, weight, low, high in zip(evidence, self.weights, self.low, self.high, strict=True):
            total += weight * (low if x < low else high if x > high else x)
        return total


class Trees(msgspec.Struct, frozen=True):
    """A sum of binary trees in flat arrays. A node goes `left` where evidence[feature] <= threshold, else to the node
    after `left`; a leaf has feature -1 and its value in `threshold`.
    """

    base: float
    roots: tuple[int, ...]
    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]

    def value(self, evidence: Sequence[float]) -> float:
        feature, threshold, left = self.feature, self.threshold, self.left
        total = self.base
        for node in self.roots:
            at = node
            while (column := feature[at]) >= 0:
                at = left[at] if evidence[column] <= threshold[at] else left[at] + 1
            total += threshold[at]
        return total


class Knots(msgspec.Struct, frozen=True):
    """A piecewise-linear map: `at` ascending, `to` beside it; flat beyond the ends."""

    at: tuple[float, ...]
    to: tuple[float, ...]

    def value(self, x: float) -> float:
        n = bisect_right(self.at, x)
        if n == 0:
            return self.to[0]
        if n == len(self.at):
            return self.to[-1]
        left, right = self.at[n - 1], self.at[n]
        return self.to[n - 1] + (self.to[n] - self.to[n - 1]) * (x - left) / (right - left)


class Combiner(msgspec.Struct, frozen=True):
    """The mean of a linear model and of trees (where there are any), each through `link`, then calibrated."""

    link: Literal["identity", "logistic"]
    linear: tuple[Linear, ...]  # several: their outcomes after the link are added with `signs`
    signs: tuple[float, ...]
    trees: Trees | None = None
    knots: Knots | None = None

    def value(self, evidence: Sequence[float]) -> float:
        total = 0.0
        for sign, line in zip(self.signs, self.linear, strict=True):
            raw = line.value(evidence)
            total += sign * (logistic(raw) if self.link == "logistic" else raw)
        if self.trees is not None:
            total = (total + self.trees.value(evidence)) / 2
        return total if self.knots is None else self.knots.value(total)


def logistic(x: float) -> float:
    """1 / (1 + e^-x), for any x."""
    return 1 / (1 + exp(-x)) if x > -700 else 0.0
