from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.core import DataClass
from smallfirst.privacy.classes import NAMES, parse_class, strictest

CLASSES = st.sampled_from(DataClass)


@pytest.mark.parametrize("name", NAMES)
def test_every_class_by_name(name):
    assert parse_class(name).name == name


@pytest.mark.parametrize(("name", "says"), [
    ("helth", "did you mean `health`"),
    ("Health", "did you mean `health`"),
    ("", "known: public"),
    ("__class__", "unknown data class"),
])  # fmt: skip
def test_unknown_classes_get_the_nearest_name(name, says):
    with pytest.raises(ValueError, match=says):
        parse_class(name)


@given(st.none() | CLASSES, st.none() | CLASSES, CLASSES)
def test_a_caller_can_raise_and_never_lower(declared, key_class, default):
    assert strictest(declared, key_class, default) >= strictest(None, key_class, default)


def test_public_does_not_lower_the_default():
    assert strictest(DataClass.public, None, DataClass.internal) is DataClass.internal


def test_nobody_said_anything():
    assert strictest() is DataClass.secret
