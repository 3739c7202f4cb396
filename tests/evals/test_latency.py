"""Stated laws: what they say, how times combine, and that files of them are read strictly."""

import numpy as np
import pytest

from smallfirst.errors import DataError
from smallfirst.evals.latency import (
    Law,
    Laws,
    hedged,
    make_times,
    mixed,
    one_after_another,
    parse_laws,
    read_laws,
    shipped_laws,
    side_by_side,
    waits,
)
from smallfirst.evals.latency_fit import LEAST_CALLS, described, fit_law, fit_laws
from smallfirst.ledger.timings import Timing

LAW = Law(first_ms=500, token_ms=20, input_token_ms=0.1)


def test_a_law_is_first_token_then_the_others():
    assert LAW.first_us([100, 0]).tolist() == [510_000, 500_000]
    assert LAW.total_us([100, 0], [11, 1]).tolist() == [710_000, 500_000]
    assert LAW.total_us([0], [0]).tolist() == [500_000]  # no token: the time to find that out


def test_spread_is_drawn_from_the_seed_and_has_the_law_as_its_median():
    spread = Law(first_ms=500, token_ms=20, spread=0.5)
    tokens = np.full((4000, 1), 51.0)
    one, same = (make_times([spread], tokens, tokens, seed=7).total for _ in range(2))
    assert (one == same).all()
    assert np.median(one) == pytest.approx(1_500_000, rel=0.05)
    assert np.std(np.log(one)) == pytest.approx(0.5, rel=0.05)
    assert (make_times([LAW], tokens, tokens, seed=7).total == LAW.total_us(51, 51)).all()


def test_times_combine():
    a, b = [1.0, 5.0, 9.0], [2.0, 3.0, 4.0]
    assert one_after_another(a, b).tolist() == [3, 8, 13]
    assert side_by_side(a, b).tolist() == [2, 5, 9]
    assert hedged(a, b, after=4.0).tolist() == [1, 5, 8]  # back in time; back before the second; the second was quicker


def test_summaries_and_mixes():
    found = waits([1, 2, 3, 4, 100]).summary()
    assert (found.mean_us, found.p50_us, found.p95_us) == (22, 3, 100)
    both = mixed([(0.25, waits([10])), (0.75, waits([20, 40])), (0.0, waits([1e9]))]).summary()
    assert (both.mean_us, both.p50_us, both.p95_us) == (pytest.approx(25), 20, 40)


def test_the_shipped_laws_name_every_usual_tier_and_call_themselves_assumed():
    laws = shipped_laws()
    assert set(laws.tiers) == {"slm", "mid", "frontier"}
    assert all(law.source.startswith("assumed") for law in [*laws.tiers.values(), laws.other])


def test_what_a_user_states_goes_first():
    mine = parse_laws(b"models: {a: {first_ms: 1, token_ms: 2}}\ntiers: {slm: {first_ms: 3, token_ms: 4}}", "mine.yaml")
    laws = mine.over(shipped_laws())
    assert (laws.of("a", "frontier").first_ms, laws.of("b", "slm").first_ms) == (1, 3)
    assert laws.of("b", "mid") == shipped_laws().tiers["mid"]
    assert laws.of("b", "") == shipped_laws().other
    with pytest.raises(DataError, match=r"no latency law for 'b'.*first_ms"):
        mine.of("b", "mid")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"tiers: {slm: {first_ms: -1, token_ms: 2}}", r"mine\.yaml: slm\.first_ms: must be 0 or more"),
        (b"tiers: {slm: {first_ms: 1}}", "token_ms"),
        (b"models: {a: {first_ms: 1, token_ms: 2, tokens: 3}}", "tokens"),
        (b"tiers: [", r"mine\.yaml"),
    ],
)
def test_bad_laws_are_named(text, words):
    with pytest.raises(DataError, match=words):
        parse_laws(text, "mine.yaml")


def test_a_missing_file_of_laws(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_laws(tmp_path / "none.yaml")


def calls(n, *, streamed, first=400, token=15, seed=0):
    """n calls by a known law with a spread of 0.1, every tenth of which hung for a minute."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        tokens = int(rng.integers(5, 400))
        factor = np.exp(0.1 * rng.standard_normal())
        begun, total = first * factor * 1000, (first + token * (tokens - 1)) * factor * 1000
        hung = 60_000_000 if i % 10 == 0 else 0
        made.append(Timing("a", round(begun) if streamed else None, round(total + hung), 100, tokens))
    return made


@pytest.mark.parametrize("streamed", [True, False])
def test_a_fit_finds_the_law_behind_calls_of_which_some_hung(streamed):
    law = fit_law(calls(2000, streamed=streamed), where="ledger.db")
    assert law.token_ms == pytest.approx(15, rel=0.08)
    assert law.first_ms == pytest.approx(400, rel=0.25)
    assert 0.05 < law.spread < 0.2
    assert "2000 calls in ledger.db" in law.source


def test_too_few_calls_or_equal_lengths_fit_nothing():
    assert fit_law(calls(LEAST_CALLS - 1, streamed=True), where="x") is None
    assert fit_law([Timing("a", None, 1_000_000, 10, 20)] * 100, where="x") is None
    assert fit_laws([*calls(50, streamed=False), Timing("b", None, 1, 1, 1)], where="x").keys() == {"a"}


def test_fitted_laws_can_be_written_and_stated_again():
    fitted = fit_laws(calls(100, streamed=False), where="x")
    assert parse_laws(described(fitted), "again.yaml") == Laws(models=fitted)
