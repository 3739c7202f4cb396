"""What the classifier reads of a text: little of it, from all over it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smallfirst.classify.sample import CAP, SEGMENTS, SYMBOLS, WIDTH, WORDS, length_class, sample, units

HOSTILE = [
    "x" * 1_000_000,
    " " * 1_000_000,
    "\0" * 100_000,
    "a " * 500_000,
    "你好世界" * 100_000,
    "\ud800" * 10_000,
    "\U0001f600 " * 10_000,
    "".join(map(chr, SYMBOLS)) * 10_000,
    "",
]


def test_no_text_gives_more_than_the_cap() -> None:
    for text in HOSTILE:
        segments, symbols = sample(text)
        assert sum(map(len, segments)) <= SEGMENTS * WORDS
        assert len(segments) <= SEGMENTS
        assert symbols <= set(SYMBOLS)


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_can_be_sampled_and_room_is_never_more_than_the_segments(text: str) -> None:
    segments, _ = sample(text)
    assert sum(map(len, segments)) <= SEGMENTS * WORDS
    assert sum(map(units, segments)) <= SEGMENTS
    assert b"" not in [word for segment in segments for word in segment]


class Watched(str):
    """A text that notes how much of it is taken, and lets nobody read it whole."""

    __slots__ = ("taken",)

    def __getitem__(self, key: object) -> str:
        piece = str.__getitem__(self, key)  # type: ignore[index]
        self.taken = getattr(self, "taken", 0) + len(piece)
        return piece

    def _whole(self, *args: object, **kwargs: object) -> str:
        raise AssertionError("read the whole text")

    encode = lower = split = translate = replace = strip = casefold = __iter__ = _whole  # type: ignore[assignment]


def test_a_long_text_is_sliced_before_anything_reads_it() -> None:
    text = Watched("some words " * 100_000)
    sample(text)
    assert text.taken <= CAP


def test_the_sample_is_spread_over_the_text() -> None:
    text = " ".join(f"w{part}" for part in "abcd" for _ in range(10_000))
    segments, _ = sample(text)
    assert [segment[1] for segment in segments] == [b"wa", b"wb", b"wc", b"wd"]


def test_a_short_text_is_read_whole_and_folded() -> None:
    segments, symbols = sample("Pay $12.50, Ms. Ödön!")
    assert segments == [[b"pay", b"00", b"00", b"ms", "Ödön".encode()]]
    assert symbols == set(b"$.,!")


def test_a_dense_short_text_keeps_its_end() -> None:
    text = "a " * (CAP // 2 - 10) + "the end"
    assert len(text) <= CAP
    assert sample(text)[0][-1][-1] in {b"end", b"a"}
    assert len(sample(text)[0]) == SEGMENTS


def test_length_classes_are_bounded() -> None:
    assert length_class("") == 0
    assert length_class("x" * 10**6) == length_class("x" * 10**5) == 16
    assert WIDTH * SEGMENTS == CAP
