"""The vocabulary: one frozen struct per word of the glossary (docs/glossary.md).

Knows what travels between rooms. Does not know where anything comes from: no I/O, no clock, no randomness,
no wire format beyond the names of OpenAI chat fields. Money is an integer number of nano-dollars; durations are
integer microseconds; `input_tokens` includes cached tokens.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Literal

import msgspec

NANO = 1_000_000_000
"""Nano-dollars in a US dollar."""

Role = Literal["answer", "witness", "judge", "draft"]
"""Why a call is made: `answer` may be served; `witness` is asked only so that its agreement can be weighed."""

Kind = Literal[
    "faq",
    "label",
    "extraction",
    "arithmetic",
    "formatting",
    "rewriting",
    "choice",
    "mathematics",
    "code",
    "tools",
    "other",
]
"""What a query asks for, coarsely: the row of a probe's table that speaks for it."""


class DataClass(enum.IntEnum):
    """What a query's content is, from harmless to most sensitive; the strictest of several wins."""

    public = 0
    internal = 1
    personal = 2
    health = 3
    financial = 4
    secret = 5


class Status(enum.StrEnum):
    """How one call to one model ended."""

    ok = "ok"
    cancelled = "cancelled"  # we stopped it: no longer needed, or the client went away
    timed_out = "timed_out"
    rate_limited = "rate_limited"
    unavailable = "unavailable"  # could not connect, 5xx
    broken = "broken"  # not JSON, or a stream that ended before its end
    refused = "refused"  # 4xx: this model does not take this request
    unauthorized = "unauthorized"  # 401 or 403: our own key is wrong
    overloaded = "overloaded"  # every replica had as many calls as it may, and the queue was long: nothing was sent
    over_budget = "over_budget"  # the caller's budget could not cover it: nothing was sent


class Reason(enum.StrEnum):
    """Why the served answer was served: the closed list behind `x-smallfirst-reason`."""

    accepted = "accepted"  # the verifier's p_correct reached the tier's threshold
    agreed = "agreed"  # a panel's answers agreed
    top_tier = "top_tier"  # nothing above to hand up to
    only_tier = "only_tier"  # one tier is configured; `would_escalate` tells what a higher one would have got
    demonstration = "demonstration"  # only_tier, and that tier is the embedded 135M demonstration model
    unsure = "unsure"  # a task's own answer, below its threshold: nobody above it could be asked, or none answered
    cached = "cached"  # the same request was answered before; no model was asked
    fixed = "fixed"  # the caller named a model, or the policy is fixed
    fallback = "fallback"  # higher models failed; the best answer at hand was served
    cost_limit = "cost_limit"  # max_cost_usd forbade handing up
    latency_limit = "latency_limit"  # max_latency_ms passed before a better answer came
    no_certificate = (
        "no_certificate"  # a certified policy or max_quality_loss was asked for; no certificate is in force
    )
    failed = "failed"  # no model answered
    client_gone = "client_gone"


class OutReason(enum.StrEnum):
    """Why a request that asked for a promise was served outside every certificate."""

    digest = "digest"  # a model, the verifier or another part is not the one that was certified
    alarm = "alarm"  # the monitor's alarm stands until the policy is certified again
    too_strict = "too_strict"  # max_quality_loss asks for more than any certificate promises
    narrowed = "narrowed"  # privacy, the key or an ability left out a model that the certificate counts on
    session = "session"  # a conversation under way; the certified queries had one turn
    cache = "cache"  # the answer had been given before to the same request
    slice = "slice"  # its slice is not one of those that were certified
    limit = "limit"  # max_cost_usd or max_latency_ms changed the course
    fallback = "fallback"  # a model failed, so another course was taken
    unserved = "unserved"  # no answer was served: all models failed, or the client left


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one call, as the upstream counted them, or estimated (`estimated`) where it did not say."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False


