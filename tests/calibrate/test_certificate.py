"""The certificate: it survives its file, is what its id says, and knows what voids it."""

import msgspec
import pytest

from smallfirst.calibrate.certificate import (
    Bound,
    Certificate,
    Expected,
    InForce,
    decode,
    differences,
    digest,
    encode,
    issue,
)
from smallfirst.calibrate.promise import Design, Promise
from smallfirst.errors import DataError


def document(**changes):
    fields = dict(
        id="",
        format=1,
        policy="promise",
        promise=Promise(0.02, 0.95),
        slicing=None,
        bounds=(Bound("all", 3, 0.4, 0.02, 0.004, 0.03, 4, 2080, 2075),),
        design=Design(seed=7),
        rows=2080,
        groups=2075,
        grader="checker",
        expected=Expected({"slm": 0.5, "mid": 0.3, "frontier": 0.2}, 0.44, 812_000.0, calls=1.3),
        ladder="a" * 64,
        models={"small": "b" * 64, "best": "c" * 64},
        prompts="d" * 64,
        verifier="e" * 64,
        canonicaliser="f" * 64,
        data="0" * 64,
        prices="1" * 64,
        issued_at="2026-11-25T13:00:00Z",
        notes=("not for tool calls",),
    )
    return Certificate(**(fields | changes))


def in_force(**changes):
    fields = dict(
        ladder="a" * 64,
        models={"small": "b" * 64, "best": "c" * 64, "new": "9" * 64},
        prompts="d" * 64,
        verifier="e" * 64,
        canonicaliser="f" * 64,
        prices="1" * 64,
    )
    return InForce(**(fields | changes))


def test_it_survives_its_file_and_its_id_is_its_content():
    issued = issue(document())
    assert decode(encode(issued)) == issued
    assert issued.id == digest(issued)[:16] == issue(document()).id
    assert issue(document(rows=2081)).id != issued.id


def test_an_edited_file_is_refused():
    text = encode(issue(document())).replace(b'"max_quality_loss": 0.02', b'"max_quality_loss": 0.03')
    with pytest.raises(DataError, match=r"cert.json: its content is not what id"):
        decode(text, "cert.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "truncated"),
        (b'{"id": 3}', r"`\$.id`"),
        (encode(document(format=2)), "format 2"),
    ],
)
def test_what_is_not_a_certificate_is_refused_by_field(text, words):
    with pytest.raises(DataError, match=words):
        decode(text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(bounds=()), "exactly one entry"),
        (dict(bounds=(Bound("all", 3, 0.4, 0.05, 0.004, 0.03, 4, 9, 9),)), "allows 0.05, more than is promised"),
        (dict(bounds=(Bound("all", 3, 0.4, 0.02, 0.004, None, 4, 9, 9),)), "rung 3 without a p-value"),
        (dict(bounds=(Bound("faq", 0, 0.0, 0.02, 0.0, None, 4, 9, 9),)), "does not go with"),
        (dict(issued_at="yesterday"), "issued_at"),
        (dict(promise=Promise(2.0)), "max_quality_loss"),
    ],
)
def test_a_document_that_contradicts_itself_is_not_issued(changes, words):
    with pytest.raises(DataError, match=words):
        issue(document(**changes))


def test_what_runs_as_certified_has_no_differences_and_more_models_are_no_difference():
    assert differences(document(), in_force()) == differences(document(), in_force(data="0" * 64))
    assert not differences(document(), in_force()).voiding


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(ladder="x"), "ladder"),
        (dict(prompts="x"), "prompts"),
        (dict(verifier="x"), "verifier"),
        (dict(canonicaliser="x"), "canonicaliser"),
        (dict(data="x"), "data"),
        (dict(models={"small": "b" * 64}), "'best' is missing"),
        (dict(models={"small": "x", "best": "c" * 64}), "'small' is x, certified was bbbbbbbbbbbb"),
    ],
)
def test_what_voids_it(changes, words):
    found = differences(document(), in_force(**changes))
    assert len(found.voiding) == 1
    assert words in found.voiding[0]
    assert not found.warning


def test_prices_warn():
    found = differences(document(), in_force(prices="x"))
    assert not found.voiding
    assert "quality bound holds" in found.warning[0]


def test_the_bound_of_a_slice_and_of_one_that_was_never_certified():
    sliced = document(slicing="joint", bounds=(Bound("faq", 2, 0.2, 0.02, 0.0, 0.01, 2, 900, 900),))
    assert sliced.bound("faq") == sliced.bounds[0]
    assert sliced.bound("code") is None
    assert document().bound("code").slice == "all"
    assert msgspec.json.decode(encode(sliced))["slicing"] == "joint"
