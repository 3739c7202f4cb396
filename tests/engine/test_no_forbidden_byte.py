"""Whatever the config, the faults and the query: no model that may not see a query ever receives a byte of it.

The permits are worked out a second time here, by the words of the rules and nothing cleverer.
"""

from __future__ import annotations

import asyncio

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smallfirst.accounts.keys import Key
from smallfirst.classify.classifier import Classifier
from smallfirst.classify.probes import Probe, ProbeRow
from smallfirst.classify.shipped import shipped_weights
from smallfirst.core import DataClass, Made, Reason, Status
from smallfirst.engine.admission import Admission
from smallfirst.engine.request import Engine
from smallfirst.gateway.parse import parse_chat
from smallfirst.models.catalogue import build_catalogue
from smallfirst.models.scripted import Reply, ScriptedSender
from smallfirst.models.settings import BaselineSettings, CostSettings, ModelSettings, ProviderSettings, Terms
from smallfirst.policy.build import build_policy
from smallfirst.policy.settings import PanelSettings, PolicySettings
from smallfirst.privacy.build import build_guard
from smallfirst.privacy.rules import Rules
from smallfirst.privacy.settings import PrivacySettings, RuleSettings, TargetSettings, WhenSettings
from smallfirst.tasks.edits import constrained, edited, needed
from smallfirst.tasks.handing import Handing
from smallfirst.tasks.task import Own

CLASSIFIER = Classifier.from_bytes(shipped_weights())
MODELS = ("a", "b", "c", "d")
TIERS = ({"slm": ("a", "b")}, {"mid": ("c",)}, {"frontier": ("d",)})
PIECES = {
    "ann.lee@example.com": DataClass.personal,
    "536-90-4399": DataClass.personal,
    "4111 1111 1111 1111": DataClass.financial,
    "AKIAIOSFODNN7GZQ3TRX": DataClass.secret,
    "my wife has leukemia": DataClass.health,
    "nothing at all": DataClass.public,
}
PLACES = st.sampled_from(["device", "premises", "cloud", "cloud/eu", "cloud/us"])
providers = st.builds(
    ProviderSettings,
    url=st.just("http://127.0.0.1:9/v1"),
    location=PLACES,
    terms=st.builds(Terms, trains=st.none() | st.booleans(), baa=st.none() | st.booleans()),
)
targets = st.just("any") | st.builds(
    TargetSettings,
    location=st.none() | PLACES,
    trains=st.none() | st.booleans(),
    model=st.none() | st.sampled_from(MODELS),
)
rules = st.builds(
    RuleSettings,
    classes=st.lists(st.sampled_from(list(DataClass.__members__)), min_size=1, max_size=6, unique=True).map(tuple),
    to=targets,
    when=st.none() | st.builds(WhenSettings, key=st.sampled_from([None, "k"]), tag=st.sampled_from([None, "t"])),
    do=st.sampled_from(["allow", "allow", "redact", "deny"]),
)
policies = st.sampled_from(
    [
        PolicySettings(kind="cascade"),
        PolicySettings(kind="threshold"),
        PolicySettings(kind="fixed", model="d"),
        PolicySettings(kind="panel", panel=PanelSettings(models=("a", "b"))),
        PolicySettings(kind="panel", panel=PanelSettings(models=("a", "b"), with_mid=True)),
    ]
)
replies = st.sampled_from(
    [
        Reply(text="fine"),
        Reply(text=""),
        Reply(text="I am not sure, I cannot help with that."),
        Reply(text="<EMAIL_1> was told"),
        Reply(status=Status.unavailable, http_status=503),
        Reply(status=Status.rate_limited, http_status=429, retry_after_s=60.0),
        Reply(text="half of it", cut_after=1),
    ]
)
queries = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["auto", "auto", "a", "d", "task:t"]),
        "pieces": st.lists(st.sampled_from(list(PIECES)), min_size=1, max_size=2, unique=True),
        "stream": st.booleans(),
        "declared": st.none() | st.sampled_from(list(DataClass.__members__)),
        "where": st.sampled_from(["user", "system", "tool", "part", "metadata"]),
        "key": st.booleans(),
        "tag": st.booleans(),
    }
)


def body(query):
    said = "Please look at this: " + " and ".join(query["pieces"])
    messages = [{"role": "user", "content": said if query["where"] == "user" else "Go on."}]
    if query["where"] == "system":
        messages.insert(0, {"role": "system", "content": said})
    if query["where"] == "tool":
        messages.append({"role": "tool", "tool_call_id": "1", "content": said})
    if query["where"] == "part":
        messages[0]["content"] = [{"type": "text", "text": "see"}, {"type": "text", "text": said}]
    dials = {"data_class": query["declared"], "tags": ["t"] if query["tag"] else []}
    more = {"metadata": {"note": said}} if query["where"] == "metadata" else {}
    return msgspec.json.encode(
        {"model": query["model"], "messages": messages, "stream": query["stream"], "smallfirst": dials, **more}
    )


def least_class(query) -> DataClass:
    """What the query is at least, by what we put into it and what is said about it."""
    declared = DataClass[query["declared"]] if query["declared"] else DataClass.public
    return max(declared, DataClass.internal, *(PIECES[piece] for piece in query["pieces"]))


