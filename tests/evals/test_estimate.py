"""The arithmetic of a mix, the claim that is often quoted, and bad input."""

import contextlib
import json
from decimal import Decimal

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.cli.estimate_cmd import estimate as command
from smallfirst.errors import ConfigError
from smallfirst.evals.estimate import (
    TIERS,
    USUAL_MIX,
    USUAL_PRICES,
    Range,
    estimate,
    parse_mix,
    parse_prices,
    parse_queries,
    quoted_claim,
)


def exactly(low, high=None):
    return Range(Decimal(str(low)), Decimal(str(high if high is not None else low)))


def test_the_usual_case():
    found = estimate(parse_queries("10e6"), parse_mix(USUAL_MIX), parse_prices(USUAL_PRICES))
    assert found.frontier_monthly == exactly(300_000)
    assert found.frontier_yearly == exactly(3_600_000)
    assert found.routed.monthly == exactly(17_300, 30_500)
    assert found.routed.yearly == exactly(207_600, 366_000)
    assert found.cascaded.monthly == exactly(18_000, 35_000)
    assert found.attempts_per_query == Decimal("1.25")


def test_the_quoted_figure_does_not_follow():
    claim = quoted_claim()
    assert claim.quoted_usd == 45_000
    assert claim.routed.high == 30_500
    assert claim.cascaded.high < claim.quoted_usd
    assert not claim.follows


def test_exact_prices():
    found = estimate(parse_queries("1,000"), parse_mix("80/15/5"), parse_prices("slm=0.0005,mid=0.003,frontier=0.03"))
    assert found.routed.monthly == exactly("2.35")
    assert found.routed.saving.low == found.routed.saving.high == 1 - Decimal("2.35") / 30


shares = st.integers(0, 100).flatmap(lambda a: st.integers(0, 100 - a).map(lambda b: (a, b, 100 - a - b)))
price = st.tuples(st.integers(1, 10_000), st.integers(1, 10_000)).map(
    lambda pair: Range(Decimal(min(pair)), Decimal(max(pair)))
)


@given(shares, st.tuples(price, price, price))
def test_cascading_never_costs_less_and_ranges_are_ranges(mix, prices):
    named = dict(zip(TIERS, map(Decimal, mix), strict=True))
    found = estimate(Decimal(1000), named, dict(zip(TIERS, prices, strict=True)))
    for sums in (found.routed, found.cascaded):
        assert sums.monthly.low <= sums.monthly.high
        assert sums.saving.low <= sums.saving.high <= 1
    assert found.routed.monthly.low <= found.cascaded.monthly.low
    assert found.routed.monthly.high <= found.cascaded.monthly.high
    assert found.routed.saving.low >= found.cascaded.saving.low
    assert 1 <= found.attempts_per_query <= 3


def test_all_frontier_saves_nothing_when_routed():
    found = estimate(Decimal(10), parse_mix("0/0/100"), parse_prices("slm=1,mid=2,frontier=3-4"))
    assert found.routed.saving == exactly(0)
    assert found.cascaded.saving.high < 0


def test_other_ways_to_write_it():
    assert parse_mix("slm=80,frontier=20") == {"slm": 80, "mid": 0, "frontier": 20}
    assert parse_mix("79.5/15.5/5")["slm"] == Decimal("79.5")
    assert parse_prices("slm=1e-4-1e-3,mid=0.003,frontier=0.03")["slm"] == exactly("0.0001", "0.001")


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (parse_mix, "80/15/6", "--mix.*sum to 100, not 101"),
        (parse_mix, "0.8/0.15/0.05", "--mix.*percent"),
        (parse_mix, "80/20", "--mix.*2 shares"),
        (parse_mix, "120/-25/5", "--mix.*negative"),
        (parse_mix, "80/x/5", "--mix.*not a number"),
        (parse_mix, "nan/15/5", "--mix.*usable"),
        (parse_mix, "tiny=80,mid=20", "--mix: unknown tier 'tiny'"),
        (parse_prices, "slm=1,mid=1", "--prices: no price for frontier"),
        (parse_prices, "slm=1,mid=1,huge=1", "--prices: unknown tier 'huge'"),
        (parse_prices, "slm=-1,mid=1,frontier=1", "--prices: slm=-1 is negative"),
        (parse_prices, "slm=1--2,mid=1,frontier=1", "--prices.*negative"),
        (parse_prices, "slm=2-1,mid=1,frontier=1", "--prices.*above its second"),
        (parse_prices, "slm=1,slm=1,mid=1,frontier=1", "--prices: slm is given twice"),
        (parse_prices, "slm=1,mid=1,frontier=0", "--prices: frontier must cost"),
        (parse_prices, "slm=1-,mid=1,frontier=1", "--prices.*not a number"),
        (parse_prices, "slm,mid,frontier", "--prices.*tier=number"),
        (parse_queries, "0", "--queries.*above 0"),
        (parse_queries, "-5", "--queries"),
        (parse_queries, "lots", "--queries.*not a number"),
        (parse_queries, "1e99", "--queries"),
        (parse_queries, "inf", "--queries"),
    ],
)
def test_bad_input_names_the_option(parse, text, says):
    with pytest.raises(ConfigError, match=says):
        parse(text)


@given(st.text(max_size=20) | st.from_regex(r"[-a-z0-9=,./]{0,20}", fullmatch=True))
def test_any_text_is_read_or_refused(text):
    for parse in (parse_mix, parse_prices, parse_queries):
        with contextlib.suppress(ConfigError):
            parse(text)


def test_the_page_says_so():
    ran = CliRunner().invoke(command, ["--queries", "10e6"], terminal_width=200)
    page = " ".join(ran.stdout.split())
    assert ran.exit_code == 0
    for words in ("$300,000 a month", "$3,600,000 a year", "$17,300 - $30,500", "$18,000 - $35,000", "does not follow"):
        assert words in page


def test_attempts_chooses_the_rows():
    for choice, other in (("routed", "cascaded"), ("cascaded", "routed")):
        lines = CliRunner().invoke(command, ["--attempts", choice]).stdout.splitlines()
        assert any(line.startswith(f"{choice} ") for line in lines)
        assert not any(line.startswith(f"{other} ") for line in lines)


def test_json():
    data = json.loads(CliRunner().invoke(command, ["--json"]).stdout)
    assert data["estimate"]["routed"]["monthly"] == {"low": 17300, "high": 30500}
    assert data["quoted"]["follows"] is False


def test_bad_options_are_usage_errors():
    ran = CliRunner().invoke(command, ["--mix", "1/2/3"])
    assert ran.exit_code == 2
    assert "--mix" in ran.output
