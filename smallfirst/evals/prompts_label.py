"""Prompts that ask for one of a few given labels. The messages are ours.

Level 1: the words give it away; level 2: they need reading; level 3: mixed, ironic, or two labels are near.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from smallfirst.evals.prompts_sample import Sample, make


class Task(NamedTuple):
    """`texts` holds (level, label, text)."""

    name: str
    labels: tuple[str, ...]
    asks: tuple[str, ...]
    texts: tuple[tuple[int, str, str], ...]


TASKS: tuple[Task, ...] = (
    Task(
        "sentiment",
        ("positive", "negative", "neutral"),
        (
            "Is this customer comment positive, negative or neutral? One word.\n\n{text}",
            "Label the sentiment ({labels}): {text}",
            "{text}\n\nSentiment? Choose from: {labels}. Answer with the label only.",
            'we\'re sorting survey replies into {labels}. where does this one go?\n"{text}"',
        ),
        (
            (1, "positive", "Wonderful service, the fitter was friendly and done in an hour. Thank you!"),
            (1, "negative", "Terrible. The parcel was broken and nobody answers the phone."),
            (1, "positive", "I love the new app, everything is so much faster."),
            (1, "negative", "Worst purchase in years, it stopped working after two days."),
            (2, "neutral", "The parcel came on Tuesday and holds twelve cartridges."),
            (2, "neutral", "I have changed my address to 4 Mill Lane, please update it."),
            (2, "negative", "After the third visit I still have no hot water."),
            (2, "positive", "I was sceptical, but it has run for a month without a single hiccup."),
            (3, "negative", "Great, another update that moves every button. Just what I needed on a Monday."),
            (3, "positive", "Not bad at all! I'd expected far worse for that price."),
            (3, "negative", "The staff could not have been kinder, yet I'd never book there again."),
        ),
    ),
    Task(
        "team",
        ("billing", "technical", "sales", "shipping"),
        (
            "Which team should get this ticket: {labels}?\n\n{text}\n\nJust the team.",
            "Route the message to one of {labels}. Reply with one word.\nMessage: {text}",
            "{text}\n\n^ who handles this? options: {labels}",
            "You sort tickets. Teams: {labels}.\nTicket: {text}\nTeam:",
        ),
        (
            (1, "billing", "I was charged twice for invoice 8841, please refund one payment."),
            (1, "shipping", "My parcel has not arrived. Where is the delivery?"),
            (1, "technical", "The app crashes with an error each time I open the settings."),
            (1, "sales", "We'd like to buy 40 licences. Can you send us a quote?"),
            (2, "billing", "The VAT number on the March statement is not ours."),
            (2, "technical", "Since yesterday nobody here can sign in; the page just stays white."),
            (2, "sales", "Is there a discount for schools if we take the yearly plan?"),
            (2, "shipping", "The courier left the box with a neighbour who moved out last year."),
            (3, "billing", "Your site took my card, said thanks, and then took it again when I pressed back."),
            (3, "technical", "The invoice page shows a blank PDF in every browser I try."),
            (3, "sales", "Our trial ends on Friday and my boss wants to know what ten more seats would be."),
            (3, "shipping", "Tracking says I signed for it. I was abroad that day."),
        ),
    ),
    Task(
        "urgency",
        ("urgent", "normal", "low"),
        (
            "How urgent is this? {labels}\n\n{text}",
            "Give the priority of the request below as one of: {labels}.\n\n{text}\n\nPriority:",
            "Priority please ({labels}), nothing else: {text}",
        ),
        (
            (1, "urgent", "URGENT: the server room is flooding, water is near the power strips!"),
            (1, "low", "No hurry at all, but some day the clock in the lobby could be set right."),
            (2, "urgent", "None of the tills work and there is a queue out of the door."),
            (2, "normal", "Could I have a second monitor by the end of next week?"),
            (2, "low", "If anyone is bored: the footer still shows last year."),
            (3, "urgent", "The fridge with the vaccines reads 14 degrees and rising."),
            (3, "normal", "My password expires on Thursday and the reset page gives me an error."),
            (3, "low", "It would be nice if the export remembered my column order."),
        ),
    ),
    Task(
        "language",
        ("English", "German", "French", "Spanish"),
        (
            "What language is this written in ({labels})?\n\n{text}",
            "Language of this message: {labels}? One word please.\n{text}",
            "{text}\n\nName the language. Possible answers are {labels}.",
        ),
        (
            (1, "German", "Guten Tag, ich habe meine Rechnung noch nicht bekommen."),
            (1, "French", "Bonjour, je voudrais annuler ma commande, merci."),
            (1, "Spanish", "Hola, quisiera cambiar la fecha de mi reserva."),
            (1, "English", "Hello, could you tell me when the shop opens?"),
            (2, "French", "Le colis est abimé, que dois-je faire ?"),
            (2, "German", "Betreff: Termin am Dienstag verschieben"),
            (3, "Spanish", "Factura 2291 pendiente, gracias"),
        ),
    ),
    Task(
        "spam",
        ("spam", "not spam"),
        (
            "Spam or not spam?\n\n{text}",
            "Does our filter get this right? Say 'spam' or 'not spam' for the mail below.\n\n{text}",
            "Classify the mail as one of [{labels}].\nMail: {text}\nAnswer:",
        ),
        (
            (1, "spam", "CONGRATULATIONS!!! You have WON a free cruise, click here NOW to claim your prize!"),
            (
                1,
                "not spam",
                "Hi Bea, the minutes of this morning's meeting are in the shared folder. See you Thursday.",
            ),
            (2, "spam", "Dear beneficiary, our bank wishes to release 4.2 million to you upon a small fee."),
            (2, "not spam", "Reminder: the fire drill is tomorrow at 10. Please leave by the east stairs."),
            (3, "spam", "Your mailbox is almost full. Confirm your password on the page below to keep your mail."),
            (3, "not spam", "You've won the vote for best cake! Pick up your prize, a wooden spoon, in the kitchen."),
        ),
    ),
    Task(
        "intent",
        ("cancel", "change", "question", "complaint"),
        (
            "What does the customer want? Options: {labels}. Only the option, please.\n\n{text}",
            "Intent of this mail ({labels}):\n{text}",
            'Put this mail into one of our four boxes ({labels}).\n\n"{text}"',
            "{text}\n\nIntent, one of {labels}:",
        ),
        (
            (1, "cancel", "Please cancel my subscription at the end of the month."),
            (1, "question", "What time do you open on Saturdays?"),
            (1, "change", "Can you change my appointment from Monday to Wednesday?"),
            (1, "complaint", "I want to complain: your driver was rude and two hours late."),
            (2, "cancel", "We no longer need the cleaning service, the last visit can be in May."),
            (2, "change", "There will be six of us at the table instead of four."),
            (2, "complaint", "For the second time this week half the order was missing."),
            (2, "question", "Do the boots also come in a wide fit?"),
            (3, "cancel", "I have moved to another provider, so don't send the engineer."),
            (3, "complaint", "Is it normal to wait fifty minutes on the line and then be cut off?"),
            (3, "change", "I typed the wrong street, it should be Elm Road, number is the same."),
            (3, "question", "Before I end up cancelling: is the smaller tariff still to be had?"),
        ),
    ),
)
SYSTEM = "You label messages for a service team. You answer with exactly one of the labels offered and nothing else."


def label(rng: Random) -> list[Sample]:
    """Every message once, in a drawn wording, the labels in a drawn order."""
    made = []
    for task in TASKS:
        for level, target, text in task.texts:
            labels = list(task.labels)
            rng.shuffle(labels)
            prompt = rng.choice(task.asks).format(text=text, labels=", ".join(labels))
            system = SYSTEM if rng.random() < 0.25 else None
            params = {"labels": list(task.labels)}
            made.append(
                make("label", task.name, level, prompt, target, "label", params=params, system=system, max_tokens=16)
            )
    return made
