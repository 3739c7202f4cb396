"""A learned combiner: a flat list of evidence -> one number, in microseconds, without any library.

Knows clipped linear models and sums of small trees, as numbers that were fitted elsewhere (learn/verifier.py). Does not
know what its inputs mean or how it was fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log1p

import msgspec


class Linear(msgspec.Struct, frozen=True):
    """intercept + sum of weight x value, each value first held within [low, high], about the range of the fit."""

    intercept: float
    weights: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def value(self, evidence: Sequence[float]) -> float:
        total = self.intercept
        for x, weight, low, high in zip(evidence, self.weights, self.low, self.high, strict=True):
            total += weight * (low if x < low else high if x > high else x)
        return total


class Fan(msgspec.Struct, frozen=True):
    """Several linear models on the same evidence, one for each rung."""

    intercepts: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def at(self, rung: int) -> Linear:
        """The model of one rung."""
        return Linear(self.intercepts[rung], self.weights[rung], self.low, self.high)


class Trees(msgspec.Struct, frozen=True):
    """A sum of binary trees in flat arrays. From a node on: `left` where evidence[feature] <= threshold, else the node
    after `left`. A leaf has feature -1 and its value in `threshold`.
    """

    roots: tuple[int, ...]
    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]

    def value(self, evidence: Sequence[float]) -> float:
        feature, threshold, left = self.feature, self.threshold, self.left
        total = 0.0
        for root in self.roots:
            node = root
            while (column := feature[node]) >= 0:
                node = left[node] if evidence[column] <= threshold[node] else left[node] + 1
            total += threshold[node]
        return total


class Gap(msgspec.Struct, frozen=True):
    """Expected score of the top model less the leading answer's: the mean of what linear models and trees say."""

    top: Linear  # log-odds that the top model would be right
    leading: Linear  # log-odds that the leading answer is
    trees: Trees  # the difference itself

    def value(self, evidence: Sequence[float]) -> float:
        apart = logistic(self.top.value(evidence)) - logistic(self.leading.value(evidence))
        return (apart + self.trees.value(evidence)) / 2


class Chance(msgspec.Struct, frozen=True):
    """Probability that the leading answer is right: linear log-odds, made calibrated by a slope and an offset."""

    linear: Linear
    slope: float
    offset: float

    def value(self, evidence: Sequence[float]) -> float:
        return logistic(self.slope * self.linear.value(evidence) + self.offset)


class Price(msgspec.Struct, frozen=True):
    """What a call of the top model is expected to cost, in mean calls: the exponential of a linear model and trees."""

    linear: Linear  # natural log
    trees: Trees  # natural log

    def value(self, evidence: Sequence[float]) -> float:
        return exp((self.linear.value(evidence) + self.trees.value(evidence)) / 2)


def logistic(x: float) -> float:
    """1 / (1 + e^-x), for any x."""
    return 1 / (1 + exp(-x)) if x > -700 else 0.0


def dread(loss: float, softness: float) -> float:
    """An expected loss as a positive number, in the same order: about `loss` well above `softness`, near 0 below -it.

    So that a path moves in small steps also among answers that are expected to be better than the top model's.
    """
    scaled = loss / softness
    return softness * (scaled + log1p(exp(-scaled))) if scaled > 0 else softness * log1p(exp(scaled))
