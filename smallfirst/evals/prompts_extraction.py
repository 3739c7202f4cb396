"""Prompts that ask for a field, or several as JSON, out of a mail, an order or a report made up here.

Level 1: the field has its name beside it; level 2: it stands in running text; level 3: there are decoys, or several
fields are wanted as JSON. Some ask through `response_format`, as an application would.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any, NamedTuple

from smallfirst.evals.prompts_sample import Sample, make

FIRST = ("Amara", "Jonas", "Leila", "Pavel", "Ingrid", "Marco", "Yuki", "Deniz", "Clara", "Hugo", "Noor", "Stella")
LAST = (
    "Whitlock",
    "Moreau",
    "Okonkwo",
    "Lindqvist",
    "Baptiste",
    "Kowalski",
    "Tanaka",
    "Ferrante",
    "Halloran",
    "Ozturk",
)
FIRMS = ("Calder Freight", "Novabrook", "Tessel & Sons", "Pinegate Labs", "Orchard Row", "Halvern Steel", "Bluequay")
CITIES = ("Rotterdam", "Leeds", "Graz", "Porto", "Malmo", "Lyon", "Gdansk", "Bergen", "Turin", "Cork")
GOODS = (
    "office chairs",
    "label printers",
    "safety gloves",
    "desk lamps",
    "steel shelves",
    "water filters",
    "cable drums",
)
MONTHS = ("January", "March", "April", "June", "August", "September", "October", "December")


class Case(NamedTuple):
    """The values that one made-up case is about."""

    name: str
    other: str
    firm: str
    city: str
    town: str
    goods: str
    pieces: int
    amount: str
    order: str
    invoice: str
    day: str
    phone: str
    mail: str


def _case(rng: Random) -> Case:
    first, second = rng.sample(FIRST, 2)
    family, other = rng.sample(LAST, 2)
    city, town = rng.sample(CITIES, 2)
    firm = rng.choice(FIRMS)
    domain = "".join(letter for letter in firm.lower() if letter.isalpha())
    return Case(
        name=f"{first} {family}",
        other=f"{second} {other}",
        firm=firm,
        city=city,
        town=town,
        goods=rng.choice(GOODS),
        pieces=rng.randint(3, 90),
        amount=f"{rng.randint(40, 2900)}.{rng.choice((0, 20, 45, 50, 75, 90)):02d}",
        order=f"{rng.choice('ABKRT')}{rng.choice('CDXZ')}-{rng.randint(1000, 9999)}",
        invoice=str(rng.randint(20000, 79999)),
        day=f"{rng.randint(1, 28)} {rng.choice(MONTHS)}",
        phone=f"0{rng.randint(20, 79)} {rng.randint(100, 999)} {rng.randint(1000, 9999)}",
        mail=f"{first.lower()}.{family.lower()}@{domain}.example",
    )


class Letter(NamedTuple):
    """`asks` maps a question to the field of the case that answers it; `decoys` to fields that must not be given."""

    group: str
    level: int
    text: str
    asks: Mapping[str, tuple[str, tuple[str, ...]]]


LETTERS: tuple[Letter, ...] = (
    Letter(
        "form",
        1,
        "Name: {name}\nCompany: {firm}\nCity: {city}\nPhone: {phone}\nE-mail: {mail}",
        {
            "What is the phone number?": ("phone", ()),
            "Give me only the e-mail address.": ("mail", ()),
            "which company is this from": ("firm", ()),
            "In which city are they?": ("city", ()),
        },
    ),
    Letter(
        "order",
        1,
        "Order {order}\nDate: {day}\nItem: {pieces} {goods}\nTotal: EUR {amount}\nDeliver to: {city}",
        {
            "Extract the order number.": ("order", ()),
            "How many pieces were ordered? Only the number.": ("pieces", ()),
            "what's the total?": ("amount", ()),
            "Which date is on the order?": ("day", ()),
        },
    ),
    Letter(
        "mail",
        2,
        "Hello,\nthis is {name} from {firm}. We ordered {pieces} {goods} on {day} (your number {order}), but the "
        "truck that came to {city} today had only half of them. Please call me on {phone}.\nRegards",
        {
            "Who wrote this?": ("name", ()),
            "Pull out the order number, nothing else.": ("order", ()),
            "Which number should we call back?": ("phone", ()),
            "When did they order?": ("day", ()),
            "What goods is this about?": ("goods", ()),
        },
    ),
    Letter(
        "reminder",
        2,
        "Dear {name}, according to our records invoice {invoice} over {amount} EUR has been open since {day}. If you "
        "have paid in the meantime, please ignore this letter. {firm}, {city}",
        {
            "What's the invoice number?": ("invoice", ()),
            "Which amount is open?": ("amount", ()),
            "Name the company that sent this.": ("firm", ()),
            "Since when has it been open?": ("day", ()),
        },
    ),
    Letter(
        "minutes",
        3,
        "Present: {name} (chair), {other} (notes). The {town} branch reported a loss. {other} will visit the {city} "
        "branch on {day}. The budget of {amount} euros was agreed; {name} informs {firm}.",
        {
            "Who took the notes?": ("other", ("name",)),
            "Who chaired the meeting?": ("name", ("other",)),
            "Which branch will be visited? Answer with the city.": ("city", ("town",)),
            "Which city's branch made a loss?": ("town", ("city",)),
            "On what day is the visit?": ("day", ()),
        },
    ),
    Letter(
        "thread",
        3,
        "> From: {other}\n> Can we move the delivery from {town} to {city}?\n\nFrom: {name}\nYes, {city} is fine. "
        "The new order number is {order}; invoice {invoice} is void. Cost stays at {amount}.",
        {
            "Who agreed to the change?": ("name", ("other",)),
            "Where does the delivery go now?": ("city", ("town",)),
            "Which invoice number is no longer valid?": ("invoice", ("order",)),
            "Give the new order number.": ("order", ("invoice",)),
        },
    ),
)
PLAIN = (
    "{text}\n\n{ask}",
    "{ask}\n\n{text}",
    'From the message below: {ask}\n\n"""\n{text}\n"""',
    "{ask} Copy it exactly as it stands there.\n\n{text}",
    "I need one thing from this. {ask}\n\n{text}\n\nThanks!",
)
JSON_ASKS = (
    "Return a JSON object with the keys {keys}.\n\n{text}",
    "{text}\n\nFill in {keys} as JSON. No other text.",
    "Our system wants {keys} in JSON from this:\n{text}",
    "Extract the {keys} as JSON.\n\n{text}",
    "{text}\n\nReturn {keys} as JSON.",
    "Please extract {keys} from this form. JSON only.\n\n{text}",
    "JSON with {keys}, please:\n\n{text}",
)
JSON_FIELDS = (
    ("name", "firm"),
    ("order", "amount"),
    ("invoice", "amount"),
    ("name", "city", "phone"),
    ("order", "pieces", "goods"),
    ("order", "day", "city", "amount"),
)
KEYS = {"firm": "company", "order": "order_number", "pieces": "quantity", "goods": "item", "day": "date"}
"""What a field is called in JSON, where that differs."""
FORMS = (
    ("newsletter", "Name: {name}\nEmail: {mail}"),
    ("bill", "Invoice: {invoice}\nName: {name}\nDate: {day}"),
    ("booking", "Name: {name}\nDate: {day}\nCity: {city}"),
    ("guest", "Name: {name}\nCity: {city}\nEmail: {mail}"),
    ("receipt", "Invoice: {invoice}\nDate: {day}"),
    ("contact", "Phone: {phone}\nName: {name}\nEmail: {mail}\nCity: {city}"),
)
"""Short forms whose labels are the keys that are asked for: the easy end, which even a 135M model can do."""
FORM_KEYS = KEYS | {"mail": "email"}


def extraction(rng: Random) -> list[Sample]:
    """One field of a letter (every question once), fields of a form as JSON (46), fields of a letter as JSON (18)."""
    made = []
    for letter in LETTERS:
        for ask, (field, decoys) in letter.asks.items():
            made.append(_one_field(rng, letter, ask, field, decoys))
    for index in range(46):
        name, text = FORMS[index % len(FORMS)]
        values = _case(rng)._asdict()
        present = [field for field in values if "{" + field + "}" in text]
        present.sort(key=lambda field: text.index("{" + field + "}"))
        wanted = present if rng.random() < 0.5 else present[:2]
        gold = {FORM_KEYS.get(field, field): str(values[field]) for field in wanted}
        made.append(_json(rng, name, 1, text.format(**values), gold, constrained=index % 12 != 5))
    for index in range(18):
        made.append(_json_of_letter(rng, JSON_FIELDS[index % len(JSON_FIELDS)], constrained=index % 3 != 0))
    return made


def _one_field(rng: Random, letter: Letter, ask: str, field: str, decoys: tuple[str, ...]) -> Sample:
    values = _case(rng)._asdict()
    prompt = rng.choice(PLAIN).format(text=letter.text.format(**values), ask=ask)
    gold = str(values[field])
    params = {"accept": [gold], "reject": [str(values[decoy]) for decoy in decoys], "max_words": 25}
    return make("extraction", letter.group, letter.level, prompt, gold, "includes", params=params)


def _json_of_letter(rng: Random, fields: tuple[str, ...], *, constrained: bool) -> Sample:
    values = _case(rng)._asdict()
    fitting = [letter for letter in LETTERS if all("{" + field + "}" in letter.text for field in fields)]
    letter = rng.choice(fitting or [_FULL])
    gold = {KEYS.get(field, field): values[field] for field in fields}
    return _json(rng, letter.group, 3, letter.text.format(**values), gold, constrained=constrained)


def _json(
    rng: Random, group: str, level: int, text: str, gold: Mapping[str, str | int], *, constrained: bool
) -> Sample:
    prompt = rng.choice(JSON_ASKS).format(text=text, keys=", ".join(gold))
    kinds = {key: {"type": "integer" if isinstance(value, int) else "string"} for key, value in gold.items()}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": kinds,
        "required": list(gold),
        "additionalProperties": False,
    }
    return make(
        "extraction",
        f"json_{group}",
        level if constrained else min(3, level + 1),
        prompt,
        json.dumps(gold),
        "json",
        params={"extra": True},
        schema=schema if constrained else None,
        max_tokens=64,
    )


_FULL = Letter(
    "note",
    3,
    "{name} of {firm} rang from {phone}: order {order} ({pieces} {goods}, {amount} euros) has to be in {city} by "
    "{day}. It goes on invoice {invoice}. Mail to {mail}.",
    {},
)
