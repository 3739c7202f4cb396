"""From settings to policies, with every mistake named."""

import msgspec
import pytest

from smallfirst.core import Tier
from smallfirst.errors import ConfigError
from smallfirst.policy.build import build_policy, default_settings, goes_by_waits
from smallfirst.policy.cascade import Cascade
from smallfirst.policy.fixed import Fixed
from smallfirst.policy.give_up import GivingUp
from smallfirst.policy.hand_over import HandingOver
from smallfirst.policy.hedged import Hedged
from smallfirst.policy.panel import Panel
from smallfirst.policy.settings import PanelSettings, PolicySettings
from smallfirst.policy.threshold import Threshold

from .stage import TIERS


def settings(**fields: object) -> PolicySettings:
    return msgspec.convert(fields, PolicySettings)


def problems(**fields: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build_policy("mine", settings(**fields), TIERS)
    return caught.value.problems


def test_each_kind() -> None:
    assert build_policy("a", settings(kind="fixed", model="m1"), TIERS) == Fixed("a", "m1")
    assert build_policy("a", settings(kind="threshold", accept={"slm": 0.9}), TIERS) == Threshold("a", {"slm": 0.9})
    assert build_policy("a", settings(accept={"mid": 0.5}, try_above=0.1), TIERS) == Cascade("a", {"mid": 0.5}, 0.1)
    panel = build_policy("a", settings(kind="panel", panel={"models": ["s1", "s2"], "with_mid": True}), TIERS)
    assert panel == Panel("a", ("s1", "s2"), Cascade("a"), with_mid=True)


def test_what_stands_around_a_policy_and_nothing_where_nothing_is_asked_for() -> None:
    plain = Cascade("a", {"mid": 0.5})
    given = {"accept": {"mid": 0.5}}
    assert build_policy("a", settings(**given, hand_over="none"), TIERS) == plain
    assert build_policy("a", settings(**given, hedge={}), TIERS) == Hedged(plain, "p95", {"mid": 0.5})
    assert build_policy("a", settings(**given, give_up={"beyond": 3000}), TIERS) == GivingUp(plain, 3000)
    assert build_policy("a", settings(**given, commit={"above": 0.9}), TIERS).commit.tokens == 1
    around = build_policy("a", settings(**given, hand_over="critique", hedge={"after": 50}, give_up={}), TIERS)
    assert around == HandingOver(Hedged(GivingUp(plain, "p95"), 50, {"mid": 0.5}), "critique")
    assert around.name == "a"
    waits = {"hedge": {}}, {"give_up": {}}
    assert all(goes_by_waits(settings(**one)) for one in waits)
    assert not any(goes_by_waits(settings(**one)) for one in ({}, {"hedge": {"after": 5}}, {"give_up": {"beyond": 5}}))


def test_what_a_kind_does_not_read_and_numbers_that_mean_nothing() -> None:
    assert "does not read this; kind cascade does" in problems(kind="fixed", model="m1", commit={"above": 0.9})[0]
    assert problems(commit={"above": 2, "tokens": 0}, hedge={"after": 0}, give_up={"beyond": -1}) == [
        "policies.mine.commit.above: 2.0 is not between 0 and 1",
        "policies.mine.commit.tokens: 0 is not 1 or more",
        "policies.mine.hedge.after: 0.0 is not above 0; give milliseconds, or p95",
        "policies.mine.give_up.beyond: -1.0 is not above 0; give milliseconds, or p95",
    ]


def test_the_default_names_only_tiers_that_exist() -> None:
    assert default_settings(TIERS).accept == {"slm": 0.90, "mid": 0.80}
    renamed = (Tier("small", ("s1",)), Tier("mid", ("m1",)))
    assert build_policy("auto", default_settings(renamed), renamed) == Cascade("auto", {"mid": 0.80})
    assert build_policy("auto", default_settings(()), ()) == Cascade("auto")


def test_names_that_do_not_exist_are_named_with_the_nearest() -> None:
    assert problems(kind="fixed", model="mm1") == [
        "policies.mine.model: no tier has a model called 'mm1'; did you mean 'm1'?"
    ]
    assert "did you mean 'frontier'?" in problems(accept={"fronteer": 0.5})[0]
    assert "there are: slm, mid, frontier" in problems(accept={"xyz": 0.5})[0]


def test_every_mistake_is_listed_at_once() -> None:
    found = problems(
        kind="panel", model="s1", accept={"slm": 1.5, "smal": 0.5}, try_above=-1.0,
        panel=msgspec.to_builtins(PanelSettings(models=("s1", "s1", "zzz"))),
    )  # fmt: skip
    assert [line.split(":")[0] for line in found] == [
        "policies.mine.model",
        "policies.mine.accept.slm",
        "policies.mine.accept.smal",
        "policies.mine.try_above",
        "policies.mine.panel.models",
        "policies.mine.panel.models",
    ]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"kind": "fixed"}, "needs the name of a model"),
        ({"kind": "panel"}, "needs this"),
        ({"kind": "panel", "panel": {"models": ["s1"]}}, "at least two"),
        ({"kind": "panel", "panel": {"models": ["s1", "s1"]}}, "at least two"),
        ({"kind": "panel", "panel": {"models": ["s1", "s2", "s1"]}}, "twice"),
        ({"kind": "cascade", "model": "s1"}, "kind fixed does"),
        ({"kind": "fixed", "model": "s1", "accept": {"slm": 0.9}}, "does not read this"),
        ({"try_above": float("nan")}, "not between 0 and 1"),
    ],
)
def test_mistakes(fields: dict[str, object], word: str) -> None:
    assert any(word in line for line in problems(**fields))
