"""Digests change with what decides, and with nothing else."""

from __future__ import annotations

import msgspec
import pytest

from smallfirst.core import Abilities, Model, Price, Replica
from smallfirst.monitor.digests import (
    CANONICALISER,
    VERIFIER,
    bare_code,
    canonicaliser_digest,
    code_digest,
    model_digest,
    price_digest,
    verifier_digest,
)

MODEL = Model("small", "slm", (Replica("here", "http://a/v1", "org/small-1b"),), price=Price(1, 2, 1, "config"))


def with_replica(**more):
    return msgspec.structs.replace(MODEL, replicas=(msgspec.structs.replace(MODEL.replicas[0], **more),))


def test_a_model_is_its_upstream_name_weights_and_signals():
    same = model_digest(MODEL)
    assert model_digest(with_replica(url="http://b/v1", provider="there", key="k", location="cloud/eu")) == same
    assert model_digest(with_replica(upstream_model="org/small-2b")) != same
    assert model_digest(MODEL, "smollm2-135m") != same
    assert model_digest(msgspec.structs.replace(MODEL, abilities=Abilities(logprobs=False))) != same


def test_prices_have_a_digest_of_their_own():
    dearer = msgspec.structs.replace(MODEL, price=Price(1, 3, 1, "config"))
    elsewhere = msgspec.structs.replace(MODEL, price=Price(1, 2, 1, "a list"))
    assert price_digest([dearer]) != price_digest([MODEL]) == price_digest([elsewhere])
    assert model_digest(dearer) == model_digest(MODEL)


SOURCE = '''"""What it knows."""
import re  # for words

X = 1
"""What X is."""


def f(a: str) -> str:
    """What f gives."""
    if a:
        return "text"  # not a docstring
    return a
'''


@pytest.mark.parametrize(("old", "new", "same"), [
    ('"""What it knows."""', '"""Something else,\n\non more lines."""', True),
    ("  # for words", "", True),
    ('"""What X is."""\n', "", True),
    ("\n\n\ndef", "\n\ndef", True),
    ("        return", "            return", True),
    ("X = 1", "X = 2", False),
    ('"text"', '"Text"', False),
    ("    return a\n", "        return a\n", False),
    ("if a:", "if not a:", False),
])  # fmt: skip
def test_comments_and_docstrings_are_not_code(old, new, same):
    assert SOURCE.count(old) == 1, old
    assert (bare_code(SOURCE.replace(old, new)) == bare_code(SOURCE)) is same


def test_the_code_that_decides_is_there_and_has_a_digest():
    assert canonicaliser_digest() == code_digest(CANONICALISER) != verifier_digest() == code_digest(VERIFIER)
    empty = code_digest(("verify/no_such_file.py",))
    assert all(code_digest((name,)) != empty for name in CANONICALISER)
