"""One request, hop by hop: read `Exchange.run` from top to bottom; each hop it names is one room.

Knows the order of the hops. Does not know HTTP (gateway), how a model is reached (models), or which model is best
(policy). docs/request-lifecycle.md tells the same story with file names.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec

from smallfirst.accounts.accounts import Accounts
from smallfirst.accounts.keys import Key
from smallfirst.accounts.tab import Tab
from smallfirst.classify.classifier import Classifier
from smallfirst.classify.probes import Probe
from smallfirst.core import (
    Attempt,
    DataClass,
    Decision,
    Entry,
    Intent,
    Outcome,
    OutReason,
    Permit,
    Query,
    Reason,
    Score,
    Tier,
    Usage,
)
from smallfirst.engine.admission import Admission
from smallfirst.engine.auditing import Audited, Auditor, Promised
from smallfirst.engine.bookkeeping import Books, failure
from smallfirst.engine.cache import AnswerCache, Kept
from smallfirst.engine.driver import Flight, Listener
from smallfirst.engine.gates import USUAL, Balancer, ResilienceSettings
from smallfirst.engine.handlers import Handler, remade
from smallfirst.engine.hedging import Hedger
from smallfirst.engine.replicas import Caller
from smallfirst.engine.sessions import Sessions
from smallfirst.errors import LedgerError, NotFound, Overloaded, RequestError
from smallfirst.ledger.chain import salted
from smallfirst.ledger.content import Content
from smallfirst.ledger.writer import Ledger
from smallfirst.models.catalogue import Catalogue
from smallfirst.models.sender import Sender
from smallfirst.policy.fixed import Fixed
from smallfirst.policy.protocol import Facts, Policy
from smallfirst.privacy.guard import Assessed, Guard
from smallfirst.privacy.redaction import REDACTED_FROM, Redaction
from smallfirst.privacy.rules import unredacted
from smallfirst.verify.judge import make_judge

USUAL_ANSWER = 512
"""Output tokens that a call is expected to cost where the caller names no max_tokens."""

KEPT_REASONS = frozenset(
    (
        Reason.accepted, Reason.agreed, Reason.top_tier, Reason.only_tier, Reason.demonstration, Reason.fixed,
        Reason.hedged,
    )
)  # fmt: skip
"""An answer that was served for one of these may be given again; one that was only the best at hand may not."""

_NO_LEDGER = "the ledger can't write, and this gateway serves nothing that it can't record; nothing was sent"
_NO_INTENT = "the ledger can't commit what data of this class requires before it is sent; nothing was sent"


class Answer(msgspec.Struct):
    """What the gateway needs in order to reply: an outcome, or `error`; and the entry that the ledger got."""

    entry: Entry
    outcome: Outcome | None = None
    error: RequestError | None = None
    decision: Decision | None = None
    blocks: bytes = b""  # of a stream that was held and then accepted
    tail: tuple[bytes, ...] = ()  # of a stream: its last events, to which the gateway adds the decision
    released: bool = False
    limits: tuple[tuple[bytes, bytes], ...] = ()  # x-ratelimit-* headers, where the key has limits
    uncarried: tuple[str, ...] = ()  # fields of the request that the model that answered did not get to see


class Engine:
    """The parts that requests pass through, built once by cli/build.py."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        admission: Admission,
        classifier: Classifier,
        probes: Mapping[str, Probe | None],
        prior: float | None = None,
        policies: Mapping[str, Policy],
        default_policy: str,
        guard: Guard,
        intent_from: DataClass,
        sender: Sender,
        ledger: Ledger,
        promises: tuple[Promised, ...] = (),
        auditor: Auditor | None = None,
        config_digest: str = "",
        accounts: Accounts | None = None,
        resilience: ResilienceSettings = USUAL,
        note_waits: bool = False,
        refuse_unrecorded: bool = False,
        sessions: Sessions | None = None,
        cache: AnswerCache | None = None,
        cache_up_to: DataClass = DataClass.internal,
        observers: tuple[Callable[[Entry], None], ...] = (),
        handlers: tuple[Handler, ...] = (),
        floors: Mapping[str, DataClass] | None = None,
    ) -> None:
        """`note_waits`: a policy goes by how long models usually take. `floors`: the least data class of a query to a
        handler, by its name."""
        self.catalogue, self.admission, self.classifier = catalogue, admission, classifier
        self.probes, self.prior = probes, prior
        self.handlers, self.floors = {one.name: one for one in handlers}, floors or {}
        self.policies = {**{name: Fixed(name, name) for name in catalogue.models}, **policies, **self.handlers}
        self.policies["auto"] = policies[default_policy]
        self.guard, self.intent_from = guard, intent_from
        self.sender, self.ledger, self.balancer = sender, ledger, Balancer(resilience)
        self.hedger = Hedger(resilience.hedge) if resilience.hedge is not None or note_waits else None
        self.books = Books(catalogue, config_digest)
        self.accounts, self.refuse_unrecorded = accounts, refuse_unrecorded
        self.sessions = sessions
        self.cache, self.cache_up_to = cache, cache_up_to
        self.observers = observers
        self.promises, self.auditor = promises, auditor
        self.models = {**catalogue.models, **catalogue.own} if catalogue.own else catalogue.models
        self.demonstration = frozenset(name for name, model in catalogue.models.items() if model.demonstration)

    def usual_ms(self, model: str, streamed: bool) -> float | None:
        """How long 19 of 20 calls of `model` stay within: to the answer, or to a stream's first event."""
        if self.hedger is None:
            return None
        found = self.hedger.usual_s(self.balancer.gates(self.catalogue.models[model]), streamed=streamed)
        return None if found is None else found * 1000

    def exchange(self, query: Query, key: Key | None = None) -> Exchange:
        """Take one query; `run()` it, and tell it when the client has gone."""
        return Exchange(self, query, key)

    def score(self, query: Query) -> Score:
        """The classifier's view; `router.unprobed: trust` gives models without a probe the configured prior."""
        score = self.classifier.score(query, self.probes)
        if self.prior is None:
            return score
        chances = {model: self.prior if p is None else p for model, p in score.p_correct.items()}
        return msgspec.structs.replace(score, p_correct=chances)

    def promised(self, policy: Policy, dial: float) -> Policy:
        """The cheapest policy whose certificate is in force and promises a loss of at most `dial`, else `policy`.

        A model or a task that was asked for by name stays the one, and so does a policy that promises as much already:
        a dial can only tighten.
        """
        if isinstance(policy, Fixed) or policy.name in self.handlers:
            return policy
        if any(one is policy and one.max_quality_loss <= dial for one in self.promises):
            return policy
        fitting = [one for one in self.promises if one.max_quality_loss <= dial and one.in_force]
        return max(fitting, key=lambda one: one.max_quality_loss, default=policy)

    def publish(self, entry: Entry, content: Content | None = None) -> None:
        """Give a finished request to the ledger and to whoever counts."""
        self.ledger.record(entry, content)
        for observe in self.observers:
            observe(entry)


