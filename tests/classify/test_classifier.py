"""The shipped classifier: bounded work, bounded influence, unfamiliar goes up."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.probes import ENOUGH, Probe, ProbeRow, p_correct
from smallfirst.classify.sample import SEGMENTS, SYMBOLS, WORDS
from smallfirst.classify.shipped import shipped_weights
from smallfirst.classify.weights import COMPLEXITY, KINDS, decode, encode
from smallfirst.core import Needs, Query
from smallfirst.errors import DataError

SHIPPED = shipped_weights()
CLASSIFIER = Classifier.from_bytes(SHIPPED)
GIBBERISH = "asdf qwer zxcv poiu lkjh mnbv "
QUESTION = "A shop sells pens at 3 dollars each. How many pens can Mary buy with 21 dollars if she keeps 6 for the bus?"
PROOF = "Let $f(x)=x^2+3x$. Find the sum of all real roots of $f(f(x))=0$."


MATHEMATICIANS = {"gemma-2-2b-it", "gemma-2-9b-it", "gpt-4o-2024-08-06", "llama-3.1-8b-instruct"}
"""Models that were asked questions like QUESTION, among the recorded ones."""


def ask(text: str, **needs: bool) -> Query:
    return Query(id="q", asked="auto", text=text, fields={}, needs=Needs(**needs))


def logit(text: str) -> float:
    return CLASSIFIER.rate_logit(text)[0]


class Counted(dict):  # type: ignore[type-arg]
    """A table that counts how often it is asked."""

    asked = 0

    def get(self, key: object, default: object = None) -> object:
        self.asked += 1
        return super().get(key, default)

    def __getitem__(self, key: object) -> object:
        self.asked += 1
        return super().__getitem__(key)


@pytest.mark.parametrize(
    "text",
    ["one two three", "word " * 1_000_000, "a b c d " * 10_000, "x" * 10**6, " " * 10**6, "\0 " * 10**5, "é " * 10**5],
    ids=["short", "words", "letters", "one word", "blank", "NUL", "accents"],
)
def test_look_ups_are_capped_at_any_length(text: str) -> None:
    classifier = Classifier.from_bytes(SHIPPED)
    of = classifier.tables
    tables = [Counted(of.words), Counted(of.pairs), Counted(of.symbols)]
    of.words, of.pairs, of.symbols = tables
    heads = classifier.heads
    assert len(heads) > 50
    assert classifier.score(ask(text), heads) == CLASSIFIER.score(ask(text), heads)
    assert sum(table.asked for table in tables) <= 2 * SEGMENTS * WORDS + len(SYMBOLS)


@given(st.text(st.characters(exclude_categories=()), max_size=2_000))
def test_any_text_has_a_complexity_and_a_kind(text: str) -> None:
    complexity, kind = CLASSIFIER.rate(text)
    assert 0.0 < complexity < 1.0
    assert kind in KINDS
    assert CLASSIFIER.explain(ask(text)) == CLASSIFIER.explain(ask(text))


@pytest.mark.parametrize("text", [QUESTION, PROOF, "Write a function that reverses a list."])
@pytest.mark.parametrize("suffix", [GIBBERISH * 1_000, "zxq " * 100_000, "the " * 100_000, "é" * 10**6])
def test_a_long_suffix_moves_the_complexity_little(text: str, suffix: str) -> None:
    before, after = CLASSIFIER.rate(text)[0], CLASSIFIER.rate(f"{text} {suffix}")[0]
    assert abs(after - before) < 0.25


@given(st.text(max_size=300), st.lists(st.sampled_from(sorted(CLASSIFIER.tables.words)), max_size=300))
def test_whatever_is_appended_stays_within_the_clip(text: str, words: list[bytes]) -> None:
    """The bound holds against words chosen to mislead: each segment adds at most the clip."""
    weights = decode(SHIPPED)
    step = weights.slope * weights.step * 127
    bound = weights.slope * weights.clip * SEGMENTS + step * (len(SYMBOLS) + 1) + weights.unfamiliar_logit
    base = weights.slope * weights.intercept + weights.offset
    assert abs(logit(text + " " + b" ".join(words).decode()) - base) <= bound + 1e-6


def test_one_segment_cannot_dominate() -> None:
    """Swapping the last quarter for the most misleading words there are moves the score by two clips at most."""
    weights = decode(SHIPPED)
    rows = {word: CLASSIFIER.tables.row(packed)[COMPLEXITY] for word, packed in CLASSIFIER.tables.words.items()}
    hardest = sorted(rows, key=lambda word: rows[word])[-200:]
    text = "the report of the year was read by all of them and it was long " * 60
    tail = b" ".join(hardest).decode()
    moved = logit(text[: len(text) - len(tail)] + tail) - logit(text)
    assert moved <= 2 * weights.clip * weights.slope + 0.2  # 0.2: what `$`-like symbols and the length could add


def test_unfamiliar_text_goes_up() -> None:
    known = CLASSIFIER.rate("How many apples does John have after giving two to Mary?")[0]
    assert CLASSIFIER.rate(GIBBERISH * 3)[0] > known
    assert CLASSIFIER.rate("")[0] > known
    assert CLASSIFIER.rate("你好 世界 天气 怎么样")[0] > known
    assert CLASSIFIER.rate(GIBBERISH * 3)[1] == "other"


def test_hard_mathematics_is_harder_than_a_shop_sum() -> None:
    assert CLASSIFIER.rate(PROOF)[0] > CLASSIFIER.rate(QUESTION)[0]
    assert CLASSIFIER.rate(PROOF)[1] == CLASSIFIER.rate(QUESTION)[1] == "mathematics"


def test_tools_are_a_kind_of_their_own() -> None:
    assert CLASSIFIER.score(ask(QUESTION, tools=True), {}).kind == "tools"


def test_a_model_without_a_probe_gets_no_score() -> None:
    probe = Probe("b", "d", 0, {"mathematics": ProbeRow(n=40, right=30.0, mean_logit=0.0)})
    score = CLASSIFIER.score(ask(QUESTION), {"a": None, "b": probe})
    assert score.p_correct["a"] is None
    assert score.p_correct["b"] == pytest.approx(p_correct(probe, score.kind, score.complexity))
    assert score.why == ()


def test_explain_names_what_moved_the_score() -> None:
    lines = CLASSIFIER.explain(ask(PROOF), most=4)
    assert len(lines) == 4
    assert any("'$'" in line and "harder" in line for line in lines)
    assert "unfamiliar" in CLASSIFIER.explain(ask(GIBBERISH))[0]


def test_the_shipped_file_is_small_and_says_where_it_comes_from() -> None:
    provenance = CLASSIFIER.provenance
    assert len(SHIPPED) < 2_000_000
    assert set(provenance.files) == {"zeroeval", "mmlu_pro", "routellm", "llmrouter", "livecodebench"}
    assert all(len(digest) == 64 for digest in [*provenance.files.values(), provenance.kinds_file])
    assert 0.6 < provenance.metrics["auroc"] < 0.8
    assert decode(encode(decode(SHIPPED))) == decode(SHIPPED)


def test_bytes_that_are_not_weights_are_refused() -> None:
    whole = decode(SHIPPED)
    for data in (b"", b"{}", SHIPPED[:-1], encode(msgspec.structs.replace(whole, format=99))):
        with pytest.raises(DataError, match="weights"):
            Classifier.from_bytes(data)


def test_no_two_pairs_are_one_number() -> None:
    """A set of pairs' numbers therefore holds each pair once, and none is lost."""
    values = list(CLASSIFIER.tables.pairs.values())
    assert len(set(values)) == len(values)


