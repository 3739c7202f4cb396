"""What personal data can be, by name, and the data class of each.

Knows names and classes. Does not know how anything is found.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from smallfirst.config.nearest import hint
from smallfirst.core import DataClass
from smallfirst.privacy.classes import NAMES, parse_class

_BY_CLASS = {
    DataClass.personal: (
        "email", "phone", "postal_address", "date_of_birth", "passport", "driving_licence", "us_ssn", "us_itin",
        "uk_nino", "de_tax_id", "fr_nir", "es_dni", "es_nie", "it_codice_fiscale", "nl_bsn", "pl_pesel", "in_aadhaar",
        "in_pan", "br_cpf", "vn_id", "ip_address", "mac_address", "person", "private_matter", "custom",
    ),
    DataClass.health: ("uk_nhs", "medical_record", "health_matter"),
    DataClass.financial: ("payment_card", "iban", "finance_matter"),
    DataClass.secret: ("credential", "token_ids"),
    DataClass.internal: ("private_network", "unreadable", "location"),
}  # fmt: skip

CATEGORIES: Mapping[str, DataClass] = {name: of for of, names in _BY_CLASS.items() for name in names}
"""Every category that the built-in recognisers can report, and its class unless the config says otherwise.

`private_network`: an address that names no person (10.0.0.1, 127.0.0.1). `unreadable`: what can't be looked into, such
as an image. `token_ids`: a whole text as a tokeniser's numbers, which hide anything that the text may say.
"""

IDENTIFYING = frozenset(CATEGORIES) - {
    "private_network", "unreadable", "token_ids", "health_matter", "finance_matter", "credential",
}  # fmt: skip
"""What says who somebody is: a text that holds one is the more likely about somebody."""

OFF = "off"


class Finding(msgspec.Struct, frozen=True, gc=False):
    """One piece of personal data: text[start:end], or somewhere in the text (start -1) where it is a whole's meaning.

    Holds where, never what.
    """

    category: str
    start: int = -1
    end: int = -1

    @property
    def located(self) -> bool:
        return self.start >= 0


class Found(msgspec.Struct, frozen=True):
    """What was found in a query: the highest class, and every category. `failed`: a detector raised."""

    data_class: DataClass = DataClass.public
    categories: tuple[str, ...] = ()
    failed: bool = False


NOTHING = Found()


class Classes:
    """The class of each category, as the config has it."""

    def __init__(self, overrides: Mapping[str, str] | None = None) -> None:
        """`overrides`: category -> name of a class, or `off`. Must be free of `category_problems`."""
        self._of: dict[str, DataClass | None] = {**CATEGORIES}
        for name, given in (overrides or {}).items():
            self._of[name] = None if given == OFF else parse_class(given)

    def of(self, category: str) -> DataClass | None:
        """None: it is switched off. A category that nobody declared is personal."""
        return self._of.get(category, DataClass.personal)

    def highest(self, findings: tuple[Finding, ...] | list[Finding]) -> Found:
        """The class and the categories of what was found, in the order of their names."""
        named = {finding.category: self.of(finding.category) for finding in findings}
        kept = {name: of for name, of in named.items() if of is not None}
        return Found(max(kept.values()), tuple(sorted(kept))) if kept else NOTHING


def category_problems(overrides: Mapping[str, str], custom: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with `privacy.categories`: (key path below it, words)."""
    known = (*CATEGORIES, *custom)
    found: list[tuple[tuple[str, ...], str]] = []
    for name, given in overrides.items():
        if name not in known:
            found.append(((name,), f"unknown category `{name[:60]}`{hint(name, known)}"))
        elif given != OFF and given not in NAMES:
            found.append(((name,), f"must be a data class or `off`, not `{given[:60]}`{hint(given, (*NAMES, OFF))}"))
    return found
