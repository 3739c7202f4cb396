"""Texts made from templates, with and without someone's private matters, for training the classifier of such matters.

Knows how a template is filled. Does not know features or fits. The same seed gives the same texts.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

import msgspec

from smallfirst.learn.matters_slots import FIRST, LAST, SLOTS
from smallfirst.learn.matters_templates import BENIGN, PRIVATE
from smallfirst.learn.name_lists import read_names


class Made(msgspec.Struct, frozen=True):
    """One text. `template` is what must stay together when parts are held out; `style` is its source."""

    text: str
    private: bool
    template: str
    style: str


_SLOT = re.compile(r"\{(\w+)\}")


GIVEN, FAMILY = (sorted(of) for of in read_names())


def _name(ours: Sequence[str], all_of_them: Sequence[str], draw: random.Random) -> str:
    """Half of our own short list, half of a list so long that no single name can be learned."""
    return draw.choice(ours) if draw.random() < 0.5 else draw.choice(all_of_them).title()


def fill(template: str, draw: random.Random) -> str:
    """One text of a template; each slot is drawn anew."""

    def put(match: re.Match[str]) -> str:
        slot = match[1]
        if slot == "first":
            return _name(FIRST, GIVEN, draw)
        if slot == "last":
            return _name(LAST, FAMILY, draw)
        if slot == "name":
            return f"{_name(FIRST, GIVEN, draw)} {_name(LAST, FAMILY, draw)}"
        return draw.choice(SLOTS[slot])

    text = _SLOT.sub(put, template).strip()
    return text.lower() if draw.random() < 0.15 else text


def make_texts(each: int, seed: int) -> Iterator[Made]:
    """`each` texts of every template, private and benign."""
    draw = random.Random(seed)
    for private, styles in ((True, PRIVATE), (False, BENIGN)):
        for style, templates in styles.items():
            for number, template in enumerate(templates):
                for text in dict.fromkeys(fill(template, draw) for _ in range(each)):
                    yield Made(text, private, f"{style}/{number}", style)
