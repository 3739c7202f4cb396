"""Prompts that ask for a sentence in other words under a rule that can be checked.

Every source has a rewrite of ours. The rules offered are those that the rewrite keeps and the source breaks, so that
echoing the source is never right. `keep` holds words that must survive, so that an answer can't be about nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from smallfirst.evals.prompts_sample import Sample, make


class Source(NamedTuple):
    text: str
    rewrite: str
    keep: tuple[str, ...]
    drop: str  # a word of the source that the rewrite does without


SOURCES: tuple[Source, ...] = (
    Source(
        "Due to the fact that the printer on the second floor is still broken, please use the one in the basement for "
        "the time being.",
        "The second-floor printer is down; use the basement one for now.",
        ("basement",),
        "broken",
    ),
    Source(
        "We would like to take this opportunity to inform you that the office will be closed on Friday.",
        "Our office is shut on Friday.",
        ("Friday",),
        "closed",
    ),
    Source(
        "It has come to our attention that a number of employees have been leaving dirty cups in the kitchen sink.",
        "Please stop putting used cups into the kitchen sink.",
        ("kitchen",),
        "dirty",
    ),
    Source(
        "Your order has been shipped today and you are going to receive it within the next three working days.",
        "Your order left us now; it is due in three working days.",
        ("three",),
        "shipped",
    ),
    Source(
        "I am writing in order to ask whether it would be possible for you to send the report to me before Monday.",
        "Could you mail the report before Monday?",
        ("report", "Monday"),
        "send",
    ),
    Source(
        "The meeting which was planned for Tuesday has unfortunately had to be moved to Thursday because the room is "
        "being painted.",
        "Our Tuesday meeting is now on Thursday: painters at work.",
        ("Thursday",),
        "room",
    ),
    Source(
        "All of the visitors who come to our site are required to wear a helmet at all times while they are outside.",
        "Visitors: put your helmet on outdoors.",
        ("helmet",),
        "wear",
    ),
    Source(
        "We regret to have to tell you that the chair that you have ordered is currently not available.",
        "Sorry, your chair is out of stock.",
        ("chair",),
        "available",
    ),
    Source(
        "Please make sure that you do not forget to switch off all of the lights before you leave the building.",
        "Turn all lights out when going home.",
        ("lights",),
        "leave",
    ),
    Source(
        "In the event that you should have any questions, you can call our service team at any time of the day.",
        "Questions? Phone our service team, day or night.",
        ("service",),
        "call",
    ),
    Source(
        "The new software has the ability to find mistakes in invoices in a much faster way than the old one could.",
        "This software spots errors in invoices quicker.",
        ("invoices",),
        "mistakes",
    ),
    Source(
        "There was a very large number of people at the trade fair who showed an interest in our new pump.",
        "Many at this fair liked our pump.",
        ("pump",),
        "interest",
    ),
    Source(
        "As a result of the heavy snow, the delivery from the warehouse in Graz is going to arrive one day late.",
        "Snow holds up our Graz delivery by one day.",
        ("Graz",),
        "heavy",
    ),
    Source(
        "We kindly ask each and every one of you to fill in the survey before the end of this month.",
        "Do fill in our survey this month.",
        ("survey",),
        "kindly",
    ),
)


class Rule(NamedTuple):
    """How it is asked, and the rule for the scorer."""

    group: str
    level: int
    asks: tuple[str, ...]
    rule: dict[str, object]
    gold: str


def _shorter(source: Source) -> Rule:
    limit = len(source.rewrite.split()) + 2
    asks = (
        f"Shorten this to at most {limit} words, keeping the point:",
        f"Say it in {limit} words or fewer:",
        f"too long, max. {limit} words please:",
    )
    return Rule("max_words", 2, asks, {"max_words": limit, "min_words": 3}, source.rewrite)


def _without_word(source: Source) -> Rule:
    asks = (
        f"Rewrite the sentence without the word '{source.drop}':",
        f'Put this differently. The word "{source.drop}" must not be in it:',
        f"legal doesn't like the word {source.drop}. rephrase without it:",
    )
    return Rule("without_word", 2, asks, {"without": [source.drop], "min_words": 3}, source.rewrite)


def _without_letter(source: Source) -> Rule | None:
    missing = [
        letter for letter in "acdghlmpbvfwky" if letter in source.text.lower() and letter not in source.rewrite.lower()
    ]
    if not missing:
        return None
    letter = missing[0]
    asks = (
        f"Rewrite this so that the letter '{letter}' does not occur:",
        f"Can you say that without using the letter {letter} anywhere?",
    )
    return Rule("without_letter", 3, asks, {"without_letter": letter, "min_words": 3}, source.rewrite)


def _shout(source: Source) -> Rule:
    asks = ("Write it for a warning sign, in capital letters only:", "Same sentence but ALL IN UPPER CASE:")
    return Rule("upper", 1, asks, {"upper": True, "min_words": 3}, source.text.upper())


def _greeting(source: Source) -> Rule:
    asks = (
        "Make it a friendly mail line that begins with 'Dear team':",
        "Rewrite it for our newsletter. The first words must be Dear team",
    )
    gold = f"Dear team, {source.rewrite[0].lower()}{source.rewrite[1:]}"
    return Rule("begins_with", 1, asks, {"begins_with": "Dear team", "min_words": 5}, gold)


def _thanks(source: Source) -> Rule:
    asks = (
        "Make this politer and let it end with 'Thank you.':",
        "Rewrite it so that the last words are 'Thank you.':",
    )
    gold = f"{source.rewrite} Thank you."
    return Rule("ends_with", 2, asks, {"ends_with": "Thank you.", "min_words": 5}, gold)


def _both(source: Source) -> Rule:
    limit = len(source.rewrite.split()) + 3
    asks = (
        f"Rewrite in at most {limit} words, all in small letters, no capitals:",
        f"I need that as a chat status: lower case only and no more than {limit} words:",
    )
    return Rule("short_lower", 3, asks, {"max_words": limit, "lower": True, "min_words": 3}, source.rewrite.lower())


RULES: tuple[Callable[[Source], Rule | None], ...] = (
    _shorter,
    _without_word,
    _without_letter,
    _shout,
    _greeting,
    _thanks,
    _both,
)
PLACES = (
    "{ask} {text}",
    "{ask}\n\n{text}",
    '{ask}\n"{text}"\nGive me only the new sentence.',
    "Here's a line from a draft of mine: {text}\n\n{ask} (only the result please)",
)


def rewriting(rng: Random) -> list[Sample]:
    """Every source with every rule that fits it."""
    made = []
    for source in SOURCES:
        for find in RULES:
            rule = find(source)
            if rule is None:
                continue
            ask = rng.choice(rule.asks)
            prompt = rng.choice(PLACES).format(ask=ask, text=source.text)
            params = {**rule.rule, "contains": list(source.keep)}
            made.append(
                make("rewriting", rule.group, rule.level, prompt, rule.gold, "rules", params=params, max_tokens=64)
            )
    return made
