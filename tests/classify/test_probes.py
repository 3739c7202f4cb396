"""p_correct from a probe: monotone, cautious where it knows little."""

from __future__ import annotations

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
