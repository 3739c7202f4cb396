"""p_correct from a probe: monotone, cautious where it knows little."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.classify.probes import (
    ENOUGH,
    LEAST,
    MOST,
    Probe,
    ProbeRow,
    decode_probe,
    encode_probe,
    logit,
    make_row,
    p_correct,
    p_correct_at,
    p_correct_by_words,
)
from smallfirst.classify.weights import KINDS
from smallfirst.core import Kind
from smallfirst.errors import DataError

rows = st.integers(0, 300).flatmap(
    lambda n: st.builds(ProbeRow, n=st.just(n), right=st.floats(0, n), mean_logit=st.floats(-4, 4))
)
probes = st.builds(
    Probe,
    model=st.text(max_size=9),
    digest=st.text(max_size=9),
    at=st.integers(0, 2**53),
    rows=st.dictionaries(st.sampled_from(KINDS), rows),
)
chances = st.floats(0, 1)


@given(probes, st.sampled_from(KINDS), chances, chances)
def test_a_harder_query_never_has_a_better_chance(probe: Probe, kind: Kind, one: float, other: float) -> None:
    easy, hard = sorted((one, other))
    assert p_correct(probe, kind, easy) >= p_correct(probe, kind, hard)


@given(probes, st.sampled_from(KINDS), chances)
def test_chances_stay_in_range(probe: Probe, kind: Kind, complexity: float) -> None:
    assert LEAST <= p_correct(probe, kind, complexity) <= MOST


@given(probes)
def test_a_probe_survives_its_file(probe: Probe) -> None:
    assert decode_probe(encode_probe(probe)) == probe


def test_as_hard_as_the_probe_gives_the_share_of_the_probe() -> None:
    probe = Probe("m", "d", 0, {"faq": ProbeRow(n=98, right=79.0, mean_logit=logit(0.3))})
    assert p_correct(probe, "faq", 0.3) == pytest.approx(0.8)


def test_an_unprobed_kind_takes_the_worst_kind_and_is_not_moved_up() -> None:
    good, bad = ProbeRow(n=50, right=48.0, mean_logit=0.0), ProbeRow(n=50, right=10.0, mean_logit=0.0)
    few = ProbeRow(n=ENOUGH - 1, right=0.0, mean_logit=0.0)
    probe = Probe("m", "d", 0, {"faq": good, "label": bad, "code": few})
    for kind in ("other", "code"):
        assert p_correct(probe, kind, 0.5) == p_correct(probe, "label", 0.5)
        assert p_correct(probe, kind, 0.01) == p_correct(probe, "label", 0.5)
        assert p_correct(probe, kind, 0.9) < p_correct(probe, kind, 0.5)


def test_a_probe_that_says_too_little_says_least() -> None:
    assert p_correct(Probe("m", "d", 0, {}), "faq", 0.1) == LEAST


def test_a_row_sums_scores_and_means_complexities() -> None:
    row = make_row([(1.0, 0.5), (0.5, 0.5), (0.0, 0.5)])
    assert row == ProbeRow(n=3, right=1.5, mean_logit=0.0)
    assert make_row([]) == ProbeRow(n=0, right=0.0, mean_logit=0.0)


FEATURES = [1.0, 0.4, 2.0]


def headed(n: int, offset: float = 0.0) -> Probe:
    """A head that gives log-odds 1 - 0.4 + 1 = 1.6 for FEATURES, with `n` prompts of the kind choice behind it."""
    rows: dict[Kind, ProbeRow] = {
        "choice": ProbeRow(n=n, right=n / 2, mean_logit=0.0, offset=offset),
        "faq": ProbeRow(n=50, right=10.0, mean_logit=0.0),
    }
    return Probe("m", "d", 0, rows, (1.0, -1.0, 0.5))


def test_a_head_reads_the_features_and_adds_what_the_kind_is_off_by() -> None:
    assert p_correct_by_words(headed(50), "choice", 0.4, FEATURES, 0.0, 1.5) == pytest.approx(1 / (1 + math.exp(-1.6)))
    off = p_correct_by_words(headed(50, offset=-0.6), "choice", 0.4, FEATURES, 0.0, 1.5)
    assert off == pytest.approx(1 / (1 + math.exp(-1.0)))


@given(st.floats(-3, 3), st.floats(-50, 50), st.floats(0, 1))
def test_a_kind_with_few_prompts_is_never_better_than_the_counts_say(
    complexity: float, factor: float, strange: float
) -> None:
    for probe in (headed(ENOUGH - 1), headed(0)):
        chance = p_correct_by_words(probe, "choice", complexity, [1.0, complexity, factor], strange, 1.5)
        assert LEAST <= chance <= p_correct_at(probe, "choice", complexity)


@given(st.floats(-50, 50), st.floats(0, 1), st.floats(0, 1))
def test_the_stranger_the_text_the_lower_the_chance(factor: float, one: float, other: float) -> None:
    little, much = sorted((one, other))
    features = [1.0, 0.0, factor]
    known = p_correct_by_words(headed(50), "choice", 0.0, features, little, 1.5)
    assert p_correct_by_words(headed(50), "choice", 0.0, features, much, 1.5) <= known + 1e-12
    assert p_correct_by_words(headed(50), "choice", 0.0, features, 1.0, 1.5) <= 0.5 + 1e-12  # the share of the kind


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"[]", "probe"),
        (b'{"model":"m","digest":"","at":0,"rows":{"chess":{}}}', "rows"),
        (b'{"model":"m","digest":"","at":0,"rows":{"faq":{"n":3,"right":4,"mean_logit":0}}}', "right"),
    ],
)
def test_a_broken_probe_names_the_field(data: bytes, names: str) -> None:
    with pytest.raises(DataError, match=names):
        decode_probe(data)
