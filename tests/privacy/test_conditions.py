"""Rules that say redact, rules for some callers only, presets, and rules that can't be meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.core import DataClass, Model, Replica
from smallfirst.privacy.presets import PRESETS
from smallfirst.privacy.rules import Asker, Rules, contradictions, idle_rules, rule_problems, unredacted
from smallfirst.privacy.settings import PrivacySettings, RuleSettings, TargetSettings, WhenSettings

EU = Model("eu", "mid", (Replica("eu", "http://x", "m", "cloud/eu", trains=False),))
US = Model("us", "mid", (Replica("us", "http://x", "m", "cloud/us"),))
HOME = Model("home", "slm", (Replica("gpu", "http://x", "m", "premises"),))
MODELS = [HOME, EU, US]
PERSONAL = DataClass.personal


def rule(do, classes=("personal",), when=None, **target):
    return RuleSettings(classes=classes, to=TargetSettings(**target) if target else "any", do=do, when=when)


def permit(data_class, *given_rules, asker=None, preset=None):
    made = Rules.from_settings(PrivacySettings(rules=given_rules, preset=preset)).permits(MODELS)
    return made.for_class(data_class, asker) if asker else made.for_class(data_class)


def names(pairs):
    return {name for name, _ in pairs}


@pytest.mark.parametrize(("rules", "may", "redacted"), [
    ([rule("redact", location="cloud/eu")], {"eu"}, {"eu"}),
    ([rule("allow"), rule("redact", location="cloud")], {"home", "eu", "us"}, {"eu", "us"}),
    ([rule("redact"), rule("deny", location="cloud/us")], {"home", "eu"}, {"home", "eu"}),
    ([rule("redact", trains=False)], {"eu"}, {"eu"}),  # what is not stated does not permit
    ([rule("allow"), rule("redact", trains=True)], {"home", "eu", "us"}, {"home", "us"}),  # but it restricts
    ([rule("allow", ("health",))], set(), set()),
])  # fmt: skip
def test_the_strictest_wins(rules, may, redacted):
    made = permit(PERSONAL, *rules)
    assert (names(made.replicas), names(made.redact)) == (may, redacted)
    assert names(unredacted(made).replicas) == may - redacted


@pytest.mark.parametrize(("when", "asker", "applies"), [
    (WhenSettings(key="ward"), Asker(key="ward"), True),
    (WhenSettings(key="ward"), Asker(key="library"), False),
    (WhenSettings(key=("ward", "lab")), Asker(key="lab"), True),
    (WhenSettings(team="support"), Asker(key="ward", team="support"), True),
    (WhenSettings(tag="pilot"), Asker(tags=("x", "pilot")), True),
    (WhenSettings(tag="pilot"), Asker(), False),
    (WhenSettings(route="auto"), Asker(route="auto"), True),
    (WhenSettings(key="ward", route="best"), Asker(key="ward", route="auto"), False),
])  # fmt: skip
def test_rules_for_some_callers(when, asker, applies):
    made = permit(PERSONAL, rule("allow", location="premises"), rule("allow", when=when), asker=asker)
    assert names(made.replicas) == ({"home", "eu", "us"} if applies else {"home"})
    denied = permit(PERSONAL, rule("allow"), rule("deny", when=when, location="cloud"), asker=asker)
    assert names(denied.replicas) == ({"home"} if applies else {"home", "eu", "us"})


def test_presets():
    for preset in PRESETS:
        for data_class in DataClass:
            made = permit(data_class, preset=preset)
            assert names(made.replicas) >= {"home"}
            if data_class > DataClass.internal:
                assert "us" not in names(made.replicas)
    gdpr = permit(PERSONAL, preset="gdpr-like")
    assert names(gdpr.redact) == {"eu"}
    assert names(permit(DataClass.health, preset="gdpr-like").replicas) == {"home"}
    signed = Model("baa", "mid", (Replica("b", "http://x", "m", "cloud/us", baa=True, trains=False),))
    hipaa = Rules.from_settings(PrivacySettings(preset="hipaa-like")).permit(DataClass.health, [*MODELS, signed])
    assert names(hipaa.replicas) == {"home", "baa"}


def test_the_files_rules_can_tighten_a_preset_and_are_named_apart():
    made = permit(PERSONAL, rule("deny", location="cloud"), preset="gdpr-like")
    assert names(made.replicas) == {"home"}
    assert "rule 1 denies personal" in made.rule
    assert "gdpr-like rule" in made.rule


def test_rules_that_contradict_each_other_or_match_nothing_are_named():
    settings = PrivacySettings(rules=(rule("allow", location="cloud"), rule("deny", location="cloud")))
    ((path, words),) = contradictions(settings)
    assert path == ("privacy", "rules", "1", "do")
    assert "rule 1 says allow of personal" in words
    assert contradictions(PrivacySettings(rules=(rule("allow"), rule("deny", when=WhenSettings(key="x"))))) == []
    assert idle_rules(PrivacySettings(rules=(rule("allow", model="nobody"), rule("allow"))), MODELS) == [0]
    found = rule_problems(PrivacySettings(rules=(rule("redact"),), detect=False))
    assert "needs privacy.detect" in found[0][1]


rule_of = st.builds(
    rule,
    st.sampled_from(["allow", "redact", "deny"]),
    st.just(("personal",)),
    st.none() | st.builds(WhenSettings, key=st.sampled_from([None, "a", "b"]), tag=st.sampled_from([None, "t"])),
    location=st.sampled_from([None, "cloud", "cloud/eu", "premises"]),
    trains=st.none() | st.booleans(),
)
askers = st.builds(Asker, key=st.sampled_from([None, "a", "b"]), tags=st.sampled_from([(), ("t",)]))


@given(st.lists(rule_of, max_size=5), st.sampled_from(["redact", "deny"]), askers)
def test_a_stricter_rule_for_everything_never_widens(some, do, asker):
    before, after = permit(PERSONAL, *some, asker=asker), permit(PERSONAL, *some, rule(do), asker=asker)
    if do == "deny":
        assert after.replicas == frozenset()
    else:
        assert after.redact == after.replicas
        assert after.replicas >= before.replicas


@given(st.lists(rule_of, max_size=5), askers)
def test_what_may_be_redacted_may_be_sent(some, asker):
    made = permit(PERSONAL, *some, asker=asker)
    assert made.redact <= made.replicas
