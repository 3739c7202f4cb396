"""Prompts that ask for the same content in another form: dates, lists, case, CSV and JSON. Content is made up here.

Level 1: one value or plain case; level 2: a short list or record; level 3: several records or two changes at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from smallfirst.evals.prompts_sample import Sample, make

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
FRUIT = (
    "stapler",
    "ruler",
    "folder",
    "marker",
    "notebook",
    "charger",
    "headset",
    "keyboard",
    "lamp",
    "binder",
    "cable",
)
NAMES = ("Ines", "Bjorn", "Callum", "Dora", "Emeka", "Farah", "Goran", "Hana", "Ivo", "Jette", "Kofi", "Lucia")
TOWNS = ("Basel", "Cadiz", "Dresden", "Esbjerg", "Fribourg", "Genoa", "Haarlem", "Innsbruck")
TITLES = (
    "minutes of the spring budget meeting",
    "how to order a new badge",
    "safety rules for the loading bay",
    "report on the second customer survey",
    "list of open positions in the north",
    "plan for moving the archive",
    "welcome to the new intranet",
    "rules for working from home",
)


class Job(NamedTuple):
    group: str
    level: int
    ask: str
    gold: str
    scorer: str
    params: dict[str, object]
    schema: dict[str, object] | None = None


def _iso(rng: Random) -> Job:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(2019, 2027)
    written = rng.choice(
        (
            f"{day} {MONTHS[month - 1]} {year}",
            f"{MONTHS[month - 1]} {day}, {year}",
            f"{day} {MONTHS[month - 1][:3]} {year}",
        )
    )
    ask = rng.choice(
        (
            "Write {d} as an ISO date (YYYY-MM-DD).",
            "convert to yyyy-mm-dd: {d}",
            "The database wants ISO 8601 dates. What is {d} in that form? Only the date.",
            "{d} -> YYYY-MM-DD",
        )
    )
    gold = f"{year}-{month:02d}-{day:02d}"
    return Job("iso_date", 1, ask.format(d=written), gold, "includes", {"accept": [gold]})


def _upper(rng: Random) -> Job:
    title = rng.choice(TITLES)
    big = rng.random() < 0.5
    ask = rng.choice(("Put this in {c}: {t}", "{t}\n\nIn {c} please.", 'Change "{t}" to {c}. Only give me the result.'))
    source, gold = (title, title.upper()) if big else (title.upper(), title)
    case = rng.choice(("capital letters", "upper case")) if big else rng.choice(("lower case", "small letters only"))
    return Job("case", 1, ask.format(t=source, c=case), gold, "exact", {"case": True})


def _title(rng: Random) -> Job:
    title = " ".join(rng.choice(TITLES).split()[:2] + rng.sample(FRUIT, 2))
    ask = rng.choice(
        (
            "Capitalise the first letter of every word: {t}",
            'Start each word of "{t}" with a capital letter.',
        )
    )
    return Job("title_case", 2, ask.format(t=title), title.title(), "exact", {"case": True})


def _snake(rng: Random) -> Job:
    words = [*rng.sample(FRUIT, 2), rng.choice(("count", "total", "owner", "price"))]
    ask = rng.choice(
        (
            "Turn the column heading '{w}' into snake_case.",
            "snake_case for: {w}",
            "Make a variable name from {w}, all small letters with underscores between the words.",
        )
    )
    heading = " ".join(word.capitalize() for word in words)
    return Job("snake_case", 2, ask.format(w=heading), "_".join(words), "exact", {"case": True})


def _sorted(rng: Random) -> Job:
    words = rng.sample(NAMES, rng.choice((3, 4, 6)))
    ask = rng.choice(
        (
            "Sort these names alphabetically, separated by commas: {w}",
            "alphabetical order please, comma separated: {w}",
            "Put {w} into alphabetical order. Give only the list with commas.",
        )
    )
    level = 2 if len(words) < 5 else 3
    return Job("sort", level, ask.format(w=", ".join(words)), ", ".join(sorted(words)), "items", {"separator": ","})


def _bullets(rng: Random) -> Job:
    words = rng.sample(FRUIT, rng.choice((3, 4, 5)))
    ask = rng.choice(
        (
            "Make a bullet list with dashes, one item a line: {w}",
            'Write these as a list, each line starting with "- ": {w}',
            "{w}\n\nTurn that into a Markdown list with - in front of each item and nothing else.",
        )
    )
    gold = "\n".join(f"- {word}" for word in words)
    return Job("bullets", 2, ask.format(w=", ".join(words)), gold, "items", {"marker": "- "})


def _unbullet(rng: Random) -> Job:
    words = rng.sample(FRUIT, rng.choice((3, 4, 5)))
    ask = rng.choice(
        (
            "Put this list on one line, separated by commas:\n{w}",
            "{w}\n\nas one comma-separated line, in the same order",
        )
    )
    listed = "\n".join(f"* {word}" for word in words)
    return Job("one_line", 1, ask.format(w=listed), ", ".join(words), "items", {"separator": ","})


def _unique(rng: Random) -> Job:
    words = rng.sample(NAMES, 4)
    doubled = [*words, *rng.sample(words, 2)]
    rng.shuffle(doubled)
    ask = rng.choice(
        ("Remove the duplicates, keep the order, separate with commas: {w}", "dedupe this list (first one stays): {w}")
    )
    gold = list(dict.fromkeys(doubled))
    return Job("dedupe", 3, ask.format(w=", ".join(doubled)), ", ".join(gold), "items", {"separator": ","})


def _record(rng: Random) -> Job:
    name, town, age = rng.choice(NAMES), rng.choice(TOWNS), rng.randint(19, 64)
    ask = rng.choice(
        (
            "Write this as a JSON object with name, city and age: {n}, {t}, {a} years",
            "name={n}; city={t}; age={a}\n\nas JSON please",
            "Convert to JSON:\nname: {n}\ncity: {t}\nage: {a}",
        )
    )
    gold = json.dumps({"name": name, "city": town, "age": age})
    constrained = rng.random() < 0.7
    group, level, schema = (
        ("json_record", 1, _schema(("name", "city"), "age")) if constrained else ("json_free", 2, None)
    )
    return Job(group, level, ask.format(n=name, t=town, a=age), gold, "json", {}, schema)


def _schema(texts: tuple[str, ...], number: str) -> dict[str, object]:
    kinds = {key: {"type": "string"} for key in texts} | {number: {"type": "integer"}}
    return {"type": "object", "properties": kinds, "required": list(kinds), "additionalProperties": False}


def _stock(rng: Random) -> Job:
    item, shelf, count = rng.choice(FRUIT), f"{rng.choice('ABCDEF')}{rng.randint(1, 30)}", rng.randint(2, 300)
    ask = rng.choice(
        (
            "item: {i}\nshelf: {s}\ncount: {c}\n\nas JSON",
            "Make JSON out of this stock entry.\n\nItem: {i}\nShelf: {s}\nCount: {c}",
            "The stock system takes JSON with item, shelf and count.\n\nItem: {i}\nShelf: {s}\nCount: {c}",
        )
    )
    gold = json.dumps({"item": item, "shelf": shelf, "count": count})
    return Job(
        "json_stock", 1, ask.format(i=item, s=shelf, c=count), gold, "json", {}, _schema(("item", "shelf"), "count")
    )


def _csv(rng: Random) -> Job:
    rows = [(name, rng.randint(1, 40)) for name in rng.sample(FRUIT, 2)]
    table = "item,stock\n" + "\n".join(f"{name},{count}" for name, count in rows)
    ask = rng.choice(
        (
            "Convert this CSV to a JSON array of objects:\n\n{t}",
            "{t}\n\nCSV to JSON (list of objects, numbers as numbers). Only JSON.",
        )
    )
    gold = json.dumps([{"item": name, "stock": count} for name, count in rows])
    return Job("csv_json", 3, ask.format(t=table), gold, "json", {})


def _amount(rng: Random) -> Job:
    value = rng.randint(1100, 999999)
    ask = rng.choice(
        (
            "Write {v} with a comma as the thousands separator.",
            "put thousands separators (commas) into {v}, number only",
        )
    )
    gold = f"{value:,}"
    return Job("thousands", 2, ask.format(v=value), gold, "includes", {"accept": [gold]})


def _name_order(rng: Random) -> Job:
    first, last = rng.sample(NAMES, 2)
    ask = rng.choice(
        ("Write the name {f} {l} as 'Last, First'.", "{f} {l} -> surname first, then a comma, then the first name")
    )
    gold = f"{last}, {first}"
    return Job("name_order", 2, ask.format(f=first, l=last), gold, "includes", {"accept": [gold]})


MAKERS: tuple[Callable[[Random], Job], ...] = (
    _iso,
    _upper,
    _title,
    _snake,
    _sorted,
    _bullets,
    _unbullet,
    _unique,
    _record,
    _record,
    _stock,
    _stock,
    _csv,
    _amount,
    _name_order,
)


def formatting(rng: Random) -> list[Sample]:
    """Eight jobs of each sort (those that come out twice are dropped later)."""
    made = []
    for maker in MAKERS:
        for _ in range(8):
            job = maker(rng)
            made.append(
                make(
                    "formatting",
                    job.group,
                    job.level,
                    job.ask,
                    job.gold,
                    job.scorer,
                    params=job.params,
                    schema=job.schema,
                    max_tokens=64 if job.scorer == "json" else 48,
                )
            )
    return made