def verdicts(given_rules, provider, model, data_class, query) -> set[str]:
    """What the rules say, each read by its words: where a provider says nothing, a deny and a redact may speak."""
    found = set()
    for rule in given_rules:
        when = rule.when
        if when and ((when.key and not query["key"]) or (when.tag and not query["tag"])):
            continue
        if data_class.name not in rule.classes:
            continue
        to = rule.to
        surely = maybe = True
        if to != "any":
            if to.model is not None and to.model != model:
                continue
            if to.location is not None:
                inside = provider.location == to.location or provider.location.startswith(to.location + "/")
                surely &= inside
                maybe &= inside or to.location.startswith(provider.location + "/")
            if to.trains is not None:
                surely &= provider.terms.trains is to.trains
                maybe &= provider.terms.trains in (None, to.trains)
        if surely:
            found.add(rule.do)
        elif maybe and rule.do != "allow":
            found.add(f"{rule.do}?")
    return found


def may_see(said: set[str]) -> str:
    if said & {"deny", "deny?"} or not said & {"allow", "redact"}:
        return "nothing"
    return "redacted" if said & {"redact", "redact?"} else "all"


HERE = ProviderSettings(url="http://127.0.0.1:9/v1", location="device", terms=Terms(retention_days=0, trains=False))
"""Where a task's own model is."""


class Unsure:
    """A task that hands everything up, in words of its own, and else serves its own answer."""

    name, own = "task:t", ("task:t",)

    def __init__(self, above):
        self._above = above

    def needs(self, query):
        return needed(query, added=0, schema=False)

    def plan(self, facts):
        handing = Handing(facts)
        heard = yield from handing.ask("task:t", patient=True)
        edit = constrained([{"role": "user", "content": f"Consider: {facts.query.text}"}])
        handed = yield from handing.hand_up(self._above, edit, word="low_confidence", query=edited(facts.query, edit))
        if handed.outcome is not None:
            return handing.serve_handed(handed, Made("made"))
        return handing.serve(heard, Reason.unsure, Made("made"))


SURE = {name: ProbeRow(n=100, right=60, mean_logit=0.0) for name in ("faq", "other", "arithmetic", "extraction")}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(providers, min_size=4, max_size=4),
    st.lists(rules, max_size=6),
    policies,
    st.lists(replies, min_size=4, max_size=4),
    queries,
    st.sampled_from(["deny", "send"]),
)
def test_no_forbidden_model_receives_a_byte(four, given_rules, policy, said, query, unlocated):
    by_model = {**dict(zip(MODELS, four, strict=True)), "task:t": HERE}
    privacy = PrivacySettings(rules=tuple(given_rules), matters=False, unlocated=unlocated)
    script = {**dict(zip(MODELS, said, strict=True)), "task:t": Reply(text="mine")}
    sender = ScriptedSender(lambda call: script[call.model.name])
    asyncio.run(ask(engine(by_model, privacy, policy, sender), query))
    data_class = least_class(query)
    for one in sender.seen:
        allowed = may_see(verdicts(given_rules, by_model[one.model], one.model, data_class, query))
        assert allowed != "nothing", one
        if allowed == "redacted":
            for piece in query["pieces"]:
                located = PIECES[piece] not in (DataClass.public, DataClass.health)
                assert not located or piece.encode() not in one.body, one
            assert unlocated == "send" or "my wife has leukemia" not in query["pieces"]


def engine(by_model, privacy, policy, sender):
    cost = CostSettings(input_per_m=1, output_per_m=1)
    catalogue = build_catalogue(
        {f"p{name}": by_model[name] for name in MODELS},
        {name: ModelSettings(provider=f"p{name}", cost=cost) for name in MODELS},
        TIERS,
        BaselineSettings(),
        environ={},
        embedded=lambda name, model: None,
    )
    own = Own("task:t", None).model("slm")
    catalogue = msgspec.structs.replace(catalogue, own={"task:t": own})
    auto = build_policy("auto", policy, catalogue.tiers)
    permits = Rules.from_settings(privacy).permits((*catalogue.models.values(), own))
    return Engine(
        catalogue=catalogue,
        admission=Admission(catalogue, permits),
        handlers=(Unsure(auto),),
        classifier=CLASSIFIER,
        probes={name: Probe(name, "t", 0, SURE) for name in MODELS},
        policies={"auto": auto},
        default_policy="auto",
        guard=build_guard(privacy),
        intent_from=DataClass.personal,
        sender=sender,
        ledger=Kept(),
    )


class Kept:
    """A ledger in memory."""

    def __init__(self):
        self.entries, self.intents = [], []

    def record(self, entry):
        self.entries.append(entry)

    async def intent(self, intent):
        self.intents.append(intent)


async def ask(made, query):
    key = Key("k") if query["key"] else None
    parsed = parse_chat(body(query), {}, "sf-1", max_messages=10)
    await made.exchange(parsed, key).run(Deaf() if query["stream"] else None)
    made.guard.close()


class Deaf:
    """A client that takes what it gets."""

    async def opened(self, start):
        pass

    async def relay(self, block):
        pass
