"""An answer -> its canonical short form, so that two answers can be compared; None where it is free text.

Knows how models dress up short answers: choice letters, yes and no, labels, numbers, boxed maths, JSON, tool calls,
literals of code. Does not know the question, and does not know which answer is right. One form for what reads the same:

    "B", "(B) Paris", "Answer: b)"          -> "B"
    "Yes.", "yes, because ..."              -> "yes"
    "$1,234.50", "1234.5", "\\boxed{1234.5}" -> "2469/2"
    "3/4", "\\frac{3}{4}", "0.75"            -> "3/4"
    '{"b": 1, "a": [2]}'                    -> '{"a":[2],"b":1}'
    '{"reasoning": "...", "answer": "7"}'   -> "7"
    "[(1, 'x')]"                            -> '[(1,"x")]'
    "'AbC'"                                 -> '"AbC"'
    a tool call                             -> 'get_weather({"city":"Paris"})'

A percent sign, a degree sign and a currency are dropped ("50%" is "50"): the question they answer settles the unit.
"""

from __future__ import annotations

import ast
import re
from fractions import Fraction

import msgspec

from smallfirst.core import Outcome, ToolCall

LONGEST_LABEL = 60
"""Characters; a longer line is free text."""

LONGEST_LITERAL = 4000
"""Characters; longer JSON or code is not parsed, and counts as free text."""

LONGEST_NUMBER = 40
"""Characters; no answer that a person asked for has more digits, and huge powers must cost nothing."""

LONGEST_YES = 120
"""Characters; "Yes, ..." that goes on for longer is an essay, not an answer to yes or no."""

MOST_LABEL_WORDS = 6
UNREADABLE = (msgspec.DecodeError, UnicodeEncodeError, RecursionError)
"""What text that is not JSON raises: bad syntax, lone surrogates, a thousand brackets."""

SHORTEST_SAID = 6
"""Characters; anything shorter than "a = 42" has no room for "the answer is"."""

TAIL = 600
"""Of a long text only its last characters are searched for a final answer: what comes earlier is the reasoning."""

_REASONS = frozenset(("reasoning", "reason", "explanation", "rationale", "thought", "thoughts", "steps", "confidence"))
_ANSWERS = ("answer", "final_answer")

_FENCE = re.compile(r"\A```[\w+-]*\s*\n?(.*?)\n?```\Z", re.DOTALL)
_FINAL = re.compile(
    r"(?:####|\b(?:(?:final|correct|right|best)\s+)?(?:answer|result|option|choice)\s*(?:is\b\s*:?|:|=))[ \t]*([^\n]+)",
    re.IGNORECASE,
)
_SAYING = ("answer", "result", "####", "option", "choice")  # a look before the slower search
_EQUALS = re.compile(r"=\s*([-+]?[$\d.,/]+\s*%?)\.?\Z")
_ANSWER_FIELD = re.compile(r'"(?:final_)?answer"\s*:\s*("(?:[^"\\]|\\.)*"|[-+\d.,/]+|true|false)', re.DOTALL)
_CHOICE = re.compile(
    r"\A(?:[Oo]ption |[Cc]hoice )?(?:\(([A-Ja-j])\)|([A-J])[).:](?=\s|\Z)|([a-j])\)(?=\s|\Z)|([A-J])\Z)"
)
_NAMED = re.compile(r"\A\$?[a-zA-Z]\s*=\s*(?=\S)")
_YES = re.compile(r"\A(yes|no)(?:[.,;:!]|\Z)", re.IGNORECASE)
_TRUTH = {"true": "true", "false": "false", "yes": "yes", "no": "no", "none": "none", "null": "none"}
_FRAC = re.compile(r"\\[dt]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(-?\d+)\s*\}")
_LATEX = re.compile(
    r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}|\\[,;!: ]|\\(?=\$)|\\left|\\right|\\\(|\\\)|\\\[|\\\]|\$"
)
_NUMBER = re.compile(
    r"\A([-+])?\s*[$€£¥]?\s*([-+])?((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE]([-+]?\d{1,2}))?"
    r"(?:\s*/\s*(\d+))?\s*(?:%|percent|\\%|°|degrees|dollars|usd|euros?|[$€£¥])?\.?\Z",
    re.IGNORECASE,
)
_CONTINENTAL = re.compile(r"\A(-?)[$€£¥]?\s*(\d{1,3}(?:\.\d{3})+),(\d{1,2})\s*[€$£]?\Z")
_STRIP = " \t\r\n*_`\"'\u201c\u201d\u2018\u2019.,;:!?"
_ARTICLE = re.compile(r"\A(?:the|an?)\s+(?=\S)")
_SENTENCE = re.compile(r"[.!?]\s+\S")


