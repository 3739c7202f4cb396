"""Copies of a prompt are one group, evaluate-only files stay shut, known traps are left out."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smallfirst.errors import DataError
from smallfirst.learn.outcomes import FIT_FILES, group_of, has_options, is_held_out, read_prompts

STEM = "Which gas do plants take up?"


def table(folder: Path, name: str, rows: list[tuple[str, str, str, str, float]]) -> None:
    """rows: benchmark, prompt, model, tier, score."""
    keys = ("benchmark", "prompt", "model", "tier", "score")
    columns: dict[str, list[object]] = {key: [row[at] for row in rows] for at, key in enumerate(keys)}
    columns |= {"query_id": [row[1] for row in rows], "category": ["c"] * len(rows)}
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def test_copies_share_a_group_whatever_their_options_case_and_closing_instruction() -> None:
    options = f"{STEM}\nA. Oxygen\nB. Carbon dioxide\nAnswer:"
    assert has_options(options)
    assert not has_options(STEM)
    closed = f"{STEM}\nAfter careful thought, put you final answer in \\boxed{{...}}."
    assert len({group_of(text) for text in (STEM, options, closed, f"  {STEM.upper()}  ")}) == 1
    assert group_of(STEM) != group_of("Which gas do animals take up?")
    assert len(group_of("\ud800\0")) == 16


def test_about_a_fifth_is_held_out() -> None:
    share = sum(is_held_out(group_of(f"question {n}")) for n in range(4_000)) / 4_000
    assert 0.17 < share < 0.23


def test_hard_is_the_mean_over_the_lowest_tier_without_format_failures(tmp_path: Path) -> None:
    table(
        tmp_path,
        "llmrouter",
        [
            ("mmlu", STEM, "gemma-2-9b-it", "slm", 1.0),
            ("mmlu", STEM, "mistral-7b", "slm", 0.5),
            ("mmlu", STEM, "llama3-chatqa-1.5-8b", "slm", 0.0),
            ("mmlu", STEM, "qwen2.5-7b-instruct", "slm", 0.0),
            ("mmlu", STEM, "big", "mid", 0.0),
            ("gsm8k", "How many?", "big", "mid", 0.0),
        ],
    )
    bare, question = sorted(read_prompts(tmp_path, ("llmrouter",)), key=lambda prompt: prompt.text)
    assert (bare.kind, bare.hard, bare.models) == ("mathematics", None, 0)
    assert (question.kind, question.hard, question.models) == ("other", 0.25, 2)  # no options: not a choice


def test_a_file_that_is_for_evaluation_only_is_refused(tmp_path: Path) -> None:
    assert "bfcl" not in FIT_FILES
    with pytest.raises(DataError, match="bfcl"):
        read_prompts(tmp_path, ("bfcl",))
    with pytest.raises(DataError, match="zeroeval"):
        read_prompts(tmp_path, ("zeroeval",))
