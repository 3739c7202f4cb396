"""Conversations: one keeps its tier while there is reason to, and never falls down in the middle of a tool loop.

Knows what was served to each conversation's last turns, and what its prompt cache is worth. Does not know policies: it
only takes lower tiers away, and puts the model that was talking first in its own. In this process's memory, by a keyed
hash: no name, no text.

A conversation is known by the `session` dial, or else by its messages up to the first question (and `user`), always
within its key: nobody can steer another's.

The price of a switch. A model reads at its cached price what it has read before in this conversation, and everything
else at its full price. With I input tokens, C(m) of them cached by model m, and O tokens of answer:

    cost(m, C) = C x cached(m) + (I - C) x input(m) + O x output(m)
    stay       = cost(the model that has the conversation, C)
    leave(m)   = cost(m, C(m))      a lower model, this turn; C(m) is 0 where it has not read the conversation lately
    again(m)   = cost(m, I)         on a later turn, when it has read it all

An answer of m is good enough with chance p(m), and is paid for in vain otherwise. Over h turns (`horizon`) m is worth
trying where leave(m) + (h - 1) x again(m) < p(m) x h x stay; a model for which that does not hold is taken away.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

import msgspec

from smallfirst.core import Entry, Model, Query, Status, Tier, Usage
from smallfirst.engine.settings import SessionSettings

LEAST_CACHED = 1024
"""Tokens; shorter prefixes are not cached by the large vendors, so nothing is learned from one that was not."""


class Read(msgspec.Struct, frozen=True):
    """What a model has read last."""

    tokens: int
    at: float
    hit: float = 1.0  # share of what it had read before that really came from its cache, when that could last be seen


class Talk(msgspec.Struct):
    """What is remembered of a conversation."""

    tier: str
    model: str
    stay: int  # turns for which it stays up
    answer_tokens: int  # of its last answer
    at: float  # when that was
    reads: dict[str, Read]  # by model: what its prompt cache may hold of the conversation


class _Turn(msgspec.Struct):
    role: str = ""


_READ = frozenset((Status.ok, Status.cancelled))
"""How a call ends whose model has read the prompt."""

_messages = msgspec.json.Decoder(list[msgspec.Raw])
_turn = msgspec.json.Decoder(_Turn)


class Sessions:
    """All conversations of this process."""

    def __init__(self, settings: SessionSettings, clock: Callable[[], float] = time.monotonic) -> None:
        """`settings.ttl_s` must be given. Without a `key`, conversations are known by a secret of this process."""
        self._settings, self._ttl_s, self._clock = settings, settings.ttl_s or 0.0, clock
        secret = settings.key.encode() if settings.key else secrets.token_bytes(32)
        self._secret = hashlib.blake2b(secret, digest_size=32).digest()  # whatever its length
        self._talks: OrderedDict[bytes, Talk] = OrderedDict()

    def find(self, query: Query, key_name: str | None) -> tuple[bytes, bool] | None:
        """(what the conversation is known by, whether this turn is within a tool loop); None for what is no chat."""
        raw = query.fields.get("messages")
        if raw is None:
            return None
        try:
            messages = _messages.decode(raw)
            in_loop = _turn.decode(messages[-1]).role in ("tool", "function")
        except (msgspec.MsgspecError, IndexError):
            return None
        digest = hashlib.blake2b(key=self._secret, digest_size=16)
        digest.update((key_name or "").encode() + b"\0")
        if query.dials.session is not None:
            digest.update(b"s" + query.dials.session.encode("utf-8", "surrogatepass"))
        else:
            digest.update(b"m" + bytes(query.fields.get("user") or b""))
            for message in messages:
                digest.update(b"%d:" % len(message))
                digest.update(message)
                if _turn.decode(message).role == "user":
                    break
        return digest.digest(), in_loop

    def narrow(
        self,
        found: tuple[bytes, bool],
        tiers: tuple[Tier, ...],
        models: Mapping[str, Model],
        query: Query,
        chances: Mapping[str, float | None],
    ) -> tuple[Tier, ...]:
        """`tiers` without the models that this conversation should not fall back to. `chances`: p_correct by model."""
        talk = self._talks.get(found[0])
        now = self._clock()
        if talk is None or talk.at + self._ttl_s <= now:
            return tiers
        at = next((n for n, tier in enumerate(tiers) if talk.model in tier.models), None)
        if at is None:  # its model may not answer this one
            return tiers
        own = tiers[at]
        rest = tuple(name for name in own.models if name != talk.model)
        own = Tier(own.name, (talk.model, *rest)) if rest else own
        below: tuple[Tier, ...] = ()
        if at and not found[1] and talk.stay <= 0:
            below = self._worth(tiers[:at], _Turns(talk, models, query, now, self._settings), chances)
        return (*below, own, *tiers[at + 1 :])

    def _worth(self, below: tuple[Tier, ...], turns: _Turns, chances: Mapping[str, float | None]) -> tuple[Tier, ...]:
        """Of the lower tiers the models that are worth the switch; tiers without one are left out."""
        kept = [Tier(tier.name, tuple(m for m in tier.models if turns.pays(m, chances.get(m)))) for tier in below]
        same = all(len(one.models) == len(tier.models) for one, tier in zip(kept, below, strict=True))
        return below if same else tuple(tier for tier in kept if tier.models)

    def note(self, found: tuple[bytes, bool], entry: Entry, answer_tokens: int) -> None:
        """What became of the turn, and how long its answer was."""
        if entry.served_model is None or entry.served_tier is None or entry.status >= 400:
            return
        before, now = self._talks.pop(found[0], None), self._clock()
        stay = before.stay - 1 if before is not None and before.stay else 0
        if entry.deferrals:
            stay = self._settings.stay_turns
        reads = before.reads if before is not None else {}
        for attempt in entry.attempts:
            outcome = attempt.outcome
            if outcome.status in _READ:
                reads[outcome.model] = _read(reads.get(outcome.model), outcome.usage, now)
        self._talks[found[0]] = Talk(entry.served_tier, entry.served_model, stay, answer_tokens, now, reads)
        while len(self._talks) > self._settings.max_sessions:
            self._talks.popitem(last=False)


def _read(before: Read | None, usage: Usage, now: float) -> Read:
    """What a model has read by now. What it had read before and did not find in its cache is not counted on again."""
    if before is None:
        return Read(usage.input_tokens, now)
    known = min(before.tokens, usage.input_tokens)
    seen = known >= LEAST_CACHED and not usage.estimated
    return Read(usage.input_tokens, now, min(1.0, usage.cached_tokens / known) if seen else before.hit)


class _Turns:
    """What the next turns of a conversation cost with the model that has it, and with another."""

    def __init__(
        self, talk: Talk, models: Mapping[str, Model], query: Query, now: float, settings: SessionSettings
    ) -> None:
        asked = query.needs.output_tokens
        self._input = query.needs.input_tokens
        self._output = min(talk.answer_tokens, asked) if asked else talk.answer_tokens
        self._reads, self._models, self._now, self._settings = talk.reads, models, now, settings
        self._stay = self._cost(talk.model)

    def pays(self, model: str, chance: float | None) -> bool:
        """Whether `model` is worth the switch; yes where a price is not known."""
        leave, turns = self._cost(model), self._settings.horizon
        if leave is None or self._stay is None:
            return True
        again = (self._cost(model, self._input) or 0) if turns > 1 else 0
        return leave + (turns - 1) * again < (1.0 if chance is None else chance) * turns * self._stay

    def _cost(self, model: str, cached: int | None = None) -> int | None:
        """Nano-dollars for a turn with so much of it cached; None: with what its cache may hold now."""
        price = self._models[model].price
        if price is None:
            return None
        if cached is None:
            read = self._reads.get(model)
            warm = read is not None and read.tokens >= LEAST_CACHED and self._now - read.at <= self._settings.cache_s
            cached = round(min(read.tokens, self._input) * read.hit) if warm and read is not None else 0
        return price.cost(Usage(self._input, self._output, cached))