def canonical(outcome: Outcome) -> str | None:
    """The canonical form of what `outcome` says, tool calls included; None: free text, or nothing at all."""
    if outcome.tool_calls:
        return ";".join(sorted(canonical_call(call) for call in outcome.tool_calls))
    return canonical_text(outcome.text)


def canonical_call(call: ToolCall) -> str:
    """`name(arguments)` with sorted keys; arguments that are not JSON are kept as they are, without spaces."""
    try:
        arguments = _written(msgspec.json.decode(call.arguments or "{}"))
    except UNREADABLE:
        arguments = "".join(call.arguments.split())
    return f"{call.name}({arguments})"


def canonical_text(text: str) -> str | None:
    """The canonical form of one answer's text; None where it is free text."""
    text = text.strip()
    if not text:
        return None
    if text[0] == "`" and (fenced := _FENCE.match(text)):
        text = fenced.group(1).strip()
    if text[:1] in ("{", "["):
        form = _structured(text)
        if form is not None:
            return form
    said = _final(text) if len(text) >= SHORTEST_SAID else None
    return said or (_short(text) if len(text) <= LONGEST_YES else None)


def _final(text: str) -> str | None:
    """The answer that a longer text ends in: a box, "the answer is ...", an "answer" field, "... = 42"."""
    tail = text[-TAIL:]
    if (boxed := _boxed(tail)) is not None:
        return _short(boxed)
    if '"answer"' in tail or '"final_answer"' in tail:
        if fields := _ANSWER_FIELD.findall(tail):
            return _short(_unquoted(fields[-1]))
        if (start := text.find("{")) > 0 and (form := _structured(text[start : text.rfind("}") + 1])):
            return form
    lowered = tail.lower()
    if any(word in lowered for word in _SAYING) and (said := _FINAL.findall(tail)):
        return _short(_first_sentence(said[-1]))
    last_line = tail[tail.rfind("\n") + 1 :].rstrip(" *`")
    if "=" in last_line and (equals := _EQUALS.search(last_line)) is not None:
        return _number(equals.group(1))
    return None


def _short(text: str) -> str | None:
    """One short line -> choice, yes or no, number, literal or label; None where it is too long to be one."""
    text = _NAMED.sub("", text.strip().replace("\u2212", "-"))
    return _code_literal(text) or _plain(text)


def _code_literal(text: str) -> str | None:
    """A quoted literal of code, whose case and signs are the answer: 'AbC'. None for words that are merely quoted."""
    if text[:1] != "'" or text[-1:] != "'":
        return None
    value = _parsed(text)
    return _written(value) if isinstance(value, str) and not _reads_as_words(value) else None


def _plain(text: str) -> str | None:
    if "\\" in text or "$" in text:
        if "\\boxed" in text and (boxed := _boxed(text)) is not None:
            text = boxed
        text = _LATEX.sub(lambda found: found.group(1) or ("$" if found.group() == "$" else ""), text).strip()
        text = _unframed(text)
    bare = text.strip(_STRIP)
    if not bare:
        return None
    if bare[0].isdigit() or bare[0] in "-+.$€£¥\\" or text[0] in "-+.":
        number = _number(text.strip("*_`\"' ")) or _number(bare)
        if number is not None:
            return number
    if (choice := _CHOICE.match(text.lstrip("*_`\"' ").rstrip("*_`\"' "))) or (choice := _CHOICE.match(bare)):
        return next(letter for letter in choice.groups() if letter).upper()
    if yes := _YES.match(bare):
        return yes.group(1).lower()
    if bare[0] in "[({" and ((form := _structured(bare)) is not None or bare[0] != "("):
        return form
    return _label(bare)


def _reads_as_words(text: str) -> bool:
    """Words in a usual case: then quotation marks around them mean nothing."""
    return text.replace(" ", "").isalpha() and text in (text.lower(), text.upper(), text.title(), text.capitalize())


