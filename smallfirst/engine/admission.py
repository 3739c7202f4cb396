"""Which models may answer a query: what the key may name, what the permit covers, what the models can take.

Knows the catalogue, permits and abilities. Does not know policies: it only narrows what they may choose from, and says
plainly why when nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from smallfirst.accounts.keys import Key
from smallfirst.core import DataClass, Model, Needs, Permit, Query, Tier
from smallfirst.engine.handlers import Handler
from smallfirst.errors import BadRequest, Forbidden
from smallfirst.models.catalogue import Catalogue
from smallfirst.privacy.rules import Asker, Permits, refusal

DEMANDS: tuple[tuple[str, str, Callable[[Needs], bool], Callable[[Model], bool]], ...] = (
    ("images", "messages", lambda n: n.vision, lambda m: m.abilities.vision),
    ("tools", "tools", lambda n: n.tools, lambda m: m.abilities.tools),
    ("response_format json_schema", "response_format", lambda n: n.json_schema, lambda m: m.abilities.json_schema),
    ("response_format json_object", "response_format", lambda n: n.json_object, lambda m: m.abilities.json_object),
    ("several choices (n > 1)", "n", lambda n: n.n > 1, lambda m: m.abilities.n),
    ("logprobs", "logprobs", lambda n: n.logprobs, lambda m: m.abilities.logprobs),
    ("embeddings", "model", lambda n: n.embeds, lambda m: m.replicas[0].wire == "embeddings"),
    ("messages (it embeds)", "model", lambda n: not n.embeds, lambda m: m.replicas[0].wire != "embeddings"),
    (
        "content that only Anthropic's own API takes",
        "messages",
        lambda n: n.anthropic,
        lambda m: all(replica.wire == "anthropic" for replica in m.replicas),
    ),
)
"""What a request can ask that not every model can do: in words, the field, in the request, in the model."""

ANSWER_ROOM = 16
"""Tokens that must be left for an answer where the caller names no max_tokens."""


class Admission:
    """Narrows the tiers for each query; remembers the answer for queries of the same shape."""

    def __init__(self, catalogue: Catalogue, permits: Permits) -> None:
        self._catalogue, self._permits = catalogue, permits
        self._memo: dict[object, tuple[tuple[Tier, ...], int]] = {}

    def permit(self, query: Query, key: Key | None, data_class: DataClass) -> Permit:
        """Who may see a query of this class that comes from this caller."""
        if not self._permits.conditional:
            return self._permits.for_class(data_class)
        name, team, tags = (None, None, ()) if key is None else (key.name, key.team, key.tags)
        return self._permits.for_class(data_class, Asker(name, team, (*tags, *query.dials.tags), query.asked))

    def admit(self, query: Query, key: Key | None, permit: Permit, why: tuple[str, ...] = ()) -> tuple[Tier, ...]:
        """The tiers (empty ones left out) that may answer under `permit`. `why`: the query has its class, for refusals.

        Raises Forbidden when privacy or the key leaves no model, BadRequest when no model left can take the request.
        """
        named = query.asked if query.asked in self._catalogue.models else None
        if key is not None:
            key.check(query.asked, named is not None, permit.data_class)
        return self._admitted(query.needs, named, key, permit, why)

    def handle(
        self, query: Query, handler: Handler, key: Key | None, permit: Permit, why: tuple[str, ...] = ()
    ) -> tuple[tuple[Tier, ...], str]:
        """(a handler's own models as the lowest tier, and above it whom it may hand up to; why that is nobody).

        Raises Forbidden where the key may not name it or its own model may not see the query, BadRequest where that
        can't take the request.
        """
        if key is not None:
            key.check(query.asked, False, permit.data_class)
        seen, first = frozenset(model for model, _ in permit.replicas), handler.own[0]
        if first not in seen:
            raise Forbidden(refusal(permit, first, why), code="no_permitted_model", param="model")
        model = self._catalogue.own[first]
        for words, param, asks, can in DEMANDS:
            if asks(query.needs) and not can(model):
                raise BadRequest(f"{first} takes no {words}", code="unsupported", param=param)
        lowest = Tier(model.tier, tuple(name for name in handler.own if name in seen))
        try:
            return (lowest, *self._admitted(handler.needs(query), None, key, permit, why)), ""
        except (Forbidden, BadRequest) as error:
            return (lowest,), str(error)

    def _admitted(
        self, needs: Needs, named: str | None, key: Key | None, permit: Permit, why: tuple[str, ...]
    ) -> tuple[Tier, ...]:
        shape = (
            permit.replicas, key and key.models, named, needs.vision, needs.tools, needs.json_schema, needs.json_object,
            needs.n > 1, needs.logprobs, needs.anthropic, needs.embeds,
        )  # fmt: skip
        known = self._memo.get(shape)
        if known is None:
            tiers = self._narrow(needs, key, permit, named, why)
            known = self._memo[shape] = (tiers, min(self._contexts(tiers)))
        tiers, smallest = known
        wanted = needs.input_tokens + max(needs.output_tokens, ANSWER_ROOM)
        return tiers if wanted <= smallest else self._fitting(tiers, needs, wanted)

    def _contexts(self, tiers: tuple[Tier, ...]) -> list[int]:
        return [self._catalogue.models[name].abilities.context for tier in tiers for name in tier.models]

    def _narrow(
        self, needs: Needs, key: Key | None, permit: Permit, named: str | None, why: tuple[str, ...]
    ) -> tuple[Tier, ...]:
        models = self._catalogue.models
        listed = self._catalogue.tiers if named is None else (Tier(models[named].tier, (named,)),)
        tiers = _keep(listed, lambda name: key is None or key.models is None or name in key.models)
        if not tiers:
            raise Forbidden("this key may not use any of the models asked for", code="model_not_allowed", param="model")
        seen = frozenset(model for model, _ in permit.replicas)
        tiers = _keep(tiers, seen.__contains__)
        if not tiers:
            raise Forbidden(refusal(permit, named, why), code="no_permitted_model", param="model" if named else None)
        for words, param, asks, can in DEMANDS:
            if asks(needs):
                able = {name for name, model in models.items() if can(model)}
                tiers = _keep(tiers, able.__contains__)
                if not tiers:
                    raise BadRequest(
                        f"no model that may answer this request takes {words}", code="unsupported", param=param
                    )
        return tiers

    def _fitting(self, tiers: tuple[Tier, ...], needs: Needs, wanted: int) -> tuple[Tier, ...]:
        models = self._catalogue.models
        fitting = _keep(tiers, lambda name: wanted <= models[name].abilities.context)
        if not fitting:
            largest = max(self._contexts(tiers))
            raise BadRequest(
                f"the prompt is about {needs.input_tokens} tokens long and asks for {needs.output_tokens or 'some'} "
                f"more; the largest context among the models that may answer it is {largest} tokens",
                code="context_length_exceeded",
                param="messages",
            )
        return fitting


def _keep(tiers: Sequence[Tier], may: Callable[[str], bool]) -> tuple[Tier, ...]:
    kept = (Tier(tier.name, tuple(name for name in tier.models if may(name))) for tier in tiers)
    return tuple(tier for tier in kept if tier.models)
