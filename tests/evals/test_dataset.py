"""What an evaluation works on: roles, prices, times, a split by group; and data that is refused, saying what to do."""

import json

import numpy as np
import pytest

from smallfirst.core import Price, Tier
from smallfirst.errors import DataError
from smallfirst.evals.dataset import LEAST_GROUPS, Request, load
from smallfirst.evals.latency import Law, Laws, shipped_laws
from smallfirst.evals.players import Players

MODELS = {"tiny": "slm", "middle": "mid", "big": "frontier"}


def rows(n=60, **more):
    return [
        {"query_id": f"q{i}", "prompt": f"prompt number {i}", "model": model, "tier": tier, "score": (i + at) % 2}
        | {"answer": f"{i}", "output_chars": 40, **more}
        for i in range(n)
        for at, (model, tier) in enumerate(MODELS.items())
    ]


def write(path, made):
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


def read(tmp_path, made, **more):
    return load(Request(write(tmp_path / "o.jsonl", made), laws=shipped_laws(), **more))


def test_tiers_prices_and_baseline_come_from_the_rows(tmp_path):
    data = read(tmp_path, rows())
    assert [tier.name for tier in data.players.tiers] == ["slm", "mid", "frontier"]
    assert (data.players.baseline, data.tier_of("middle")) == ("big", "mid")
    assert "prices are assumed by tier" in data.notes[0]
    assert len(data.fit.scores) + len(data.report.scores) == 60
    assert not set(data.fit.table.groups) & set(data.report.table.groups)
    assert data.recordings.find("prompt number 3", "big").text == "3"
    slm = shipped_laws().tiers["slm"]
    assert data.report.times.laws[0] == slm
    assert len(data.digest) == 16


def test_the_digest_is_of_the_data_not_of_the_split(tmp_path):
    one, other = read(tmp_path, rows()), read(tmp_path, rows(), seed=9, fit_share=0.5)
    assert one.digest == other.digest
    assert one.fit.table.groups != other.fit.table.groups
    changed = rows()
    changed[0]["score"] = 0.5
    assert read(tmp_path, changed).digest != one.digest


def test_prices_of_a_model_or_tier_and_costs_of_the_data(tmp_path):
    stated = Players(prices={"tiny": Price(4, 8, 4, "t"), "frontier": Price(40, 80, 40, "t")})
    data = read(tmp_path, rows(input_tokens=1_000_000, output_tokens=0), players=stated)
    assert data.report.costs[0].tolist() == [4, 150_000_000, 40]
    made = [{**row, "tier": None, "cost_usd": 0.5} for row in rows()]
    data = read(tmp_path, made)
    assert (data.report.costs == 0.5e9).all()
    assert [tier.models for tier in data.players.tiers][-1] in {("tiny",), ("middle",), ("big",)}


def test_roles_play_recorded_models(tmp_path):
    players = Players({"small": "tiny", "top": "big"}, (Tier("slm", ("small",)), Tier("frontier", ("top",))), {}, "top")
    data = read(tmp_path, rows(), players=players)
    assert data.report.models == ("small", "top")
    assert data.recordings.find("prompt number 3", "top|big").text == "3"


def test_recorded_times_or_laws_of_ones_own(tmp_path):
    file = write(tmp_path / "o.jsonl", rows(latency_ms=250))
    assert (load(Request(file, laws=None)).report.times.total == 250_000).all()
    laws = Laws(other=Law(first_ms=10, token_ms=1))
    assert (load(Request(file, laws=laws)).report.times.total == 10_000 + 9 * 1000).all()
    made = rows(latency_ms=250)
    del made[4]["latency_ms"]
    with pytest.raises(DataError, match=r"no recorded time of 'middle'.*--latency"):
        load(Request(write(tmp_path / "o.jsonl", made), laws=None))


def without(made, model, query_ids):
    return [row for row in made if row["model"] != model or row["query_id"] not in query_ids]


