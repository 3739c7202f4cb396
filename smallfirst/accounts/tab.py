"""What one request takes from the limits of its key and team: opened before anything is asked, closed at its end.

Knows purses and the upper bound of what a call may cost. Does not know routing: each call is reserved when it is made,
whoever asked for it, so that panels, retries and discarded drafts all count.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from smallfirst.accounts.limits import MINUTE_S
from smallfirst.accounts.purses import Bank, Purse
from smallfirst.core import Attempt, Edit, Outcome, Query, Status, Usage
from smallfirst.errors import LimitReached, Overloaded, StoreError
from smallfirst.models.faults import failed
from smallfirst.models.sender import Call

TEMPLATE_TOKENS = 64
"""What a model's chat template may add to the bytes of a request,"""
TOOL_TEMPLATE_TOKENS = 1024
"""and where it has tools."""
IMAGE_FACTOR = 12
"""With images the estimate (1,000 tokens an image, characters / 4) is taken so many times."""
UNKNOWABLE = 1 << 40
"""More than any context: the model's own is the bound."""
LEAST_ROOM = 16
CACHE_WRITE = 2
"""Writing to a prompt cache costs up to twice the input's price (Anthropic, for an hour)."""

_NO_VAULT = "the database of keys and budgets does not answer, and this key has limits; nothing was sent"
_GUESSED = frozenset((Status.cancelled, Status.timed_out, Status.broken))
"""How a call ends whose upstream may bill more than anybody has counted."""

Headers = list[tuple[bytes, bytes]]


class Purses(NamedTuple):
    """The purses of one key and its team in the minute that ends at `ends_s`."""

    ends_s: int
    requests: tuple[Purse, ...]
    tokens: tuple[Purse, ...]
    money: tuple[Purse, ...]


class Hold:
    """What is set aside for one call."""

    __slots__ = ("_amount", "_purses", "call")

    def __init__(self, call: Call, purses: Sequence[Purse], amount: int) -> None:
        self.call, self._purses, self._amount = call, purses, amount

    def settle(self, outcome: Outcome) -> None:
        """The call has ended. One that was stopped midway may be billed for more than came: it counts in full."""
        sure = not (outcome.usage.estimated and outcome.status in _GUESSED)
        self._pay(outcome.cost if sure else max(outcome.cost, self._amount))

    def lost(self) -> None:
        """Nobody will know how it ended: it counts in full."""
        self._pay(self._amount)

    def _pay(self, cost: int) -> None:
        for purse in self._purses:
            purse.settle(self._amount, cost)
        self._purses = ()


