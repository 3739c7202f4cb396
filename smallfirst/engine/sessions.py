"""Conversations: one keeps its tier while there is reason to, and never falls down in the middle of a tool loop.

Knows what was served to each conversation's last turns, and what its prompt cache is worth. Does not know policies: it
only takes lower tiers away, and puts the model that was talking first in its own. In this process's memory, by a keyed
hash: no name, no text.

A conversation is known by the `session` dial, or else by its messages up to the first question (and `user`), always
within its key: nobody can steer another's.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import msgspec

from smallfirst.core import Entry, Model, Query, Tier, Usage

STAY_TURNS = 3
"""After a hand-up the conversation stays up for so many turns: what came before was too hard for the tier below."""


class Talk(msgspec.Struct):
    """What is remembered of a conversation."""

    tier: str
    model: str
    stay: int  # turns for which it stays up
    prefix_tokens: int  # of its last prompt: what the model's prompt cache may hold
    until: float


class _Turn(msgspec.Struct):
    role: str = ""


_messages = msgspec.json.Decoder(list[msgspec.Raw])
_turn = msgspec.json.Decoder(_Turn)


class Sessions:
    """All conversations of this process."""

    def __init__(
        self, ttl_s: float, max_sessions: int, clock: Callable[[], float] = time.monotonic, secret: bytes | None = None
    ) -> None:
        self._ttl_s, self._max, self._clock = ttl_s, max_sessions, clock
        self._secret = secret or secrets.token_bytes(32)
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
        self, found: tuple[bytes, bool], tiers: tuple[Tier, ...], models: Mapping[str, Model], query: Query
    ) -> tuple[Tier, ...]:
        """`tiers` without those that this conversation should not fall back to."""
        talk = self._talks.get(found[0])
        if talk is None or talk.until <= self._clock():
            return tiers
        at = next((n for n, tier in enumerate(tiers) if talk.model in tier.models), None)
        if at is None:  # its model may not answer this one
            return tiers
        own = tiers[at]
        rest = tuple(name for name in own.models if name != talk.model)
        own = Tier(own.name, (talk.model, *rest)) if rest else own
        stays = found[1] or talk.stay > 0 or self._dear_to_switch(talk, tiers[:at], models, query)
        return (*(() if stays else tiers[:at]), own, *tiers[at + 1 :])

    def _dear_to_switch(self, talk: Talk, below: Sequence[Tier], models: Mapping[str, Model], query: Query) -> bool:
        """Whether every model below would cost more than the one that has the conversation in its prompt cache."""
        mine = models[talk.model].price
        others = [models[name].price for tier in below for name in tier.models]
        if mine is None or not others:
            return False
        needs = query.needs
        output = needs.output_tokens or needs.input_tokens // 4
        cached = min(talk.prefix_tokens, needs.input_tokens)
        here = mine.cost(Usage(needs.input_tokens, output, cached))
        afresh = Usage(needs.input_tokens, output)
        return all(price is not None and price.cost(afresh) > here for price in others)

    def note(self, found: tuple[bytes, bool], entry: Entry, prompt_tokens: int) -> None:
        """What became of the turn."""
        if entry.served_model is None or entry.served_tier is None or entry.status >= 400:
            return
        before = self._talks.pop(found[0], None)
        stay = before.stay - 1 if before is not None and before.stay else 0
        if entry.deferrals:
            stay = STAY_TURNS
        until = self._clock() + self._ttl_s
        self._talks[found[0]] = Talk(entry.served_tier, entry.served_model, stay, prompt_tokens, until)
        while len(self._talks) > self._max:
            self._talks.popitem(last=False)
