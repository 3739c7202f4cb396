"""Named evidence -> a probability, by a linear model and small trees that were fitted elsewhere: bench/tasks/fit_kb.py.

Knows numbers by name, and the weights that lie in tasks/kb/data. Does not know what they mean or how they were fitted.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from importlib import resources
from math import log

import msgspec

from smallfirst.errors import SetupError
from smallfirst.verify.combiner import Linear, Trees, logistic


class Weights(msgspec.Struct, frozen=True):
    """p = logistic(slope x mix + offset), mix = (1 - share) x linear log-odds + share x log-odds of the trees."""

    names: tuple[str, ...]
    linear: Linear
    trees: Trees
    share: float
    slope: float
    offset: float
    threshold: float  # a p, chosen on rows that the weights were not fitted on
    chosen_for: str  # what the threshold was chosen for, in words
    fitted_on: str

    def p(self, row: Mapping[str, float]) -> float:
        """In 0..1. Raises KeyError when the row lacks a name."""
        values = [row[name] for name in self.names]
        mix = (1 - self.share) * self.linear.value(values) + self.share * log_odds(self.trees.value(values))
        return logistic(self.slope * mix + self.offset)


def log_odds(p: float) -> float:
    """Of a share held within 0.02..0.98: a leaf with few rows is never sure."""
    held = min(max(p, 0.02), 0.98)
    return log(held / (1 - held))


def read_weights(name: str) -> Weights:
    """The shipped weights of that name. Raises SetupError when the package was installed without them."""
    file = resources.files("smallfirst.tasks.kb").joinpath("data", f"{name}.msgpack.gz")
    if not file.is_file():
        raise SetupError(f"smallfirst/tasks/kb/data/{name}.msgpack.gz is missing; make it with bench/tasks/fit_kb.py")
    return msgspec.msgpack.decode(gzip.decompress(file.read_bytes()), type=Weights)


def pack(content: msgspec.Struct) -> bytes:
    """As the files in tasks/kb/data are: the same bytes for the same content."""
    return gzip.compress(msgspec.msgpack.encode(content), mtime=0)