class Exchange:
    """One query on its way through the rooms."""

    def __init__(self, engine: Engine, query: Query, key: Key | None) -> None:
        self.engine, self.query, self.key = engine, query, key
        self.assessed = Assessed(engine.guard.default_class, ("default",))
        self.redaction: Redaction | None = None
        self._redacted_for: frozenset[tuple[str, str]] | None = None  # the permit's, once there is one
        self.score: Score | None = None
        self.policy = ""
        self.flight: Flight | None = None
        self.caller: Caller | None = None
        self.tab: Tab | None = None  # what is taken from the limits of the key, where it has any
        self._talk: tuple[bytes, bool] | None = None
        self.handler = engine.handlers.get(query.asked)
        self._refused = ""  # of a task: why it can't hand up
        self.kept_tier = False  # the conversation's earlier turns took lower tiers away: outside a certificate
        self._cache_key: bytes | None = None
        self._audit: Audited | None = None
        self._began_us = time.monotonic_ns() // 1000
        self._gone = ""
        self._salt = b""  # of the intent, where one was committed

    async def run(self, listener: Listener | None = None) -> Answer:
        """All hops of one request. An error that the caller should see is in the Answer, and in the ledger."""
        engine, query = self.engine, self.query
        try:
            if engine.refuse_unrecorded and engine.ledger.failing:
                raise Overloaded(_NO_LEDGER, code="ledger_unavailable", retry_after_s=5.0)
            policy = self._policy()  # 1. who plans: `auto`, a policy, or a model by name
            permit = await self._permit()  # 2. privacy: what it holds, and who may see it
            tiers = self._admit(permit)
            self._redacted_for = permit.redact
            if engine.auditor is not None and engine.auditor.toss(policy.name):
                shadows = () if permit.redact else tiers  # a shadow call sees the query as it is
                self._audit = Audited(query, shadows, unredacted(permit))  # the coin falls before the answer is known
            sender = engine.sender if self.key is None or not self.key.metered else await self._pays(self.key)
            score = self.score = engine.score(query)  # 3. classify: how hard, what kind, who would be right
            if engine.sessions is not None and self.handler is None:
                tiers = self._continue(engine.sessions, tiers, score)
            if engine.cache is not None and self._audit is None:  # what the coin chose is answered afresh
                kept = self._look_up(engine.cache, tiers)
                if kept is not None:
                    return self._from_cache(kept)
            await self._commit_intent(tiers, permit)  # 4. ledger: above `internal`, write down first what will leave
            caller = self.caller = Caller(
                sender, engine.balancer, engine.models, query, permit, self._deadline_us(), self.redaction,
                engine.hedger, text=engine.ledger.keeps(self.data_class),
            )  # fmt: skip
            self.flight = Flight(caller, listener)
            if self._gone:
                self.flight.gone(self._gone)
            plan = policy.plan(self._facts(tiers, score))
            decision = await self.flight.fly(plan)  # 5. policy plans, engine calls models, verify judges
        except RequestError as error:
            return self._finish(None, error)
        except LedgerError:
            return self._finish(None, Overloaded(_NO_INTENT, code="ledger_unavailable", retry_after_s=5.0))
        except (Exception, asyncio.CancelledError):  # a fault of ours, or the gateway stops: what was sent is kept
            self._finish(None, RequestError("the gateway did not finish this request", code="internal_error"))
            raise
        return self._finish(decision, None)  # 6. ledger: what was asked, tried, served and saved

    def _admit(self, permit: Permit) -> tuple[Tier, ...]:
        """admission: who may answer; of a task, its own models and whom it may hand up to."""
        admission, why = self.engine.admission, self.assessed.why
        if self.handler is None:
            return admission.admit(self.query, self.key, permit, why)
        tiers, self._refused = admission.handle(self.query, self.handler, self.key, permit, why)
        return tiers

    def _deadline_us(self) -> int | None:
        wanted = self.query.dials.max_latency_us
        return None if wanted is None else self._began_us + wanted

    def _continue(self, sessions: Sessions, tiers: tuple[Tier, ...], score: Score) -> tuple[Tier, ...]:
        """sessions: a conversation keeps its tier while there is reason to."""
        self._talk = sessions.find(self.query, self.key.name if self.key else None)
        if self._talk is None or self.query.asked in self.engine.catalogue.models:
            return tiers
        kept = sessions.narrow(self._talk, tiers, self.engine.catalogue.models, self.query, score.p_correct)
        self.kept_tier = kept is not tiers and _count(kept) < _count(tiers)
        return kept

    def _look_up(self, cache: AnswerCache, tiers: tuple[Tier, ...]) -> Kept | None:
        """cache: an answer to the very same request, by a model that may still answer this one."""
        if self.query.dials.max_quality_loss is not None or self.data_class > self.engine.cache_up_to:
            return None
        known = None if self.handler is None else self.handler.repeats(self.query)
        key = self._cache_key = cache.key(self.query, self.key.name if self.key else None, self.data_class, known)
        kept = None if key is None else cache.find(key)
        return kept if kept is not None and any(kept.outcome.model in tier.models for tier in tiers) else None

    def _from_cache(self, kept: Kept) -> Answer:
        """The answer that was kept: no attempt, no cost, and in the ledger who had made it."""
        answer = self._finish(Decision(None, Reason.cached), None, kept)
        answer.outcome = kept.outcome
        return answer

    def _keep(self, outcome: Outcome, entry: Entry) -> None:
        cache, key = self.engine.cache, self._cache_key
        if cache is not None and key is not None and entry.reason in KEPT_REASONS and outcome.finish == "stop":
            cache.keep(key, outcome, entry.served_tier or "", entry.baseline_cost)

    def gone(self, cause: str) -> None:
        """The client has left: cancel the calls; the entry is still written."""
        self._gone = cause
        if self.flight is not None:
            self.flight.gone(cause)

    def not_applied(self, model: str) -> tuple[str, ...]:
        """Fields of the request that `model` does not get to see: none behind the API that it was written for."""
        if not self.query.uncarried:
            return ()
        replicas = self.engine.models[model].replicas
        native = self.query.api == "messages" and self.redaction is None
        native = native and all(replica.wire == "anthropic" for replica in replicas)
        return () if native else self.query.uncarried

    @property
    def data_class(self) -> DataClass:
        return self.assessed.data_class

    async def _permit(self) -> Permit:
        """privacy: who may see a query of this class from this caller; whom it reaches redacted, only if it can be."""
        permit = self.engine.admission.permit(self.query, self.key, await self._assess())
        if permit.redact:
            beyond = self.engine.floors.get(self.query.asked, DataClass.public) >= REDACTED_FROM  # a task's own texts
            if not self.query.needs.anthropic and not beyond:  # what only Anthropic's API carries has no placeholders
                self.redaction = await self.engine.guard.redact(self.query.fields, self.assessed)
            if self.redaction is None:
                return unredacted(permit)
        return permit

    async def _assess(self) -> DataClass:
        """privacy: the highest of what the caller declares, the key demands, the session had and the text holds."""
        dials, key = self.query.dials, self.key
        self.assessed = await self.engine.guard.assess(
            self.query.whole,
            declared=dials.data_class,
            key=key.name if key else None,
            key_class=key.min_class if key else None,
            task_class=self.engine.floors.get(self.query.asked),
            session=dials.session,
        )
        return self.assessed.data_class

    async def _pays(self, key: Key) -> Sender:
        """accounts: take the request from the key's limits; a sender that pays for each call from its budgets."""
        accounts = self.engine.accounts
        if accounts is None:
            raise PermissionError("a key with limits, and no accounts to keep them")
        tab = self.tab = accounts.open(key, self.query)
        if not tab.enter_now():
            await tab.enter()
        return accounts.metered(self.engine.sender, tab)

    def _policy(self) -> Policy:
        policy = self.engine.policies.get(self.query.asked)
        if policy is None:
            raise NotFound(
                f"there is no model or policy called {self.query.asked!r}; `auto` routes, and GET /v1/models lists all",
                code="model_not_found",
                param="model",
            )
        dial = self.query.dials.max_quality_loss
        if dial is not None and self.engine.promises:
            policy = self.engine.promised(policy, dial)
        self.policy = policy.name
        return policy

    def _facts(self, tiers: tuple[Tier, ...], score: Score) -> Facts:
        dials, needs = self.query.dials, self.query.needs

        return Facts(
            tiers=tiers,
            p_correct=score.p_correct,
            complexity=score.complexity,
            kind=score.kind,
            judge=make_judge(self.query, score),
            expected_cost=self._expected_cost,
            stream=self.query.stream,
            max_cost=dials.max_cost,
            max_latency_ms=None if dials.max_latency_us is None else dials.max_latency_us / 1000,
            max_quality_loss=dials.max_quality_loss,
            format=needs.tools or needs.json_object or needs.json_schema,
            demonstration=self.engine.demonstration,
            query=self.query,
            refused=self._refused,
            further=self._further,
            usual_ms=self.engine.usual_ms,
        )

    def _further(self, model: str, tokens: int) -> int | None:
        """What so many more input tokens would cost a model. None: they do not fit its context, or it may see the
        query only redacted: what another model has written was never looked at for what must not leave."""
        one, needs = self.engine.catalogue.models[model], self.query.needs
        if self._redacted_for is None or any(name == model for name, _ in self._redacted_for):
            return None
        if needs.input_tokens + tokens + (needs.output_tokens or USUAL_ANSWER) > one.abilities.context:
            return None
        return 0 if one.price is None else one.price.cost(Usage(tokens))

    def _expected_cost(self, model: str) -> int:
        price = self.engine.models[model].price
        needs = self.query.needs if self.handler is None else self.handler.needs(self.query)
        written = (needs.output_tokens or USUAL_ANSWER) * needs.n
        return 0 if price is None else price.cost(Usage(needs.input_tokens, written))

    async def _commit_intent(self, tiers: tuple[Tier, ...], permit: Permit) -> None:
        if self.data_class < self.engine.intent_from:
            return
        models = tuple(name for tier in tiers for name in tier.models)
        all_models = self.engine.models
        replicas = (r for name in models for r in all_models[name].replicas if (name, r.provider) in permit.replicas)
        locations = tuple(sorted({r.location for r in replicas}))
        content, self._salt = salted([bytes(raw) for raw in self.query.whole.values()])
        now = time.time_ns() // 1000
        intent = Intent(self.query.id, now, self.data_class, models, locations, permit.rule, content, self._salt)
        await self.engine.ledger.intent(intent)

    def _served(self, decision: Decision, attempts: tuple[Attempt, ...]) -> tuple[Attempt | None, tuple[Attempt, ...]]:
        """The attempt that is served, in a task's words where it has made some; and all attempts."""
        served = next((a for a in attempts if a.n == decision.served), None)
        if served is None or decision.made is None or not served.outcome.ok:
            return served, attempts
        own = served.outcome.model in self.engine.catalogue.own
        served = msgspec.structs.replace(served, outcome=remade(served.outcome, decision.made, own=own))
        return served, tuple(served if a.n == served.n else a for a in attempts)

    def _content(self, entry: Entry, told: Outcome | None) -> Content | None:
        """What the ledger keeps of the words; None where it keeps none."""
        if not self.engine.ledger.keeps(self.data_class):
            return None
        return self.engine.books.content(self.query, self.key, entry, told)

    def _finish(self, decision: Decision | None, error: RequestError | None, kept: Kept | None = None) -> Answer:
        flight, served = self.flight, None
        attempts = tuple(flight.attempts) if flight else ()
        if decision is not None and kept is None:
            served, attempts = self._served(decision, attempts)
            if served is None or (not served.outcome.ok and not served.released):
                error = failure(decision, attempts)
        entry = self.engine.books.entry(
            query=self.query, key=self.key, policy=self.policy, assessed=self.assessed, score=self.score,
            reached=tuple(self.caller.reached) if self.caller else (),
            decision=decision, served=served, attempts=attempts, error=error, kept_tier=self.kept_tier,
            latency_us=time.monotonic_ns() // 1000 - self._began_us, waiting_us=flight.waiting_us if flight else 0,
            salt=self._salt,
        )  # fmt: skip
        if kept is not None:
            promised = any(one.name == self.policy for one in self.engine.promises)
            entry = msgspec.structs.replace(
                entry, served_model=kept.outcome.model, served_tier=kept.tier, baseline_cost=kept.baseline_cost,
                out_reason=OutReason.cache if promised else None,
            )  # fmt: skip
        elif served is not None and error is None:
            self._keep(served.outcome, entry)
        if self._talk is not None and self.engine.sessions is not None and served is not None:
            self.engine.sessions.note(self._talk, entry, served.outcome.usage.output_tokens)
        self.engine.publish(entry, self._content(entry, served.outcome if served else kept.outcome if kept else None))
        if self._audit is not None and self.engine.auditor is not None:
            self.engine.auditor.take(self._audit, entry, served.outcome if served else None, attempts)
        answer = Answer(entry, served.outcome if served else None, error, decision)
        if answer.outcome is not None:
            answer.uncarried = self.not_applied(answer.outcome.model)
        if self.tab is not None:
            self.tab.close(attempts)
            answer.limits = tuple(self.tab.headers())
        if flight and served:
            answer.released = served.released
            answer.blocks = b"".join(flight.held.get(served.n, ()))
            answer.tail = flight.tails.get(served.n, ())
        return answer


def _count(tiers: tuple[Tier, ...]) -> int:
    return sum(len(tier.models) for tier in tiers)
