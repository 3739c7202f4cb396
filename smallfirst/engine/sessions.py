"""Conversations: one keeps its tier while there is reason to, and never falls down in the middle of a tool loop.

Knows what was served to each conversation's last turns, and what its prompt cache is worth. Does not know policies: it
only takes lower tiers away, and puts the model that was talking first in its own. In this process's memory, by a keyed
hash: no name, no text.

A conversation is known by the `session` dial, or else by its messages up to the first question (and `user`), always
within its key: nobody can steer another's.

The price of a switch. The model that has the conversation reads what it has read before at its cached price; any other
reads all of it for the first time. With I input tokens, C of them cached, and O tokens of answer:

    stay     = C x cached + (I - C) x input + O x output          the model that has the conversation
    leave(m) = I x input(m) + O x output(m)                       a lower model m, this turn
    again(m) = I x cached(m) + O x output(m)                      m on a later turn, when it has read it all

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

from smallfirst.core import Entry, Model, Query, Tier, Usage
from smallfirst.engine.settings import SessionSettings

STAY_TURNS = 3
"""After a hand-up the conversation stays up for so many turns: what came before was too hard for the tier below."""

LEAST_CACHED = 1024
"""Tokens; shorter prefixes are not cached by the large vendors, so nothing is learned from one that was not."""


class Talk(msgspec.Struct):
    """What is remembered of a conversation."""

    tier: str
    model: str
    stay: int  # turns for which it stays up
    prefix_tokens: int  # of its last prompt and answer: what the model's prompt cache may hold
    answer_tokens: int  # of its last answer
    at: float  # when that was
    read: float = 1.0  # share of the prefix that was really read from the cache, the last time that could be seen


class _Turn(msgspec.Struct):
    role: str = ""


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
        if not found[1] and talk.stay <= 0:
            warm = now - talk.at <= self._settings.cache_s
            below = self._worth(
                tiers[:at], _Turns(talk, models, query, warm=warm, turns=self._settings.horizon), chances
            )
        return (*below, own, *tiers[at + 1 :])

    def _worth(self, below: tuple[Tier, ...], turns: _Turns, chances: Mapping[str, float | None]) -> tuple[Tier, ...]:
        """Of the lower tiers the models that are worth the switch; tiers without one are left out."""
        kept = [Tier(tier.name, tuple(m for m in tier.models if turns.pays(m, chances.get(m)))) for tier in below]
        same = all(len(one.models) == len(tier.models) for one, tier in zip(kept, below, strict=True))
        return below if same else tuple(tier for tier in kept if tier.models)

    def note(self, found: tuple[bytes, bool], entry: Entry, usage: Usage) -> None:
        """What became of the turn, and what its answer took."""
        if entry.served_model is None or entry.served_tier is None or entry.status >= 400:
            return
        before = self._talks.pop(found[0], None)
        stay = before.stay - 1 if before is not None and before.stay else 0
        if entry.deferrals:
            stay = STAY_TURNS
        read = 1.0
        if before is not None and before.model == entry.served_model:
            read = before.read
            known = min(before.prefix_tokens, usage.input_tokens)
            if known >= LEAST_CACHED and not usage.estimated:
                read = min(1.0, usage.cached_tokens / known)
        self._talks[found[0]] = Talk(
            entry.served_tier, entry.served_model, stay, usage.input_tokens + usage.output_tokens,
            usage.output_tokens, self._clock(), read,
        )  # fmt: skip
        while len(self._talks) > self._settings.max_sessions:
            self._talks.popitem(last=False)


class _Turns:
    """What the next turns of a conversation cost with the model that has it, and with another."""

    def __init__(self, talk: Talk, models: Mapping[str, Model], query: Query, *, warm: bool, turns: int) -> None:
        needs = query.needs
        asked = needs.output_tokens
        self._input = needs.input_tokens
        self._output = min(talk.answer_tokens, asked) if asked else talk.answer_tokens
        self._cached = round(min(talk.prefix_tokens, self._input) * talk.read) if warm else 0
        self._models, self._turns = models, turns
        mine = models[talk.model].price
        self._stay = None if mine is None else mine.cost(Usage(self._input, self._output, self._cached))

    def pays(self, model: str, chance: float | None) -> bool:
        """Whether `model` is worth the switch; yes where a price is not known, or nothing speaks of its chance."""
        price = self._models[model].price
        if price is None or self._stay is None or self._cached == 0:
            return True
        leave = price.cost(Usage(self._input, self._output))
        again = price.cost(Usage(self._input, self._output, self._input))
        whole = leave + (self._turns - 1) * again
        return whole < (1.0 if chance is None else chance) * self._turns * self._stay
