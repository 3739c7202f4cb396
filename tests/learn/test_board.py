import numpy as np
import pytest

from smallfirst.errors import DataError
from smallfirst.learn.board import ensure_apart, join_boards, make_board
from smallfirst.verify.evidence import Seen

TWO = {
    "models": ["small", "large"],
    "prompts": ["p", "q"],
    "groups": ["1", "2"],
    "seen": [[Seen("a"), Seen("b")]] * 2,
    "scores": [[0.0, 1.0], [1.0, 1.0]],
    "costs": [[1, 9], [1, 9]],
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"models": ["small"]}, "one model only"),
        ({"models": ["small", "small"]}, "stands twice"),
        ({"prompts": [], "groups": [], "seen": []}, "no queries"),
        ({"groups": ["1"]}, "groups: 1 entries for 2 prompts"),
        ({"seen": [[Seen("a"), Seen("b")], [Seen("a")]]}, "query 1: 1 answers for 2 models"),
        ({"scores": [[0.0, 1.0], [float("nan"), 1.0]]}, "query 1, model 'small': score is missing; grade"),
        ({"scores": [[0.0, 1.5], [1.0, 1.0]]}, r"query 0, model 'large': score must be in 0..1, not 1.5"),
        ({"costs": [[1, 9], [-1, 9]]}, "cost must be 0 or more"),
        ({"scores": [[0.0, 1.0]]}, "score: an array of"),
    ],
)
def test_data_that_can_not_be_fitted_on_are_refused(change, says):
    with pytest.raises(DataError, match=says):
        make_board(**{**TWO, **change})


def test_rows_and_joining():
    board = make_board(**TWO)
    both = join_boards([board, board.rows([1])])
    assert (len(both), both.prompts) == (3, ("p", "q", "q"))
    assert np.array_equal(both.scores[2], [1.0, 1.0])
    with pytest.raises(DataError, match="no outcomes of 'other'"):
        both.column("other")
    with pytest.raises(DataError, match="same models"):
        join_boards([board, make_board(**{**TWO, "models": ["x", "large"]})])


def test_a_prompt_on_both_sides_of_a_split_is_refused():
    board = make_board(**TWO)
    ensure_apart(fit=board.rows([0]), report=board.rows([1]))
    with pytest.raises(DataError, match="two parts, fit and report: 'p'"):
        ensure_apart(fit=board.rows([0]), report=board.rows([0, 1]))