def _label(bare: str) -> str | None:
    if len(bare) > LONGEST_LABEL or "\n" in bare or _SENTENCE.search(bare):
        return None
    words = bare.casefold().split()
    if len(words) > MOST_LABEL_WORDS:
        return None
    label = " ".join(words)
    return _TRUTH.get(label) or _ARTICLE.sub("", label)


def _number(text: str) -> str | None:
    """A number as a reduced fraction: "1,234.50" -> "2469/2"; None where `text` is not one number."""
    if len(text) > LONGEST_NUMBER:
        return None
    if "frac" in text and (frac := _FRAC.search(text)):
        text = text[: frac.start()] + f"{frac.group(1)}/{frac.group(2)}" + text[frac.end() :]
    if (found := _NUMBER.match(text)) is None:
        if (found := _CONTINENTAL.match(text)) is None:
            return None
        return str(Fraction(f"{found.group(1)}{found.group(2).replace('.', '')}.{found.group(3)}"))
    sign, inner, digits, power, below = found.groups()
    minus = "-" in ((sign or "") + (inner or ""))
    if not power and not below and "." not in digits:  # the usual case, and Fraction is slow
        whole = int(digits.replace(",", ""))
        return str(-whole if minus else whole)
    value = Fraction(digits.replace(",", ""))
    if power:
        value *= Fraction(10) ** int(power)
    if below:
        if not int(below):
            return None
        value /= int(below)
    return str(-value if minus else value)


def _structured(text: str) -> str | None:
    """JSON or a literal of code in canonical form; an object that only wraps an answer gives that answer."""
    value = _parsed(text)
    if value is _NOTHING:
        return None
    try:
        if isinstance(value, dict) and (inner := _wrapped(value)) is not None:
            if isinstance(inner, (int, float)) and not isinstance(inner, bool):
                return _number(str(inner)) or _written(inner)
            return _short(inner) if isinstance(inner, str) else _written(inner)
        return _written(value)
    except RecursionError:
        return None


_NOTHING = object()


def _parsed(text: str) -> object:
    """The value that JSON or a literal of code writes; _NOTHING where it is neither, or long."""
    if len(text) > LONGEST_LITERAL:
        return _NOTHING
    try:
        return msgspec.json.decode(text)
    except UNREADABLE:
        if "\\" in text:  # Python would warn about escapes it does not know
            return _NOTHING
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _NOTHING


def _wrapped(value: dict[object, object]) -> object | None:
    """The answer in {"reasoning": ..., "answer": ...}; None where the object is an answer in itself."""
    for name in _ANSWERS:
        if name in value and all(key == name or key in _REASONS for key in value):
            return value[name]
    return None


def _written(value: object) -> str:
    """Write a value with sorted keys and no spaces; 1.0 and 1 read the same."""
    match value:
        case dict():
            return "{" + ",".join(sorted(f"{_written(k)}:{_written(v)}" for k, v in value.items())) + "}"
        case list():
            return "[" + ",".join(map(_written, value)) + "]"
        case tuple():
            return "(" + ",".join(map(_written, value)) + ")"
        case set():
            return "{" + ",".join(sorted(map(_written, value))) + "}"
        case _:
            return _scalar(value)


def _scalar(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    try:
        return msgspec.json.encode(value).decode()
    except (OverflowError, ValueError, TypeError):
        return repr(value)


def _boxed(text: str) -> str | None:
    """What stands in the last \\boxed{...}, braces matched."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, at = 1, start + 7
    while at < len(text) and depth:
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return text[start + 7 : at - 1] if not depth else None


def _unframed(text: str) -> str:
    """Without the dollar signs that frame LaTeX; a price keeps its own."""
    if len(text) > 1 and text[0] == text[-1] == "$":
        return text.strip("$").strip()
    return text


def _unquoted(field: str) -> str:
    return field[1:-1].replace("\\\\", "\\").replace('\\"', '"') if field[:1] == '"' else field


def _first_sentence(text: str) -> str:
    """ "42. That is because ..." -> "42"; "B. Paris" stays whole: it is a choice."""
    found = _SENTENCE.search(text, 2)
    return text[: found.start()] if found else text
