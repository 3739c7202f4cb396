"""Rules -> permits. What is not allowed is denied, whatever the rules."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.core import DataClass, Model, Replica
from smallfirst.errors import ConfigError
from smallfirst.privacy.classes import NAMES
from smallfirst.privacy.rules import Rules, narrow, refusal, rule_problems
from smallfirst.privacy.settings import PrivacySettings, RuleSettings, TargetSettings

PLACES = ["device", "premises", "cloud", "cloud/eu", "cloud/eu/fra", "cloud/us", "cloud/unknown", "cloud/europe"]
HIGH = [DataClass.personal, DataClass.health, DataClass.financial, DataClass.secret]


def replica(location, provider="p", **terms):
    return Replica(provider, "http://x/v1", "m", location, **terms)


def model(location, name="m", **terms):
    return Model(name, "slm", (replica(location, **terms),))


def rule(do, classes=NAMES, **target):
    return RuleSettings(classes=tuple(classes), to=TargetSettings(**target) if target else "any", do=do)


def rules(*given_rules):
    return Rules.from_settings(PrivacySettings(rules=given_rules))


def may(made, one, data_class=DataClass.health):
    return bool(made.permit(data_class, [one]).replicas)


@pytest.mark.parametrize("data_class", DataClass)
@pytest.mark.parametrize("place", PLACES)
def test_without_rules_only_public_and_internal_leave_the_house(data_class, place):
    allowed = may(Rules.from_settings(PrivacySettings()), model(place), data_class)
    assert allowed == (data_class not in HIGH or place in ("device", "premises"))


def test_no_rules_at_all_is_not_the_default():
    assert not any(may(rules(), model("device"), data_class) for data_class in DataClass)


@pytest.mark.parametrize(("place", "area", "allowed", "denied"), [
    ("cloud/eu", "cloud", True, True),
    ("cloud/eu/fra", "cloud/eu", True, True),
    ("cloud/us", "cloud/eu", False, False),
    ("cloud/europe", "cloud/eu", False, False),
    ("cloud", "cloud/eu", False, True),  # it may be there: an allow does not believe it, a deny does
    ("cloud/unknown", "cloud/eu", False, True),
    ("premises", "cloud", False, False),
    ("device", "premises", False, False),
])  # fmt: skip
def test_locations(place, area, allowed, denied):
    assert may(rules(rule("allow", location=area)), model(place)) is allowed
    assert may(rules(rule("allow"), rule("deny", location=area)), model(place)) is not denied


@pytest.mark.parametrize(("asked", "stated", "allowed"), [
    ({"trains": False}, {"trains": False}, True),
    ({"trains": False}, {"trains": True}, False),
    ({"trains": False}, {}, False),
    ({"baa": True}, {"baa": True}, True),
    ({"baa": True}, {}, False),
    ({"retention_days": 30}, {"retention_days": 30}, True),
    ({"retention_days": 30}, {"retention_days": 31}, False),
    ({"retention_days": 30}, {}, False),
    ({"retention_days": 0}, {"retention_days": 0}, True),
])  # fmt: skip
def test_terms_must_be_stated_to_be_allowed(asked, stated, allowed):
    assert may(rules(rule("allow", **asked)), model("cloud/eu", **stated)) is allowed


@pytest.mark.parametrize(("stated", "denied"), [({"trains": True}, True), ({}, True), ({"trains": False}, False)])
def test_a_deny_matches_what_is_not_stated(stated, denied):
    made = rules(rule("allow"), rule("deny", trains=True))
    assert may(made, model("cloud/eu", **stated)) is not denied


def test_every_field_of_a_target_must_match():
    made = rules(rule("allow", location=("cloud/eu", "premises"), trains=False, model="m"))
    assert may(made, model("cloud/eu", trains=False))
    assert not may(made, model("cloud/us", trains=False))
    assert not may(made, model("cloud/eu", trains=False, name="other"))


def test_a_permit_is_per_replica():
    both = Model("m", "slm", (replica("premises", "gpu"), replica("cloud/us", "cloud")))
    permit = Rules.from_settings(PrivacySettings()).permit(DataClass.health, [both])
    assert permit.replicas == {("m", "gpu")}


def test_two_replicas_behind_one_pair_must_both_be_allowed():
    mixed = Model("m", "slm", (replica("premises"), replica("cloud/us")))
    assert not Rules.from_settings(PrivacySettings()).permit(DataClass.health, [mixed]).replicas


def test_permits_name_the_rules_that_spoke():
    made = rules(rule("allow", ["health"], location="premises"), rule("deny", ["health"], location="cloud"))
    assert made.permit(DataClass.health, [model("premises")]).rule == "rule 1 allows health to any model at premises"
    said = refusal(made.permit(DataClass.health, [model("cloud/eu")]), "m", ("declared", "medical_record"))
    assert said == (
        "data of class health because of declared, medical_record may not be sent to the model m (rule 2 denies health "
        "to any model at cloud); where it may go is for `privacy.rules` in the gateway's config to say"
    )
    assert "no rule allows secret" in refusal(made.permit(DataClass.secret, [model("premises")]))


def test_explain():
    models = [model("premises", "gemma-9b"), model("cloud/us", "best")]
    assert Rules.from_settings(PrivacySettings()).explain(models) == [
        "public, internal: reach every model",
        "personal, health, financial, secret: reach gemma-9b only",
    ]
    assert rules().explain(models) == [f"{', '.join(NAMES)}: reach no model"]
    both = Model("m", "slm", (replica("premises", "gpu"), replica("cloud/us", "openai")))
    assert "m (at gpu) only" in Rules.from_settings(PrivacySettings()).explain([both])[1]


@pytest.mark.parametrize(("settings", "path", "says"), [
    (PrivacySettings(default_class="helth"), "privacy.default_class", "`health`"),
    (PrivacySettings(rules=(rule("allow", ["pubic"]),)), "privacy.rules.0.class", "`public`"),
    (PrivacySettings(rules=(rule("allow", []),)), "privacy.rules.0.class", "at least one"),
    (PrivacySettings(rules=(rule("allow", location="Cloud/EU"),)), "privacy.rules.0.to.location", "lower case"),
    (PrivacySettings(rules=(rule("allow", location=("device", "cluod")),)), "privacy.rules.0.to.location", "`cloud`"),
    (PrivacySettings(rules=(rule("deny", location=()),)), "privacy.rules.0.to.location", "matches nothing"),
    (PrivacySettings(rules=(rule("deny", retention_days=3),)), "privacy.rules.0.to.retention_days", "at most"),
])  # fmt: skip
def test_mistakes_in_rules(settings, path, says):
    found = {".".join(at): words for at, words in rule_problems(settings)}
    assert says in found[path]
    with pytest.raises(ConfigError, match=says):
        Rules.from_settings(settings)


locations = st.sampled_from(PLACES)
terms = st.fixed_dictionaries({
    "trains": st.none() | st.booleans(),
    "baa": st.none() | st.booleans(),
    "retention_days": st.none() | st.integers(0, 60),
})  # fmt: skip
replicas = st.builds(lambda place, provider, said: replica(place, provider, **said), locations,
                     st.sampled_from("pqr"), terms)  # fmt: skip
catalogues = st.lists(st.lists(replicas, min_size=1, max_size=3), min_size=1, max_size=4).map(
    lambda lists: [Model(f"m{n}", "slm", tuple(several)) for n, several in enumerate(lists)]
)


def targets(do):
    return st.just("any") | st.builds(
        TargetSettings,
        location=st.none() | locations | st.lists(locations, min_size=1, max_size=2).map(tuple),
        trains=st.none() | st.booleans(),
        baa=st.none() | st.booleans(),
        retention_days=st.none() | st.integers(0, 60) if do == "allow" else st.none(),
        model=st.none() | st.sampled_from(["m0", "m1", "m9"]),
    )


def rule_of(do):
    classes = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True).map(tuple)
    return st.builds(RuleSettings, classes=classes, to=targets(do), do=st.just(do))


rule_lists = st.lists(rule_of("allow") | rule_of("deny"), max_size=5)


@given(rule_lists, st.sampled_from(DataClass), locations, catalogues)
def test_no_forbidden_pair_of_class_and_location_is_ever_in_a_permit(others, data_class, area, models):
    forbidden = rule("deny", [data_class.name], location=area)
    permit = rules(*others, forbidden).permits(models).for_class(data_class)
    for one in models:
        for each in one.replicas:
            if each.location == area or each.location.startswith(f"{area}/"):
                assert (one.name, each.provider) not in permit.replicas


@given(rule_lists, rule_of("deny"), st.integers(0, 5), catalogues)
def test_adding_a_deny_never_widens(others, deny, at, models):
    before, after = rules(*others), rules(*others[:at], deny, *others[at:])
    for data_class in DataClass:
        assert after.permit(data_class, models).replicas <= before.permit(data_class, models).replicas


@given(rule_lists, catalogues)
def test_the_order_of_rules_means_nothing(some, models):
    for data_class in DataClass:
        forth, back = (rules(*order).permit(data_class, models) for order in (some, some[::-1]))
        assert forth.replicas == back.replicas


@given(rule_lists, catalogues)
def test_silence_never_helps_a_provider(some, models):
    """A replica that states nothing sees no more than it would with any statement."""
    made = rules(*some)
    for one in models:
        silent = msgspec.structs.replace(
            one,
            replicas=tuple(
                msgspec.structs.replace(r, trains=None, baa=None, retention_days=None) for r in one.replicas
            ),
        )
        for data_class in DataClass:
            assert made.permit(data_class, [silent]).replicas <= made.permit(data_class, [one]).replicas


@given(rule_lists, catalogues, st.sets(st.sampled_from(["m0", "m1", "m2"])))
def test_narrowing_only_takes_away(some, models, kept):
    permits = rules(*some).permits(models)
    for data_class in DataClass:
        whole, part = permits.for_class(data_class), permits.narrow(kept).for_class(data_class)
        assert part == narrow(whole, kept)
        assert part.replicas == {pair for pair in whole.replicas if pair[0] in kept}
        assert part.rule == whole.rule
