"""How an answer is checked: named scorers, each answer -> Score in 0..1, without any model as judge.

They forgive what a reader forgives (a full sentence, quotes, a code fence, capital letters where case is not the
point) and nothing else. Knows samples and answers. Does not know who answered.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from smallfirst.evals.prompts_sample import Sample

Params = Mapping[str, Any]


class Score(msgspec.Struct, frozen=True):
    """`value` in 0..1; `explanation` says what was missing, in words, and is empty for a right answer."""

    value: float
    explanation: str = ""


RIGHT = Score(1.0)
FENCE = re.compile(r"^```[a-zA-Z]*\s*\n(.*?)\n?```$", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.,:])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\w*\d|:\d)")
ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
CURRENCY = re.compile(r"^(?:EUR|USD|€|\$)\s*|\s*(?:EUR|USD|€|euros?)$", re.IGNORECASE)
QUOTES = "\"'`\u2018\u2019\u201c\u201d"


def score(sample: Sample, answer: str) -> Score:
    """Score `answer` by the sample's own scorer. An empty answer is 0, and so is one that gives the prompt back."""
    cleaned = clean(answer)
    if not cleaned:
        return Score(0.0, "empty")
    if plain(sample.input) in plain(cleaned) or (sample.scorer == "includes" and _parrots(sample.input, cleaned)):
        return Score(0.0, "repeats the prompt")
    return SCORERS[sample.scorer](cleaned, sample.target, sample.params)


def clean(answer: str) -> str:
    """Without the wrapping that says nothing: outer spaces, one code fence, outer quotes, Markdown bold."""
    text = unicodedata.normalize("NFC", answer).strip()
    fenced = FENCE.match(text)
    if fenced:
        text = fenced.group(1).strip()
    text = text.replace("**", "")
    if len(text) > 1 and text[0] in QUOTES and text[-1] in QUOTES:
        text = text[1:-1].strip()
    return text


def plain(text: str) -> str:
    """Case-folded, punctuation inside words kept, single spaces: what two short answers are compared by."""
    words = (word.strip(".,;:!?()[]" + QUOTES) for word in text.casefold().replace("\u2019", "'").split())
    return " ".join(word for word in words if word)


def _parrots(prompt: str, answer: str) -> bool:
    """Most of a prompt's words: who copies the whole text has found nothing in it."""
    asked, said = set(plain(prompt).split()), set(plain(answer).split())
    return len(asked) > 12 and len(asked & said) > 0.6 * len(asked)


def exact(answer: str, target: str, params: Params) -> Score:
    """The target and nothing else; `case` asks for the same capitals. A final full stop is forgiven."""
    given, wanted = answer.rstrip("."), target.rstrip(".")
    if not params.get("case"):
        given, wanted = plain(given), plain(wanted)
    return RIGHT if given.split() == wanted.split() else Score(0.0, "differs from the target")


def includes(answer: str, target: str, params: Params) -> Score:
    """One of `accept` stands in the answer as a whole word, none of `reject`, in at most `max_words` (40) words.

    With the words of `sure` in it, `reject` does not count: who quotes both facts has tied the right one to its name.
    """
    if len(answer.split()) > params.get("max_words", 40):
        return Score(0.0, "too long")
    folded = answer.casefold()
    sure = params.get("sure")
    if not (sure and _stands_in(sure, folded)):
        for wrong in params.get("reject", ()):
            if _stands_in(wrong, folded):
                return Score(0.0, f"has {wrong!r}")
    found = any(_stands_in(right, folded) for right in params.get("accept", (target,)))
    return RIGHT if found else Score(0.0, "the answer is not in it")


def _stands_in(needle: str, folded: str) -> bool:
    before = r"(?<![\w])" if needle[0].isalnum() else ""
    before += r"(?<!\d[.,:])" if needle[0].isdigit() else ""
    return re.search(before + re.escape(needle.casefold()) + r"(?![\w])(?![.,:]\d)", folded) is not None


