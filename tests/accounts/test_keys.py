"""Who may come in, and that no message or object ever holds a key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.accounts.keys import Key, Keys, is_required
from smallfirst.accounts.settings import KeySettings, KeysSettings
from smallfirst.core import DataClass
from smallfirst.errors import ConfigError, Unauthenticated

SECRET = "sf-0123456789abcdef"
ONE = KeySettings(name="support", key=SECRET, models=("a", "b"), min_class="personal")


def keys(*accept, required=None):
    return Keys.from_settings(KeysSettings(required=required, accept=accept))


def test_a_known_key_in_each_way_it_is_sent():
    made = keys(ONE)
    wanted = Key("support", frozenset({"a", "b"}), DataClass.personal)
    assert made.check(f"Bearer {SECRET}") == wanted
    assert made.check(f"bearer  {SECRET} ") == wanted
    assert made.check(None, SECRET) == wanted
    assert made.check("Basic dTpw", SECRET) == wanted
    assert made.check(authorization=f"Bearer {SECRET}", api_key="something else") == wanted


@pytest.mark.parametrize(("authorization", "api_key", "code"), [
    (None, None, "missing_api_key"),
    ("", "", "missing_api_key"),
    ("Bearer ", None, "missing_api_key"),
    (SECRET, None, "missing_api_key"),
    ("Basic dTpw", None, "missing_api_key"),
    ("Bearer wrong-key-123", None, "invalid_api_key"),
    (None, "wrong-key-123", "invalid_api_key"),
    (f"Bearer {SECRET}x", None, "invalid_api_key"),
    ("Bearer wrong-key-123", SECRET, "invalid_api_key"),
    ("Bearer \ud800\x00\xff", None, "invalid_api_key"),
])  # fmt: skip
def test_wrong_and_missing_keys(authorization, api_key, code):
    with pytest.raises(Unauthenticated) as caught:
        keys(ONE).check(authorization, api_key)
    assert (caught.value.code, caught.value.status) == (code, 401)
    assert "wrong-key-123" not in str(caught.value.body())


def test_nothing_is_required_where_no_key_is_listed():
    assert keys().check(None) is None
    assert keys().check("Bearer whatever the SDK sends") is None


def test_one_listed_key_makes_keys_required_unless_the_config_says_otherwise():
    assert is_required(KeysSettings(accept=(ONE,)))
    free = keys(ONE, required=False)
    assert free.check(None) is None
    assert free.check("Bearer wrong") is None
    assert free.check(f"Bearer {SECRET}") is not None


@given(st.text(max_size=40) | st.none(), st.text(max_size=40) | st.none())
def test_whatever_is_sent_it_is_a_key_or_a_refusal_that_does_not_repeat_it(authorization, api_key):
    made = keys(ONE)
    try:
        assert made.check(authorization, api_key) is not None
    except Unauthenticated as refused:
        first = str(refused)
    else:
        return
    with pytest.raises(Unauthenticated) as again:
        made.check("Bearer x" if "not known" in first else None)
    assert str(again.value) == first  # the words depend on nothing that was sent


def test_no_key_is_kept():
    made = keys(ONE)
    made.check(f"Bearer {SECRET}")
    assert SECRET not in repr(vars(made)) + repr(made.check(f"Bearer {SECRET}"))


@pytest.mark.parametrize(("settings", "says"), [
    (KeysSettings(accept=(ONE, KeySettings(name="support", key="other"))), "two keys are called `support`"),
    (KeysSettings(accept=(ONE, KeySettings(name="b", key=f" {SECRET} "))), "the same secret as that of `support`"),
    (KeysSettings(accept=(KeySettings(name="b", key="  "),)), "is empty"),
    (KeysSettings(accept=(KeySettings(name=" ", key="k"),)), "needs a name"),
    (KeysSettings(accept=(KeySettings(name="b", key="k", min_class="helth"),)), "did you mean `health`"),
    (KeysSettings(accept=(KeySettings(name="b", key="k", classes=("publik",)),)), "did you mean `public`"),
    (KeysSettings(accept=(KeySettings(name="b", key="k", team="nobody"),)), "there is no team called `nobody`"),
    (KeysSettings(accept=(KeySettings(name="b", key="k", rpm=0),)), "rpm: must be above 0"),
])  # fmt: skip
def test_mistakes_in_the_section(settings, says):
    with pytest.raises(ConfigError, match=says) as caught:
        Keys.from_settings(settings)
    assert SECRET not in str(caught.value)
