"""Entries for the tests of the ledger, made from a few words."""

from smallfirst.core import Attempt, DataClass, Entry, Intent, Outcome, Reason, Status, Usage

NOW = 1_790_000_000_000_000
TOLD = "the patient's name is Ada"


def attempt(n: int = 0, *, cost: int = 10, tokens: int = 5, priced: bool | None = None, **outcome) -> Attempt:
    made = Outcome(
        model=outcome.pop("model", "small"),
        status=outcome.pop("status", Status.ok),
        text=TOLD,
        body=TOLD.encode(),
        error=TOLD,
        usage=Usage(input_tokens=tokens, output_tokens=tokens),
        started_us=1000 + n,
        latency_us=50,
        cost=cost,
        **outcome,
    )
    return Attempt(n=n, role="answer", outcome=made, priced=priced)


def entry(i: int = 0, *, attempts: tuple[Attempt, ...] | None = None, **fields) -> Entry:
    tried = (attempt(),) if attempts is None else attempts
    usual = {
        "id": f"req_{i:08d}",
        "at_us": NOW + i,
        "asked": "auto",
        "policy": "auto",
        "key_id": None,
        "tags": ("a", "b"),
        "session": None,
        "data_class": DataClass.internal,
        "kind": "faq",
        "complexity": 0.25,
        "reason": Reason.accepted,
        "status": 200,
        "served_model": "small",
        "served_tier": "slm",
        "attempts": tried,
        "cost": sum(a.outcome.cost for a in tried),
        "baseline_cost": 100,
        "baseline_method": "served",
        "latency_us": 1000,
        "overhead_us": 100,
        "stream": False,
        "would_escalate": False,
        "deferrals": (),
    }
    return Entry(**{**usual, **fields})


def intent(i: int = 0, **fields) -> Intent:
    usual = {
        "request_id": f"req_{i:08d}",
        "at_us": NOW + i,
        "data_class": DataClass.health,
        "models": ("small",),
        "locations": ("device",),
        "rule": "rule 3",
    }
    return Intent(**{**usual, **fields})
