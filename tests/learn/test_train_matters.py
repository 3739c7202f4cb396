"""Training the classifier of private matters: made texts, held-out templates, and that live reads as training did."""

from __future__ import annotations

import pytest

from smallfirst.errors import DataError
from smallfirst.learn.matters_examples import Example, read_examples
from smallfirst.learn.matters_fit import Fitted, Vocabulary, seen_of
from smallfirst.learn.matters_text import make_texts
from smallfirst.learn.train_matters import held_out_scores, operating_point
from smallfirst.privacy.categories import IDENTIFYING
from smallfirst.privacy.detector import Detector
from smallfirst.privacy.matters import FORMAT, Matters, MatterWeights, decode, encode, shipped
from smallfirst.privacy.words import fold

EXAMPLES = [Example(one.text, one.private, one.style, one.template) for one in make_texts(3, seed=1)]
SEEN = [seen_of(one.text) for one in EXAMPLES]
detector = Detector()


def test_the_same_seed_makes_the_same_texts_and_no_slot_is_left_open():
    again = [one.text for one in make_texts(3, seed=1)]
    assert again == [one.text for one in EXAMPLES]
    assert not any("{" in text.replace("def f(x):", "") for text in again)
    assert {one.private for one in EXAMPLES} == {True, False}


def test_live_reads_a_text_as_training_did():
    fitted = Fitted(EXAMPLES, SEEN, Vocabulary(), 0)
    tables = fitted.tables()
    weights = MatterWeights(
        format=FORMAT,
        words=tables["w"],
        pairs=tables["p"],
        together=tables["k"],
        known=sorted(word.decode() for word in fitted.known),
        given=sorted(name.decode() for name in fitted.names.given),
        family=sorted(name.decode() for name in fitted.names.family),
        intercept=float(fitted.line.intercept_[0]),
        threshold=0.0,
        provenance={},
    )
    matters = Matters(decode(encode(weights)))
    texts = [*(one.text for one in EXAMPLES[::7]), " ".join(one.text for one in EXAMPLES[:40]), "Ärzte für Ann Lee."]
    offline = fitted.log_odds([seen_of(text) for text in texts])
    for text, expected in zip(texts, offline, strict=True):
        identified = any(one.category in IDENTIFYING for one in detector.scan(text))
        assert matters.log_odds(text, fold(text), identified=identified) == pytest.approx(expected, abs=1e-6)


def test_the_operating_point_gives_the_false_alarms_asked_for():
    scores = held_out_scores(EXAMPLES, SEEN, Vocabulary(), 0)
    threshold = operating_point(EXAMPLES, scores)
    sources = {one.source for one in EXAMPLES if not one.private}
    shares = [
        sum(score >= threshold for one, score in zip(EXAMPLES, scores, strict=True) if one.source == source)
        / sum(one.source == source for one in EXAMPLES)
        for source in sources
    ]
    assert sum(shares) / len(shares) == pytest.approx(0.10, abs=0.03)


def test_what_is_shipped_says_how_it_did():
    held_out = shipped().provenance["held_out"]
    assert {one["held_out"] for one in held_out} == {"template", "source"}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="presidio_generated_large"):
        read_examples(tmp_path, 0)
