"""Names of what runs, in the terms of a certificate: models, prices, the code that reads and weighs answers.

Knows the catalogue, and the source of the modules that decide. Does not know certificates' files. A digest can only
see what is on this side of the wire: an upstream that changes a model behind its name is found by audits, not here.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import io
import tokenize
from collections.abc import Iterable, Mapping
from functools import cache

import msgspec

from smallfirst.core import Model

CANONICALISER = ("verify/canonical.py", "verify/agreement.py")
"""What decides whether two answers say the same."""

VERIFIER = (
    "verify/evidence.py",
    "verify/combiner.py",
    "verify/validity.py",
    "policy/ladder.py",
    "policy/certified.py",
    "classify/heads.py",
    "classify/tables.py",
    "classify/sample.py",
)
"""What turns answers into a decision; the fitted numbers are in the ladder, which has a digest of its own."""

PROMPTS = hashlib.sha256(b"the caller's messages, unedited").hexdigest()
"""A ladder sends each model what the caller wrote and nothing else; the day it edits, this says what."""

_ENDS = frozenset((tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT))
_SILENT = _ENDS | {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING}


def model_digest(model: Model, weights: str | None = None) -> str:
    """Of what decides a model's behaviour as far as the config says it: upstream names, weights, log-probabilities.

    Addresses are left out: replicas of a model are interchangeable, and moving one changes no answer.
    """
    upstream = sorted({replica.upstream_model for replica in model.replicas})
    said = (model.name, upstream, weights, model.abilities.logprobs)
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()


def model_digests(models: Iterable[Model], weights: Mapping[str, str | None]) -> dict[str, str]:
    """By the name in the config. `weights`: what an embedded model is loaded from."""
    return {model.name: model_digest(model, weights.get(model.name)) for model in models}


def price_digest(models: Iterable[Model]) -> str:
    """Of every price, whoever it is from: what was expected to be saved was computed with it, so a change warns."""
    prices = sorted((model.name, _price(model)) for model in models)
    return hashlib.sha256(msgspec.json.encode(prices)).hexdigest()


def _price(model: Model) -> tuple[object, ...] | None:
    price = model.price
    return None if price is None else (price.input, price.output, price.cached, price.above)


def canonicaliser_digest() -> str:
    return code_digest(CANONICALISER)


def verifier_digest() -> str:
    return code_digest(VERIFIER)


@cache
def code_digest(files: tuple[str, ...]) -> str:
    """sha256 of what these files of the package do: comments, docstrings and blank lines do not count."""
    digest = hashlib.sha256()
    package = importlib.resources.files("smallfirst")
    for name in files:
        file = package.joinpath(name)
        digest.update(name.encode() + b"\0")
        if file.is_file():
            digest.update(bare_code(file.read_text("utf-8")).encode())
    return digest.hexdigest()


def bare_code(source: str) -> str:
    """The tokens of Python source, one a line, without comments and docstrings; a change of either gives the same."""
    kept: list[str] = []
    begins, depth = True, 0  # of a statement: a string that stands alone there is a docstring
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type != tokenize.ENDMARKER]
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type in _SILENT:
            begins = begins or token.type in _ENDS
            depth += (token.type == tokenize.INDENT) - (token.type == tokenize.DEDENT)
            continue
        alone = after is None or after.type == tokenize.NEWLINE
        if not (begins and alone and token.type == tokenize.STRING):
            kept.append(f"{depth} {token.string}")
        begins = False
    return "\n".join(kept)