@pytest.mark.parametrize(
    ("made", "more", "words"),
    [
        ([row for row in rows() if row["model"] == "big"], {}, r"one model only \(big\).*--model"),
        (without(rows(), "big", {"q3", "q4"}), {}, r"'big' has none for 2 of 60 queries.*--complete-only"),
        (rows(20), {}, f"too few prompts to choose on: 8 different ones, at least {LEAST_GROUPS}"),
        ([*rows(), rows()[0]], {}, r"line 181: .*says the same as line 1; remove one"),
        ([*rows(), {**rows()[0], "score": 1}], {}, r"line 181: .*another score.*keep one"),
        ([{**rows()[0], "score": None}, *rows()[1:]], {}, r"line 1: score is missing.*grade it"),
        ([{**rows()[0], "score": 80}, *rows()[1:]], {}, r"line 1: score must be in 0\.\.1, not 80.*divide"),
        ([{**row, "tier": None} for row in rows()], {}, r"no price for 'tiny'.*--price tiny="),
        (rows(), {"models": ("tiny", "huge")}, r"no outcomes of 'huge'"),
        (rows(), {"players": Players(baseline="huge")}, r"baseline 'huge' is not among the models"),
        (rows(), {"players": Players(prices=dict.fromkeys(MODELS, Price(0, 0, 0, "t")))}, "costs nothing.*--price"),
        (rows(), {"players": Players(prices={"big": Price(0, 0, 0, "t")})}, "'big' costs nothing.*--price big="),
        ([], {}, "no outcomes in it"),
        ([{**rows()[0], "cost_usd": -1}, *rows()[1:]], {}, "line 1: cost_usd can't be negative"),
    ],
)
def test_bad_data_is_refused_with_what_to_do(tmp_path, made, more, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path, made, **more)


def test_holes_can_be_left_out(tmp_path):
    data = read(tmp_path, without(rows(), "big", {"q3", "q4"}), complete_only=True)
    assert len(data.fit.scores) + len(data.report.scores) == 58
    assert "2 queries left out" in data.notes[0]


def test_a_file_of_ones_own_to_choose_on(tmp_path):
    other = [{**row, "prompt": f"another {row['prompt']}"} for row in rows(30)]
    fit = write(tmp_path / "fit.jsonl", other)
    data = read(tmp_path, rows(), fit_file=fit)
    assert (len(data.fit.scores), len(data.report.scores)) == (30, 60)
    write(fit, [*other[3:], *rows(1)])
    with pytest.raises(DataError, match=r"one prompt stands in two parts: 'q0'.*remove the prompt from one"):
        read(tmp_path, rows(), fit_file=fit)


def test_files_of_other_kinds_are_refused(tmp_path):
    (tmp_path / "o.csv").write_text("query_id")
    with pytest.raises(DataError, match=r"end in \.jsonl or \.parquet"):
        load(Request(tmp_path / "o.csv"))
    pytest.importorskip("pyarrow")
    (tmp_path / "o.parquet").write_text("not a table")
    with pytest.raises(DataError, match=r"o\.parquet: not a parquet table"):
        load(Request(tmp_path / "o.parquet"))


def test_scores_are_aligned_with_prompts(tmp_path):
    data = read(tmp_path, rows())
    for part in (data.fit, data.report):
        numbers = np.array([int(prompt.split()[-1]) for prompt in part.table.prompts])
        assert (part.scores[:, 0] == numbers % 2).all()
        assert (part.scores[:, 1] == (numbers + 1) % 2).all()


def test_only_some_benchmarks(tmp_path):
    made = [{**row, "benchmark": "even" if int(row["query_id"][1:]) % 2 == 0 else "odd"} for row in rows(120)]
    data = read(tmp_path, made, benchmarks=("odd",))
    assert data.name == "o: odd"
    assert {int(prompt.split()[-1]) % 2 for prompt in (*data.fit.table.prompts, *data.report.table.prompts)} == {1}
    with pytest.raises(DataError, match=r"no benchmark 'none'; there are: even, odd"):
        read(tmp_path, made, benchmarks=("none",))