def test_a_head_speaks_for_its_own_model() -> None:
    """Of recorded models, the frontier's chances are the better ones, and hard mathematics lowers everybody's."""
    heads = {name: CLASSIFIER.heads[name] for name in ("gemma-2-2b-it", "gemma-2-9b-it", "gpt-4o-2024-08-06")}
    easy, hard = (CLASSIFIER.score(ask(text), heads).p_correct for text in (QUESTION, PROOF))
    small, middle, large = (easy[name] or 0.0 for name in heads)
    assert small < middle < large
    for name in heads:
        assert (hard[name] or 1.0) < (easy[name] or 0.0)


def test_unfamiliar_text_lowers_every_models_chance() -> None:
    heads = CLASSIFIER.heads
    known = CLASSIFIER.score(ask(QUESTION), heads).p_correct
    for text in (GIBBERISH * 3, "", "你好 世界 天气 怎么样"):
        for name, chance in CLASSIFIER.score(ask(text), heads).p_correct.items():
            rows = heads[name].rows.values()
            best = max(row.right / row.n for row in rows if row.n >= ENOUGH)
            assert chance is not None
            assert chance < best
            assert chance < (known[name] or 0.0) or name not in MATHEMATICIANS


@pytest.mark.parametrize("text", [QUESTION, PROOF, "Write a function that reverses a list."])
@pytest.mark.parametrize("suffix", [GIBBERISH * 1_000, "zxq " * 100_000, "the " * 100_000, "é" * 10**6])
def test_a_long_suffix_moves_every_models_factors_by_less_than_the_clip(text: str, suffix: str) -> None:
    """Three of four segments can be the suffix; each adds factors inside a ball of radius `factor_clip`."""
    weights = decode(SHIPPED)
    before, after = (np.array(CLASSIFIER.features(one)[2:]) for one in (text, f"{text} {suffix}"))
    assert np.linalg.norm(after - before) <= 2 * SEGMENTS * weights.factor_clip / weights.factor_step


def test_explain_model_names_what_moved_its_chance() -> None:
    lines = CLASSIFIER.explain_model(ask(PROOF), CLASSIFIER.heads["gemma-2-9b-it"], most=4)
    assert len(lines) == 4
    assert any("'$'" in line and "worse" in line for line in lines)
    assert CLASSIFIER.explain_model(ask(PROOF), Probe("m", "d", 0, {})) == ()
