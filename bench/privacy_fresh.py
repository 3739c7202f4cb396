"""Recall on texts that no pattern was written against: numbers and addresses of 14 countries, drawn by Faker.

    python bench/privacy_fresh.py [--presidio]

The built-in patterns were written while looking at the recorded texts (bench/privacy.py), so those figures flatter.
Names are left out: the classifier's list of names is Faker's own.
Here each kind of data is drawn anew from Faker's providers and put into a sentence that says what it is and into one
that does not. Nothing was tuned on these texts; whoever changes a pattern after reading the misses should change SEED.
Needs the extra `learn` (faker); `--presidio` runs Presidio's default analyser beside. Writes
bench/out/privacy_fresh.json.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections import Counter
from collections.abc import Callable

from faker import Faker
from harness import record

from smallfirst.privacy.detector import Detector
from smallfirst.privacy.matters import shipped

SEED = 20261125
EACH = 30
"""Texts of a kind, a country and a way of saying it."""
COUNTRIES = (
    "en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL", "pt_BR", "en_IN", "vi_VN", "sv_SE", "da_DK",
    "cs_CZ",
)  # fmt: skip

VALID = {
    "us_ssn": "us.ssn", "de_tax_id": "de.idnr", "fr_nir": "fr.nir", "es_dni": "es.dni",
    "it_codice_fiscale": "it.codicefiscale", "nl_bsn": "nl.bsn", "pl_pesel": "pl.pesel", "br_cpf": "br.cpf",
    "in_aadhaar": "in_.aadhaar", "iban": "iban",
}  # fmt: skip
"""Modules of python-stdnum: Faker also makes numbers that their country would not give out; those are left out."""

NATIONAL = {
    "en_US": "us_ssn", "de_DE": "de_tax_id", "fr_FR": "fr_nir", "es_ES": "es_dni", "it_IT": "it_codice_fiscale",
    "nl_NL": "nl_bsn", "pl_PL": "pl_pesel", "pt_BR": "br_cpf", "en_IN": "in_aadhaar",
}  # fmt: skip
"""Countries whose number of identity is among the built-in ones, and its category."""

Draw = Callable[[Faker], str]
KINDS: dict[str, tuple[Draw, str, str, frozenset[str], frozenset[str]]] = {
    "phone": (lambda f: f.phone_number(), "You can call me at {x} after six.", "It is {x}, as before.",
              frozenset({"phone"}), frozenset({"PHONE_NUMBER"})),
    "postal address": (lambda f: f.address().replace("\n", ", "), "My new address is {x}.", "Bring it to {x} tonight.",
                       frozenset({"postal_address"}), frozenset({"LOCATION"})),
    "e-mail": (lambda f: f.email(), "My e-mail is {x}.", "Ask {x} about it.",
               frozenset({"email"}), frozenset({"EMAIL_ADDRESS"})),
    "payment card": (lambda f: f.credit_card_number(), "Charge my card {x} please.", "Use {x} for both.",
                     frozenset({"payment_card"}), frozenset({"CREDIT_CARD"})),
    "IBAN": (lambda f: f.iban(), "My IBAN is {x}.", "Send it to {x} today.",
             frozenset({"iban"}), frozenset({"IBAN_CODE"})),
    "IP address": (lambda f: f.ipv4_public(), "The login came from the address {x}.", "It was {x} again.",
                   frozenset({"ip_address"}), frozenset({"IP_ADDRESS"})),
    "MAC address": (lambda f: f.mac_address(), "The MAC of my phone is {x}.", "It was {x} again.",
                    frozenset({"mac_address"}), frozenset({"MAC_ADDRESS"})),
}  # fmt: skip
"""kind -> (how it is drawn, a sentence that says what it is, one that does not, our categories, Presidio's)."""
WORDS = {
    "us_ssn": "My SSN is {x}.", "de_tax_id": "Meine Steuer-ID ist {x}.",
    "fr_nir": "Mon numéro de sécurité sociale : {x}.",
    "es_dni": "Mi DNI es {x}.", "it_codice_fiscale": "Il mio codice fiscale è {x}.", "nl_bsn": "Mijn BSN is {x}.",
    "pl_pesel": "Mój PESEL to {x}.", "br_cpf": "Meu CPF é {x}.", "in_aadhaar": "My Aadhaar is {x}.",
}  # fmt: skip
OWN: dict[str, Draw] = {
    "es_dni": lambda f: f.nif(),
    "pl_pesel": lambda f: f.pesel(),
    "br_cpf": lambda f: f.cpf(),
    "in_aadhaar": lambda f: f.aadhaar_id(),
}
"""What Faker's `ssn` of the country is not."""

IDENTITIES = frozenset({"US_SSN", "ES_NIF", "IT_FISCAL_CODE", "PL_PESEL", "IN_AADHAAR"})


def valid(category: str, number: str) -> bool:
    return bool(importlib.import_module(f"stdnum.{VALID[category]}").is_valid(number))


Text = tuple[str, str, str, frozenset[str], frozenset[str]]
"""(kind, with a word or without, text, our categories, Presidio's)"""


def drawn() -> list[Text]:
    found: list[Text] = []
    for country in COUNTRIES:
        fake = Faker(country)
        fake.seed_instance(SEED)
        for kind, (draw, said, bare, ours, theirs) in KINDS.items():
            for _ in range(EACH):
                for way, sentence in (("said", said), ("bare", bare)):
                    written = draw(fake)
                    if kind != "IBAN" or valid("iban", written):
                        found.append((kind, way, sentence.replace("{x}", written), ours, theirs))
        if country in NATIONAL:
            found += identities(fake, NATIONAL[country])
    return found


def identities(fake: Faker, category: str) -> list[Text]:
    one = OWN.get(category, lambda f: f.ssn())
    ways = (("said", WORDS[category]), ("bare", "It is {x}."))
    return [
        ("number of identity", way, sentence.replace("{x}", number), frozenset({category}), IDENTITIES)
        for way, sentence in ways
        for number in (one(fake) for _ in range(EACH))
        if valid(category, number)
    ]


def recall(texts: list[Text], find: Callable[[str], set[str]], *, theirs: bool) -> tuple[dict[str, list[int]], float]:
    """kind, way -> [found, texts]; seconds of CPU."""
    hit: Counter[str] = Counter()
    total: Counter[str] = Counter()
    began = time.process_time()
    for kind, way, text, ours, presidio in texts:
        total[f"{kind}, {way}"] += 1
        hit[f"{kind}, {way}"] += not find(text).isdisjoint(presidio if theirs else ours)
    return {name: [hit[name], total[name]] for name in sorted(total)}, time.process_time() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presidio", action="store_true")
    given = parser.parse_args()
    texts = drawn()
    detector = Detector(matters=shipped())
    detector.warm()
    found, seconds = recall(texts, lambda text: set(detector.found([text]).categories), theirs=False)
    report: dict[str, object] = {"recall": found, "seconds": seconds, "texts": len(texts), "seed": SEED}
    other: dict[str, list[int]] = {}
    if given.presidio:
        from privacy import presidio  # noqa: PLC0415 - heavy, and an extra

        analyse = presidio()
        analyse(texts[0][2])
        other, took = recall(texts, lambda text: {name for name, _, _ in analyse(text)}, theirs=True)
        report |= {"presidio": other, "presidio seconds": took}
        print(f"CPU over {len(texts)} texts: built in {seconds:.2f} s, Presidio {took:.2f} s")
    print(f"{'kind, and whether a word says so':<36}{'texts':>7}{'built in':>10}{'Presidio':>10}")
    for name, (good, of) in found.items():
        beside = f"{other[name][0] / of:>10.1%}" if name in other else ""
        print(f"{name:<36}{of:>7}{good / of:>10.1%}{beside}")
    record("privacy_fresh", **report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