class Tab:
    """One request's account."""

    __slots__ = ("_bank", "_input", "_purses", "_query", "_tokens", "default_tokens")

    def __init__(self, bank: Bank, purses: Purses, query: Query, default_tokens: int) -> None:
        self._bank, self._purses, self._query = bank, purses, query
        self.default_tokens = default_tokens
        self._tokens = 0
        self._input: int | None = None

    @property
    def budgeted(self) -> bool:
        return bool(self._purses.money)

    def enter_now(self) -> bool:
        """Count the request, and the tokens that it asks for, if what is at hand allows it."""
        purses, needs = self._purses, self._query.needs
        tokens = needs.input_tokens + needs.output_tokens * needs.n
        if not Bank.take_now([*[(p, 1) for p in purses.requests], *[(p, tokens) for p in purses.tokens]]):
            return False
        self._entered(tokens)
        return True

    async def enter(self) -> None:
        """The same, waiting for what has to be leased. Raises LimitReached, Overloaded."""
        purses, needs = self._purses, self._query.needs
        tokens = needs.input_tokens + needs.output_tokens * needs.n
        for purse in purses.tokens:
            if tokens > purse.cap:
                words = f"this request may take {tokens:,} tokens; its key or team is allowed {purse.cap:,} a minute"
                raise LimitReached(words, code="request_too_large", param="max_tokens")
        try:
            short = await self._bank.take([*[(p, 1) for p in purses.requests], *[(p, tokens) for p in purses.tokens]])
        except StoreError:
            raise Overloaded(_NO_VAULT, code="limits_unavailable", retry_after_s=1.0) from None
        if short is not None:
            scope, wait = _scope(short), max(1.0, short.ends_s - self._bank.clock())
            raise LimitReached(
                f"{scope} has used up its {short.cap:,} {short.period.words}; again in {wait:.0f} s",
                code="rate_limit_exceeded",
                retry_after_s=wait,
            )
        self._entered(tokens)

    def _entered(self, tokens: int) -> None:
        for purse in self._purses.requests:
            purse.settle(1, 1)
        self._tokens = tokens

    async def reserve(self, call: Call) -> Hold | Outcome:
        """Set the most that `call` can cost aside; or the outcome that says why it can't be made."""
        purses = self._purses.money
        if not purses:
            return Hold(call, (), 0)
        model = call.model
        if model.price is None:
            return _refused(call, f"the price of {model.name} is not known, so no budget can cover it", None)
        call, output = self._bounded(call)
        usage = Usage(self._most_input(call), output * self._query.needs.n)
        amount = model.price.cost(usage) * (CACHE_WRITE if call.replica.wire == "anthropic" else 1)
        wanted = [(purse, amount) for purse in purses]
        if not Bank.take_now(wanted):
            try:
                short = await self._bank.take(wanted)
            except StoreError:
                return _refused(call, _NO_VAULT, 1.0)
            if short is not None:
                return _too_dear(call, short, amount, self._bank.clock())
        return Hold(call, purses, amount)

    def _bounded(self, call: Call) -> tuple[Call, int]:
        """The call with a limit to its answer, and that limit: max_tokens is put in where the caller names none."""
        needs, context = self._query.needs, call.model.abilities.context
        if needs.output_tokens or needs.embeds:
            return call, needs.output_tokens
        room = max(LEAST_ROOM, min(self.default_tokens, context - needs.input_tokens))
        edit = call.edit or Edit()
        put = {**edit.put, "max_tokens": msgspec.Raw(b"%d" % room)}
        return msgspec.structs.replace(call, edit=Edit(put, edit.drop, edit.input_tokens)), room

    def _most_input(self, call: Call) -> int:
        """No more tokens than bytes: every token of a text stands for at least one."""
        if self._input is None:
            query, needs = self._query, self._query.needs
            self._input = sum(map(len, query.fields.values()))
            if query.api == "messages" and query.native is not None:
                self._input = max(self._input, sum(map(len, query.native.values())))
            if needs.vision:  # the bytes of a picture say nothing about its tokens
                self._input = needs.input_tokens * IMAGE_FACTOR
            if needs.anthropic:  # nor do those of a document; and a tool that Anthropic runs reads what it likes
                self._input = UNKNOWABLE
            self._input += TOOL_TEMPLATE_TOKENS if needs.tools else TEMPLATE_TOKENS
        put, fields = {} if call.edit is None else call.edit.put, self._query.fields
        added = sum(max(0, len(raw) - len(fields.get(name, b""))) for name, raw in put.items())
        return min(self._input + added, call.model.abilities.context)

    def close(self, attempts: Iterable[Attempt]) -> None:
        """The request is over: the tokens of all its calls count, instead of those that were foreseen."""
        if self._purses.tokens:
            used = 0
            for attempt in attempts:
                usage = attempt.outcome.usage
                used += usage.input_tokens + usage.output_tokens
            for purse in self._purses.tokens:
                purse.settle(self._tokens, used)
            self._tokens = 0

    def headers(self) -> Headers:
        """`x-ratelimit-*` as OpenAI writes them, of whichever limit is nearest."""
        found: Headers = []
        for word, purses in (("requests", self._purses.requests), ("tokens", self._purses.tokens)):
            if purses:
                nearest = min(purses, key=lambda purse: purse.remaining / purse.cap)
                wait = max(0.0, nearest.ends_s - self._bank.clock())
                found += [
                    (f"x-ratelimit-limit-{word}".encode(), b"%d" % nearest.cap),
                    (f"x-ratelimit-remaining-{word}".encode(), b"%d" % nearest.remaining),
                    (f"x-ratelimit-reset-{word}".encode(), b"%.1fs" % wait),
                ]
        return found


def ends_with_minute(now_s: float) -> int:
    return (int(now_s) // MINUTE_S + 1) * MINUTE_S


def _scope(purse: Purse) -> str:
    kind, _, name = purse.name[0].partition("/")
    return f"the {kind} {name}"


def _too_dear(call: Call, purse: Purse, amount: int, now_s: float) -> Outcome:
    left = f"${purse.remaining / 1e9:.6f} of its {purse.period.words} of ${purse.cap / 1e9:.2f} is left"
    words = f"{_scope(purse)} can't pay for this call: it may cost up to ${amount / 1e9:.6f}, and {left}"
    if purse.held:
        return _refused(call, f"{words}; more may be when the calls that are running have ended", 1.0)
    return _refused(call, words, max(1.0, purse.ends_s - now_s) if purse.ends_s else None)


def _refused(call: Call, words: str, retry_after_s: float | None) -> Outcome:
    now = time.monotonic_ns() // 1000
    outcome = failed(call, Status.over_budget, words, now, now)
    return msgspec.structs.replace(outcome, retry_after_s=retry_after_s)
