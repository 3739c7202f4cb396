"""The samples: the same everywhere, checkable, and balanced."""

from __future__ import annotations

import json
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallfirst.evals.prompts import DEFAULT_N, KINDS, main, samples
from smallfirst.evals.prompts_sample import body, digest, part
from smallfirst.evals.scorers import score


def test_the_same_seed_gives_the_same_samples():
    assert digest(samples()) == digest(samples(seed=0, n=DEFAULT_N))
    assert digest(samples(seed=1)) != digest(samples())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_every_gold_is_right_and_giving_the_prompt_back_is_wrong(seed: int):
    for sample in samples(seed):
        assert score(sample, sample.target).value == 1.0, (sample.group, sample.target)
        assert score(sample, sample.input).value == 0.0, (sample.group, sample.input)


@pytest.mark.parametrize("nonsense", ["", "   ", "I can't help with that.", "{}", "[]", "null", "```\n```"])
def test_an_answer_that_says_nothing_is_wrong_for_every_sample(nonsense: str):
    assert [sample.group for sample in samples() if score(sample, nonsense).value] == []


def test_kinds_come_in_equal_shares_and_ids_and_prompts_are_distinct():
    drawn = samples()
    assert set(Counter(sample.kind for sample in drawn).values()) == {DEFAULT_N // len(KINDS)}
    assert len({sample.id for sample in drawn}) == len({sample.input for sample in drawn}) == DEFAULT_N


def test_fewer_samples_are_the_first_of_more_and_hold_every_kind():
    assert samples(n=24) == samples()[:24]
    assert {sample.kind for sample in samples(n=6)} == set(KINDS)


def test_both_halves_hold_enough_of_every_kind_for_a_probe():
    counts = Counter((sample.kind, part(sample)) for sample in samples())
    assert all(counts[kind, half] >= 15 for kind in KINDS for half in ("fit", "report"))


def test_groups_and_levels_vary():
    drawn = samples()
    assert len({(sample.kind, sample.group) for sample in drawn}) > 50
    assert {sample.level for sample in drawn} == {1, 2, 3}
    assert all(sample.max_tokens <= 64 for sample in drawn)


def test_more_than_there_are_is_an_error():
    with pytest.raises(ValueError, match="n must be"):
        samples(n=100_000)


def test_a_sample_becomes_a_chat_request():
    constrained = next(sample for sample in samples() if sample.schema)
    request = body(constrained, "auto")
    assert request["messages"][-1] == {"role": "user", "content": constrained.input}
    assert request["response_format"]["json_schema"]["schema"] == constrained.schema
    advised = next(sample for sample in samples() if sample.system)
    assert body(advised, "auto")["messages"][0] == {"role": "system", "content": advised.system}


def test_the_dump_for_the_classifier_holds_id_text_and_kind(tmp_path):
    file = tmp_path / "kinds.jsonl"
    assert main(["--jsonl", str(file), "--n", "12"]) == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert rows == [{"id": it.id, "text": it.input, "kind": it.kind} for it in samples(n=12)]
    assert msgspec.json.decode(file.read_bytes().splitlines()[0])["kind"] in KINDS