def number(answer: str, _: str, params: Params) -> Score:
    """The only number in the answer, or the last one, is `value` to within half a hundredth."""
    found = [float(text.replace(",", "")) for text in NUMBER.findall(answer)]
    if not found:
        return Score(0.0, "no number")
    return RIGHT if abs(found[-1] - params["value"]) < 0.005 else Score(0.0, "another number")


def label(answer: str, target: str, params: Params) -> Score:
    """Of all `labels`, the answer names the target alone."""
    rest = answer.casefold()
    named = set()
    for one in sorted(params["labels"], key=len, reverse=True):  # "not spam" before "spam"
        rest, hits = re.subn(rf"(?<!\w){re.escape(one.casefold())}(?!\w)", " ", rest)
        if hits:
            named.add(one)
    return RIGHT if named == {target} else Score(0.0, f"{len(named)} labels named" if named != {target} else "")


def json_value(answer: str, target: str, params: Params) -> Score:
    """The answer is JSON with the target's content; text and number of the same look are equal; `extra` keys may be."""
    try:
        given = json.loads(answer)
    except (ValueError, RecursionError):
        return Score(0.0, "not JSON")
    same = _same(given, json.loads(target), bool(params.get("extra")))
    return RIGHT if same else Score(0.0, "other content")


def _same(given: Any, wanted: Any, extra: bool) -> bool:
    if isinstance(wanted, dict):
        if not isinstance(given, dict) or (
            given.keys() != wanted.keys() and not (extra and given.keys() > wanted.keys())
        ):
            return False
        return all(_same(given[key], value, extra) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(given, list) or len(given) != len(wanted):
            return False
        return all(_same(one, other, extra) for one, other in zip(given, wanted, strict=True))
    if isinstance(given, dict | list) or given is None or isinstance(given, bool):
        return False
    return plain(str(given)) == plain(str(wanted)) or _as_number(given) == _as_number(wanted) is not None


def _as_number(value: Any) -> float | None:
    try:
        return float(CURRENCY.sub("", str(value)).replace(",", ""))
    except ValueError:
        return None


def items(answer: str, target: str, params: Params) -> Score:
    """The same list in the same order: `separator` on one line, or one line each, which must begin with `marker`."""
    separator, marker = params.get("separator"), params.get("marker")
    if separator:
        given, wanted = answer.rstrip(".").split(separator), target.split(separator)
    else:
        given, wanted = [line for line in answer.splitlines() if line.strip()], target.splitlines()
    if marker and not all(line.startswith(marker) for line in given):
        return Score(0.0, f"a line without {marker!r}")
    same = [plain(ITEM.sub("", it)) for it in given] == [plain(ITEM.sub("", it)) for it in wanted]
    return RIGHT if same else Score(0.0, "another list")


RULES: Mapping[str, Callable[[str, Any], bool]] = {
    "max_words": lambda text, limit: len(text.split()) <= limit,
    "min_words": lambda text, limit: len(text.split()) >= limit,
    "contains": lambda text, words: all(word.casefold() in text.casefold() for word in words),
    "without": lambda text, words: not any(_stands_in(word, text.casefold()) for word in words),
    "without_letter": lambda text, letter: letter.casefold() not in text.casefold(),
    "upper": lambda text, _: text == text.upper(),
    "lower": lambda text, _: text == text.lower(),
    "begins_with": lambda text, start: text.casefold().startswith(start.casefold()),
    "ends_with": lambda text, end: text.casefold().rstrip(".!").endswith(end.casefold().rstrip(".!")),
    "pattern": lambda text, pattern: re.fullmatch(pattern, text) is not None,
}


def rules(answer: str, _: str, params: Params) -> Score:
    """Every rule named in `params` holds."""
    broken = [name for name, value in params.items() if not RULES[name](answer, value)]
    return Score(0.0, "breaks " + ", ".join(broken)) if broken else RIGHT


SCORERS: Mapping[str, Callable[[str, str, Params], Score]] = {
    "exact": exact,
    "includes": includes,
    "number": number,
    "label": label,
    "json": json_value,
    "items": items,
    "rules": rules,
}
