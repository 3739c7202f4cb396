"""The outcome format: checked rows, prompt groups, splits that keep copies together."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.errors import DataError
from smallfirst.evals.outcomes import Scored, by_group, ensure_apart, read_outcomes, score_table, split

SHARED = Path(__file__).parents[3] / "shared" / "data" / "outcomes"


def row(query_id="q1", model="small", score=1.0, prompt="What is 2 + 2?", **more):
    return {"query_id": query_id, "model": model, "score": score, "prompt": prompt, **more}


def write(path, *rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_rows_are_read_with_their_lengths(tmp_path):
    file = write(tmp_path / "o.jsonl", row(input_chars=99, output_chars=7, benchmark="sums"), row(model="large"))
    first, second = read_outcomes(file)
    assert (first.benchmark, first.input_chars, first.output_chars, first.score) == ("sums", 99, 7, 1.0)
    assert second.input_chars == len("What is 2 + 2?")  # where the table does not say, the prompt's own
    assert [r.model for r in read_outcomes(file, models={"large"})] == ["large"]


def test_identical_copies_of_a_row_count_once(tmp_path):
    assert len(read_outcomes(write(tmp_path / "o.jsonl", row(), row()))) == 1


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row(), row(score=0.0)], "line 2: a second row for query_id 'q1' and model 'small'"),
        ([row(score=None)], "line 1: score is missing"),
        ([row(), row("q2", score=1.5)], r"line 2: score must be in 0\.\.1, not 1\.5"),
        ([row(score=-0.1)], "line 1: score must be"),
        ([row(score="yes")], "line 1: .*score"),
        ([{"model": "small"}], "line 1: .*query_id"),
    ],
)
def test_bad_rows_are_named(tmp_path, rows, words):
    with pytest.raises(DataError, match=words):
        read_outcomes(write(tmp_path / "o.jsonl", *rows))


def test_a_line_that_is_not_json_and_a_missing_file_are_named(tmp_path):
    (tmp_path / "o.jsonl").write_text('{"query_id"\n')
    with pytest.raises(DataError, match=r"o\.jsonl, line 1"):
        read_outcomes(tmp_path / "o.jsonl")
    with pytest.raises(DataError, match="no such file"):
        read_outcomes(tmp_path / "none.parquet")


def test_parquet_and_jsonl_give_the_same(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [row(lenient=0.5), row("q2", score=0.25, prompt="Name a river.", lenient=0.75)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "o.parquet")
    assert read_outcomes(tmp_path / "o.parquet") == read_outcomes(write(tmp_path / "o.jsonl", *rows))
    assert [r.score for r in read_outcomes(tmp_path / "o.parquet", score="lenient")] == [0.5, 0.75]
    with pytest.raises(DataError, match="column 'other' is missing"):
        read_outcomes(tmp_path / "o.parquet", score="other")


def test_copies_of_a_prompt_are_one_group_whatever_their_dress(tmp_path):
    file = write(
        tmp_path / "o.jsonl",
        row("a", prompt="Which river is longest?"),
        row("b", prompt="which river  is longest"),
        row("c", prompt="Which river is longest?\nA. Nile\nB. Rhine"),
        row("d", prompt="Which river is shortest?"),
    )
    assert sorted(len(rows) for rows in by_group(read_outcomes(file)).values()) == [1, 3]


@given(st.sets(st.text(max_size=4), min_size=1, max_size=60), st.integers(0, 5))
def test_a_split_deals_every_group_once(names, seed):
    parts = split(names, seed=seed, fractions=(0.4, 0.35, 0.25))
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert abs(len(parts[0]) - 0.4 * len(names)) <= 1
    assert parts == split(reversed(sorted(names)), seed=seed, fractions=(0.4, 0.35, 0.25))


@pytest.mark.parametrize("fractions", [(), (0.5, 0.6), (1.0, 0.0), (1.5, -0.5)])
def test_fractions_must_add_up(fractions):
    with pytest.raises(DataError, match="add up to 1"):
        split(["a"], seed=0, fractions=fractions)


def test_one_prompt_on_both_sides_is_an_error():
    left, right = Scored("a", "x", "m", 1.0, group="g"), Scored("b", "x", "m", 1.0, group="g")
    ensure_apart({"fit": [left], "report": []})
    with pytest.raises(DataError, match="'a' in fit, 'b' in report"):
        ensure_apart({"fit": [left], "report": [right]})


def test_a_table_keeps_the_first_of_copies_and_drops_what_a_model_did_not_answer():
    rows = [
        Scored("a", "x", "m", 1.0, group="g"),
        Scored("a", "x", "n", 0.0, group="g", output_chars=8),
        Scored("b", "x ", "m", 0.0, group="g"),  # the same prompt again, under another id
        Scored("b", "x ", "n", 1.0, group="g"),
        Scored("c", "y", "m", 1.0, group="h"),  # n did not answer
    ]
    table = score_table(rows, ["n", "m"])
    assert table.query_ids == ("a",)
    assert table.scores.tolist() == [[0.0, 1.0]]
    assert table.output_chars.tolist() == [[8.0, 0.0]]
    with pytest.raises(DataError, match="no scores of 'o'"):
        table.column("o")
    with pytest.raises(DataError, match="no prompt was answered by all"):
        score_table(rows, ["o"])


@pytest.mark.shared
def test_the_published_leaderboard_is_met():
    if not SHARED.is_dir():
        pytest.skip("../shared/data/outcomes is not there")
    rows = read_outcomes(SHARED / "zeroeval.parquet", models={"gpt-4o-2024-08-06", "gemma-2-9b-it"})
    table = score_table([r for r in rows if r.benchmark == "gsm"], ["gemma-2-9b-it", "gpt-4o-2024-08-06"])
    # zeroeval's GSM8K: 87.4 and 95.2 on all prompts; 70% of them are here
    assert table.scores.mean(0).tolist() == pytest.approx([0.874, 0.956], abs=0.02)