class Price(msgspec.Struct, frozen=True, gc=False):
    """What tokens cost, in nano-dollars per million tokens; `source` says who says so.

    `above` holds steps for long contexts: (from_input_tokens, input, cached, output), ascending.
    """

    input: int
    output: int
    cached: int
    source: str
    above: tuple[tuple[int, int, int, int], ...] = ()

    def cost(self, usage: Usage) -> int:
        """Nano-dollars for `usage`, rounded up so that sums never flatter us."""
        rate_in, rate_cached, rate_out = self.input, self.cached, self.output
        for start, step_in, step_cached, step_out in self.above:
            if usage.input_tokens < start:
                break
            rate_in, rate_cached, rate_out = step_in, step_cached, step_out
        fresh = usage.input_tokens - usage.cached_tokens
        return -(-(fresh * rate_in + usage.cached_tokens * rate_cached + usage.output_tokens * rate_out) // 1_000_000)


class Abilities(msgspec.Struct, frozen=True, gc=False):
    """What a model can take; a request that needs more is never sent to it."""

    context: int = 8192  # tokens, prompt and answer together
    tools: bool = True
    json_object: bool = True
    json_schema: bool = True
    vision: bool = False
    logprobs: bool = True
    n: bool = True  # several choices in one call


class Replica(msgspec.Struct, frozen=True):
    """One endpoint that serves a model. `key` never reaches a log or a repr."""

    provider: str
    url: str  # base URL, ending in /v1 or the like, no trailing slash
    upstream_model: str  # the name the endpoint knows the model by
    location: str = "premises"  # device | premises | cloud/<region>
    key: str | None = None
    weight: int = 1
    max_parallel: int = 0  # 0: no limit
    retention_days: int | None = None
    trains: bool | None = None
    baa: bool | None = None
    wire: Literal["openai", "anthropic", "embeddings", "local"] = (
        "openai"  # which API it speaks; local: no API, but code
    )

    def __repr__(self) -> str:
        return f"Replica({self.provider}, {self.upstream_model}, {self.location})"


class Model(msgspec.Struct, frozen=True):
    """One behaviour under one name: what a price, an ability and a p_correct speak of."""

    name: str
    tier: str
    replicas: tuple[Replica, ...]
    abilities: Abilities = Abilities()
    price: Price | None = None  # None: unknown, never invented
    demonstration: bool = False
    timeout_s: float = 120.0  # for a whole answer; of a stream: for its first byte, then for each gap
    stream_s: float = 900.0  # a stream that has not ended by then is cut off


class Tier(msgspec.Struct, frozen=True):
    """An ordered cost class; models inside are in order of preference."""

    name: str
    models: tuple[str, ...]


class Needs(msgspec.Struct, frozen=True, gc=False):
    """What a request asks of a model's abilities."""

    tools: bool = False
    json_object: bool = False
    json_schema: bool = False
    vision: bool = False
    logprobs: bool = False
    n: int = 1
    input_tokens: int = 0  # estimated, characters / 4, images at a flat 1,000
    output_tokens: int = 0  # max_tokens asked for, 0 where not said
    embeds: bool = False  # vectors are asked for, not an answer
    anthropic: bool = False  # content that only Anthropic's Messages API takes: documents, its own tools


class Dials(msgspec.Struct, frozen=True, gc=False):
    """What one request may tighten."""

    max_quality_loss: float | None = None  # 0..1, relative
    max_cost: int | None = None  # nano-dollars
    max_latency_us: int | None = None
    data_class: DataClass | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()


class Schema(msgspec.Struct, frozen=True):
    """A JSON schema that an answer must obey, with the name it goes by."""

    name: str
    schema: Mapping[str, object]


class Query(msgspec.Struct, frozen=True):
    """What one request asks, and its context."""

    id: str
    asked: str  # the `model` the caller named: auto, a policy, or a model
    text: str  # the user's own words (classify looks at nothing else)
    fields: Mapping[str, msgspec.Raw]  # the body as it came, by top-level field, without `smallfirst`
    needs: Needs = Needs()
    stream: bool = False
    include_usage: bool = False  # the caller asked for usage at a stream's end
    dials: Dials = Dials()
    key_id: str | None = None
    response_schema: Schema | None = None  # from response_format json_schema
    tools: tuple[Schema, ...] = ()  # each function's parameters
    redacted: bool = False  # its fields hold placeholders for what was found in them
    turns: int = 0  # earlier answers in the conversation
    api: Literal["chat", "messages", "responses"] = "chat"  # which API the caller speaks
    native: Mapping[str, msgspec.Raw] | None = None  # the body as it came, where that is another API than chat
    beta: str = ""  # Anthropic's header of that name: features that the caller switches on
    uncarried: tuple[str, ...] = ()  # fields of `native` that only a model behind that API gets to see

    @property
    def whole(self) -> Mapping[str, msgspec.Raw]:
        """All that the caller sent, in both forms where there are two: for whoever must read everything."""
        if self.native is None:
            return self.fields
        return {**self.fields, **{f"native {name}": raw for name, raw in self.native.items()}}


class Edit(msgspec.Struct, frozen=True):
    """How the request is changed for one call: fields set (over the caller's) and fields dropped."""

    put: Mapping[str, msgspec.Raw] = msgspec.field(default_factory=dict)
    drop: tuple[str, ...] = ()


class Permit(msgspec.Struct, frozen=True):
    """Proof that these models may see a query. Only `privacy` makes one; `models` sends nothing without it."""

    data_class: DataClass
    replicas: frozenset[tuple[str, str]]  # (model, provider)
    rule: str  # which rules spoke, for the audit trail
    redact: frozenset[tuple[str, str]] = frozenset()  # those of `replicas` that may see only a redacted query


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """One function call in an answer; `arguments` is the JSON text the model wrote."""

    name: str
    arguments: str


class Signals(msgspec.Struct, frozen=True, gc=False):
    """Evidence that came with an answer; natural logarithms, None where the upstream gives none."""

    first_logprob: float | None = None
    mean_logprob: float | None = None
    tokens: int = 0  # how many tokens the mean is over
    p_correct: float | None = None  # what a task's own model says of its answer: calibrated, 0..1


class Outcome(msgspec.Struct, frozen=True):
    """What came back from one call. It has no score: nothing that routes can peek."""

    model: str
    status: Status
    text: str = ""  # of the first choice
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str | None = None
    usage: Usage = Usage()
    signals: Signals = Signals()
    started_us: int = 0  # on the driver's clock
    ttft_us: int | None = None  # from start to first token (streams) or None
    latency_us: int = 0
    provider: str = ""
    location: str = ""
    tries: int = 1  # replicas tried
    http_status: int = 0
    error: str = ""  # one line, never prompt text
    retry_after_s: float | None = None
    body: bytes = b""  # the upstream's JSON answer (or its error), as it came; empty for a relayed stream
    cost: int = 0  # nano-dollars; 0 where the price is unknown

    @property
    def ok(self) -> bool:
        return self.status is Status.ok


class Verdict(msgspec.Struct, frozen=True):
    """The verifier's estimate for an answer, and why, in words a person can read."""

    p_correct: float
    why: tuple[str, ...] = ()
    valid: bool = True  # False: it breaks the format that was asked for, or is empty


class Score(msgspec.Struct, frozen=True):
    """What the classifier makes of a query before anyone has answered it.

    `p_correct` holds one entry a model; None where the model was never probed: it has no borrowed score.
    """

    complexity: float  # 0..1: the estimated chance that the lowest tier will not do
    kind: Kind
    p_correct: Mapping[str, float | None]
    why: tuple[str, ...] = ()


class Made(msgspec.Struct, frozen=True):
    """What is served in place of an attempt's own words: a task made it, of one answer or of several."""

    text: str  # the answer's content
    result: Mapping[str, object] = {}  # the task's own JSON, which goes beside it


class Decision(msgspec.Struct, frozen=True):
    """Which attempt was served (None: none), and why."""

    served: int | None
    reason: Reason
    verdict: Verdict | None = None
    would_escalate: bool = False  # a higher tier would have been asked, had there been one
    deferrals: tuple[str, ...] = ()  # a word for each hand-up: unprobed, low_confidence, invalid, failed, ...
    note: str = ""
    certificate_id: str | None = None  # of the certificate that was asked for, in force or not
    out_reason: OutReason | None = None  # why the request stands outside it; None with an id: it stands inside
    made: Made | None = None  # served in place of the attempt's own words


class Attempt(msgspec.Struct, frozen=True):
    """One call as the ledger keeps it."""

    n: int  # the id the policy gave it
    role: Role
    outcome: Outcome
    p_correct: float | None = None  # the verdict's, where one was made
    released: bool = False
    priced: bool | None = None  # False: its price is unknown; None: not said, and tokens at no cost then mean unknown


class Entry(msgspec.Struct, frozen=True):
    """One request as the ledger keeps it. No prompt text."""

    id: str
    at_us: int  # UTC microseconds since 1970
    asked: str
    policy: str
    key_id: str | None
    tags: tuple[str, ...]
    session: str | None
    data_class: DataClass
    kind: Kind
    complexity: float
    reason: Reason
    status: int  # the HTTP status the client got
    served_model: str | None
    served_tier: str | None
    attempts: tuple[Attempt, ...]
    cost: int  # every attempt, nano-dollars
    baseline_cost: int | None  # None: no price known for the baseline
    baseline_method: str
    latency_us: int
    overhead_us: int  # latency less the time spent waiting for models
    stream: bool
    would_escalate: bool
    deferrals: tuple[str, ...]
    config_digest: str = ""
    error_code: str | None = None
    reached: tuple[
        tuple[str, str, str, bool], ...
    ] = ()  # (model, provider, location, redacted) of every try of every call
    class_why: tuple[str, ...] = ()  # who demanded the data class, and the categories that were found; never the data
    certificate_id: str | None = None  # of the certificate that was asked for, in force or not
    in_certificate: bool = False  # the certificate's promise covers this request
    out_reason: OutReason | None = None  # why not, where a promise was asked for


class Grade(msgspec.Struct, frozen=True):
    """A score that someone or something gave to one model's answer to one query."""

    query_id: str  # a request's id, or the query_id of an outcome file
    model: str
    score: float  # 0..1
    grader: str  # checker:NAME, judge:MODEL@DIGEST or person:NAME
    sample_prob: float = 1.0  # with which probability this query was chosen to be graded, known beforehand
    blind: bool = True  # the grader did not see which model it was
    at_us: int = 0  # UTC microseconds since 1970


class Feedback(msgspec.Struct, frozen=True):
    """What a caller says of an answer it got. Whoever answers has selected themselves: shown, never tested."""

    request_id: str
    value: float  # 0 (bad) to 1 (good)
    key_id: str | None
    at_us: int


class Intent(msgspec.Struct, frozen=True):
    """What is about to be sent where, committed before the first byte leaves."""

    request_id: str
    at_us: int
    data_class: DataClass
    models: tuple[str, ...]
    locations: tuple[str, ...]
    rule: str
    content: str = ""  # salted digest of the query, in hex
    salt: bytes = b""  # kept apart from the chain, so that it can be destroyed
