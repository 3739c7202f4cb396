"""Named evidence to a probability: order of names plays no part, and a missing one is an error."""

from __future__ import annotations

import gzip

import msgspec
import pytest

from smallfirst.errors import SetupError
from smallfirst.tasks.kb.weigh import Weights, log_odds, pack, read_weights
from smallfirst.verify.combiner import Linear, Trees

WEIGHTS = Weights(
    names=("near", "far"),
    linear=Linear(0.0, (2.0, -1.0), (0.0, 0.0), (1.0, 1.0)),
    trees=Trees((0,), (0, -1, -1), (0.5, 0.1, 0.9), (1, 0, 0)),
    share=0.5,
    slope=1.0,
    offset=0.0,
    threshold=0.5,
    chosen_for="a test",
    fitted_on="nothing",
)


def test_line_and_trees_are_mixed() -> None:
    near, far = WEIGHTS.p({"far": 0.0, "near": 1.0}), WEIGHTS.p({"near": 0.0, "far": 1.0})
    assert near > 0.8
    assert far < 0.2
    assert WEIGHTS.p({"near": 9.0, "far": 0.0}) == near  # held within the range of the fit


def test_a_missing_name_is_an_error() -> None:
    with pytest.raises(KeyError, match="far"):
        WEIGHTS.p({"near": 1.0})


def test_a_leaf_is_never_sure() -> None:
    assert log_odds(1.0) == log_odds(0.98) == pytest.approx(-log_odds(0.0))


def test_what_was_packed_is_read(monkeypatch) -> None:
    assert msgspec.msgpack.decode(gzip.decompress(pack(WEIGHTS)), type=Weights) == WEIGHTS
    assert pack(WEIGHTS) == pack(WEIGHTS)
    with pytest.raises(SetupError, match=r"fit_kb\.py"):
        read_weights("nobody")


@pytest.mark.parametrize("name", ["answerable", "answerable_words", "grounded", "grounded_words"])
def test_the_shipped_weights_say_what_they_are(name: str) -> None:
    weights = read_weights(name)
    assert 0 < weights.threshold < 1
    assert "choose part" in weights.chosen_for
    assert "squad" not in weights.fitted_on
    assert weights.slope > 0
