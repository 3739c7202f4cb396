"""A small world for policies: three tiers, scripted answers, a judge that knows what the script says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from smallfirst.core import Outcome, Query, Signals, Status, Tier, Usage, Verdict
from smallfirst.engine.virtual import Trace, simulate
from smallfirst.policy.cascade import Cascade
from smallfirst.policy.certified import Certified
from smallfirst.policy.fixed import Fixed
from smallfirst.policy.give_up import GivingUp
from smallfirst.policy.hand_over import HandingOver
from smallfirst.policy.hedged import Hedged
from smallfirst.policy.ladder import FORMAT, Expected, Ladder, Step
from smallfirst.policy.panel import Panel
from smallfirst.policy.protocol import Facts, Policy, Start
from smallfirst.policy.settings import CommitSettings
from smallfirst.policy.threshold import Threshold
from smallfirst.verify.combiner import Fan, Gap, Linear, Price, Trees

SLM, MID, TOP = Tier("slm", ("s1", "s2")), Tier("mid", ("m1", "m2")), Tier("frontier", ("f1", "f2"))
TIERS = (SLM, MID, TOP)
COST = {"s1": 1, "s2": 2, "m1": 20, "m2": 30, "f1": 300, "f2": 400}
MS = 1000


class Play(msgspec.Struct, frozen=True):
    """What a model does when it is asked. `p`: what the judge will say of it; None: the format is broken."""

    p: float | None = 0.9
    text: str = "B"
    status: Status = Status.ok
    after_ms: int = 100
    tokens: int = 3
    first: float | None = None  # log-probability of its first token


DOWN = Play(status=Status.unavailable, tokens=0, after_ms=10)


def script(plays: Mapping[str, Play]) -> Callable[[Start], tuple[Outcome, int]]:
    def answer(start: Start) -> tuple[Outcome, int]:
        play = plays.get(start.model, Play())
        cost = COST[start.model] if play.status is Status.ok else 0
        usage = Usage(10, play.tokens)
        text = play.text if play.status is Status.ok else ""
        return Outcome(
            start.model,
            play.status,
            text,
            usage=usage,
            ttft_us=play.after_ms * MS // 2,
            cost=cost,
            signals=Signals(play.first, play.first, play.tokens if play.first is not None else 0),
        ), play.after_ms * MS

    return answer


def facts(plays: Mapping[str, Play] | None = None, tiers: tuple[Tier, ...] = TIERS, **more) -> Facts:
    plays = plays or {}

    def judge(outcome: Outcome, others: tuple[Outcome, ...]) -> Verdict:
        p = plays.get(outcome.model, Play()).p
        return Verdict(0.01, ("broken format",), valid=False) if p is None else Verdict(p, ("as scripted",))

    known = {model: 0.8 for tier in TIERS for model in tier.models}
    known.update(more.pop("known", {}))
    messages = msgspec.Raw(b'[{"role":"user","content":"Which of the two?"}]')
    query = Query(id="q", asked="x", text="Which of the two?", fields={"messages": messages})
    more = {"further": lambda model, tokens: 0, **more}
    return Facts(tiers, known, 0.3, "other", judge, COST.__getitem__, query=query, **more)


def play(policy: Policy, plays: Mapping[str, Play] | None = None, *, gone_after_us: int | None = None, **more) -> Trace:
    """Run `policy` against the script."""
    return simulate(policy, facts(plays, **more), script(plays or {}), gone_after_us=gone_after_us)


def asked(trace: Trace) -> list[str]:
    """The models that were asked, in the order in which they were."""
    return [attempt.outcome.model for attempt in sorted(trace.attempts, key=lambda attempt: attempt.n)]


def served(trace: Trace) -> str | None:
    return next((a.outcome.model for a in trace.attempts if a.n == trace.decision.served), None)


QUERY, PAIR = 10, 30  # numbers of evidence: of a query, and with two answers
NO_TREES = Trees((), (), (), ())


def line(size: int, intercept: float, at: int = 0, weight: float = 0.0) -> Linear:
    weights = tuple(weight if n == at else 0.0 for n in range(size))
    return Linear(intercept, weights, (-1e9,) * size, (1e9,) * size)


def ladder() -> Ladder:
    """Asks s1 and s2 together and serves what both say, else m1, else f1; m1 is served where it backs one of them."""
    ahead = Fan((0.2, 0.2), ((0.0,) * QUERY,) * 2, (-1e9,) * QUERY, (1e9,) * QUERY)
    on = Fan((0.6, 0.6), ((0.0,) * PAIR,) * 2, (-1e9,) * PAIR, (1e9,) * PAIR)
    price = [Price(line(size, 0.0), NO_TREES) for size in (QUERY, PAIR, PAIR + 6)]
    pair = Gap(line(PAIR, 3.0), line(PAIR, -3.0, 19, 6.0), NO_TREES)  # 19: two say the same
    three = Gap(line(PAIR + 6, 3.0), line(PAIR + 6, -3.0, 22, 6.0), NO_TREES)  # 22: one says it alone
    steps = (
        Step((), (), (), price[0], ahead=ahead),
        Step(("s1", "s2"), ("s1", "s2"), (1.0, 1.1), price[1], gap=pair, ahead=on),
        Step(("m1",), ("s1", "s2", "m1"), (1.0, 1.1, 9.0), price[2], gap=three),
    )
    return Ladder(FORMAT, ("s1", "s2", "m1", "f1"), steps, (0.0, 0.5), (Expected(0, 0, 1, 1),) * 2, 0.02)


ACCEPT = {"slm": 0.85, "mid": 0.7}
CASCADE = Cascade("cascade", ACCEPT)
POLICIES: dict[str, Policy] = {
    "fixed": Fixed("fixed", "m1"),
    "threshold": Threshold("threshold", {"slm": 0.8, "mid": 0.7}),
    "cascade": CASCADE,
    "panel": Panel("panel", ("s1", "s2"), CASCADE),
    "panel with mid": Panel("panel with mid", ("s1", "s2"), CASCADE, with_mid=True),
    "quick panel": Panel("quick panel", ("s1", "s2"), CASCADE, with_mid=True, quick=True),
    "panel across tiers": Panel("panel across tiers", ("s1", "m1", "f2"), CASCADE, with_mid=True),
    "certified": Certified("certified", ladder(), 1),
    "committing early": Cascade("committing early", ACCEPT, commit=CommitSettings(tokens=1, above=0.9)),
    "hedged panel": Hedged(Panel("hedged panel", ("s1", "s2"), CASCADE, with_mid=True), 150, ACCEPT),
    "hedged, certified": Hedged(Certified("hedged, certified", ladder(), 1), 150),
    "all together": HandingOver(Hedged(GivingUp(CASCADE, 300), 150, ACCEPT), "critique"),
    "certified, rung 0": Certified("certified, rung 0", ladder(), 0),
}
