"""Secrets: keys and tokens by their vendors' prefixes, private keys, passwords in URLs, and what looks random beside a
word that says it is secret.

Knows prefixes and entropy. Does not know whether a secret is still in force. Placeholders (`sk-xxxx`, `<your key>`) are
told from secrets by how little they vary.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from smallfirst.privacy.categories import Finding
from smallfirst.privacy.contexts import places

_VENDORS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-(?:ant-|proj-|or-v1-|svcacct-)?[A-Za-z0-9_-]{20,200}|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,200}|"
    r"whsec_[A-Za-z0-9+/=]{24,100}|"
    r"gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{40,255}|glpat-[A-Za-z0-9_-]{20,100}|"
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,400}|GOCSPX-[A-Za-z0-9_-]{28}|"
    r"xox[abeoprs]-[A-Za-z0-9-]{10,250}|xapp-\d-[A-Za-z0-9-]{10,250}|hf_[A-Za-z0-9]{30,60}|npm_[A-Za-z0-9]{36}|"
    r"pypi-[A-Za-z0-9_-]{50,300}|SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}|dop_v1_[a-f0-9]{64}|"
    r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}|key-[a-f0-9]{32}|SK[a-f0-9]{32}|EAA[A-Za-z0-9]{40,300}|"
    r"eyJ[A-Za-z0-9_-]{10,4000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{0,1000}|"
    r"AGE-SECRET-KEY-1[A-Z0-9]{58}|lin_api_[A-Za-z0-9]{40}|vault:v1:[A-Za-z0-9+/=]{20,400}|hvs\.[A-Za-z0-9_-]{24,200}"
    r")"
)
_BLOCK = re.compile(r"-----BEGIN (?:[A-Z]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_END = "-----END"
_URL = re.compile(r"://[^\s/:@]{1,64}:([^\s/@]{3,128})@")
_VALUE = re.compile(
    r"[\"'`]?(?:[ ]{0,3}(?:is|was|ist|es|est|:|=|=>|->|:=)[ ]{0,3}|[ ])[\"'`]?(?:[Bb]earer[ ])?([^\s\"'`,;<>]{4,256})"
)
"""What may stand between a word for a secret and the secret."""
_PLACEHOLDER = re.compile(
    r"x{4,}|\*{3,}|\.{3,}|your|example|placeholder|change_?me|redacted|dummy|insert|"
    r"[<{\[$%(]|^(?:none|null|true|false)$",
    re.I,
)
LEAST_BITS = 2.5
"""Shannon entropy per character from which a vendor's token is not a placeholder; words have 2 to 3, keys 4 to 6."""
RANDOM_BITS = 3.0


def find_credentials(text: str, lowered: str, *, long_words: bool, named: Iterable[bytes]) -> Iterator[Finding]:
    """`long_words`: some word has 16 characters; `named`: the words for a secret that stand in the text."""
    if long_words:
        for match in _VENDORS.finditer(text):
            if entropy(match[0]) >= LEAST_BITS and _PLACEHOLDER.search(match[0]) is None:
                yield Finding("credential", *match.span())
        if "PRIVATE KEY" in text:
            yield from _blocks(text)
    if "://" in text:
        for match in _URL.finditer(text):
            if _PLACEHOLDER.search(match[1]) is None:
                yield Finding("credential", *match.span(1))
    for _, end in places(lowered, named):
        said = _VALUE.match(text, end)
        if said is not None and _is_random(value := said[1].rstrip(".!?)]}")):
            yield Finding("credential", said.start(1), said.start(1) + len(value))


def _blocks(text: str) -> Iterator[Finding]:
    """Private keys, from their first line to their last, or to the end of the text."""
    for match in _BLOCK.finditer(text):
        last = text.find(_BLOCK_END, match.end())
        newline = text.find("\n", last) if last >= 0 else -1
        yield Finding("credential", match.start(), newline if newline >= 0 else len(text))


def _is_random(word: str) -> bool:
    """Whether a word beside `password:` is one: of several kinds of characters, or long and random; no plain word."""
    if len(word) < 6 or _PLACEHOLDER.search(word) or "(" in word:
        return False
    kinds = sum(
        (
            any(char.islower() for char in word),
            any(char.isupper() for char in word),
            any(char.isdigit() for char in word),
            any(not char.isalnum() and char not in "._-" for char in word),
        )
    )
    if not any(char.isdigit() for char in word) and kinds < 3:
        return False
    return (
        kinds >= 3
        or (kinds >= 2 and entropy(word) >= RANDOM_BITS)
        or (len(word) >= 24 and entropy(word) >= RANDOM_BITS)
    )


def entropy(word: str) -> float:
    """Shannon entropy in bits per character."""
    total = len(word)
    return -sum(count / total * math.log2(count / total) for count in Counter(word).values()) if total else 0.0
