"""Writes examples/extract/requests.jsonl: short taxi requests with their slots, made for the repo.

    python bench/tasks/made_requests.py

Invented places and names; seed 0. A third of the requests answer a question, which stands above as a quoted line.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent.parent / "examples" / "extract" / "requests.jsonl"
COUNT = 150
PLACES = [
    "Norham station", "the old mill", "Quay Street 12", "Harbour House", "the airport", "St Anne's hospital",
    "Elm Road", "the Grand Hotel", "Fenwick market", "platform 3", "Castle Gate", "the town hall", "Mill Lane 40",
    "Orchard Park",
]  # fmt: skip
TIMES = [
    "8",
    "8:30",
    "half past nine",
    "10 pm",
    "noon",
    "quarter to seven",
    "17:15",
    "6 in the morning",
    "11.45",
    "7pm",
]
PEOPLE = ["two", "3", "four of us", "5 people", "my wife and me", "six", "2 adults", "one", "the three of us"]
ALL = [
    "I need a taxi from {start} to {end} at {time}",
    "Can you pick us up at {start}? We go to {end}, {people}, {time} please.",
    "cab for {people} to {end} at {time}",
    "Hello, {people} from {start} to {end} please",
    "please be at {start} by {time}",
    "Is there a car at {time}? it would be for {people}",
    "We want to get to {end}.",
    "Change it to {time}, and {people} instead",
    "how much is a ride to {end}?",
    "from {start}, thanks",
]
ANSWERS = {
    "start": ("Where shall we pick you up?", ["{start}", "at {start}", "outside {start} please"]),
    "end": ("Where would you like to go?", ["{end}", "to {end}", "we go to {end}, at {time}"]),
    "time": ("What time?", ["{time}", "at {time}", "make it {time} please"]),
    "people": ("How many people?", ["{people}", "we are {people}", "it is {people}"]),
}
NOTHING = ["Thank you!", "Do you take cards?", "what a day", "Is that a big car?", "I left my umbrella in your taxi."]


def main() -> None:
    rng = random.Random(0)
    lines: dict[str, str] = {}
    while len(lines) < COUNT:
        document, fields = made(rng)
        lines[document] = json.dumps({"document": document, "fields": fields})
    OUT.write_text("\n".join(lines.values()) + "\n")


def made(rng: random.Random) -> tuple[str, dict[str, str | None]]:
    start, end = rng.sample(PLACES, 2)
    slots = {"start": start, "end": end, "time": rng.choice(TIMES), "people": rng.choice(PEOPLE)}
    asked = ""
    if rng.random() < 1 / 3:
        question, forms = ANSWERS[rng.choice(sorted(ANSWERS))]
        asked, form = f"> {question}\n", rng.choice(forms)
    else:
        form = rng.choice(NOTHING) if rng.random() < 0.1 else rng.choice(ALL)
    fields = {name: value if f"{{{name}}}" in form else None for name, value in slots.items()}
    return asked + form.format(**slots), fields


if __name__ == "__main__":
    main()
