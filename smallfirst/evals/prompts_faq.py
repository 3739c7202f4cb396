"""Prompts that ask something about a short text which stands in the prompt.

The notices are ours. Level 1: a direct fact; level 2: one fact among similar ones; level 3: two facts together, a text
among others, or a question the text leaves open.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from smallfirst.evals.prompts_sample import Sample, make


class Question(NamedTuple):
    """`accept`: any of these in the answer will do (`|` between them); `reject`: none of these may be in it, unless
    `sure` is: the words of the text that tie the right value to what was asked."""

    ask: str
    gold: str
    accept: str
    reject: str = ""
    level: int = 1
    sure: str = ""


class Notice(NamedTuple):
    title: str
    text: str
    questions: tuple[Question, ...]


NOT_STATED = "not stated"

NOTICES: tuple[Notice, ...] = (
    Notice(
        "leave",
        "Full-time staff have 27 days of paid leave a year. Up to 5 unused days can be carried over until 31 March. "
        "Requests go to your team lead at least two weeks ahead.",
        (
            Question("How many days of paid leave do full-time employees get?", "27 days", "27|twenty-seven"),
            Question("how many days can i carry over", "5 days", "5|five", "27", 2),
            Question("Who do I send a holiday request to?", "Your team lead.", "team lead"),
            Question("By when do I have to use carried-over leave?", "By 31 March.", "31 March|March 31", "", 2),
            Question("What is the leave allowance for part-time staff?", NOT_STATED, NOT_STATED, "27|13", 3),
        ),
    ),
    Notice(
        "returns",
        "You can send back any unused item within 30 days of delivery. Opened software and gift cards can't be "
        "returned. Refunds reach your card 5 to 7 working days after the parcel arrives at our warehouse in Leeds.",
        (
            Question("Within how many days can a customer return an item?", "30 days", "30|thirty"),
            Question("Where is the warehouse?", "In Leeds.", "Leeds"),
            Question("Is a customer allowed to return a gift card? Yes or no.", "No.", "no", "yes", 2),
            Question(
                "How long does a refund take once we have the parcel?",
                "5 to 7 working days.",
                "5 to 7|5-7",
                "30",
                2,
                "5 to 7 working days",
            ),
            Question("Who pays the return postage?", NOT_STATED, NOT_STATED, "customer|we pay", 3),
        ),
    ),
    Notice(
        "vpn",
        "To reach the file server from home, first start the Harbour VPN client and sign in with your staff number, "
        "not your e-mail address. Sessions end after 10 hours. If the client shows error 412, your token has expired: "
        "ask the service desk on extension 4400 for a new one.",
        (
            Question("What's the service desk extension?", "4400", "4400"),
            Question("What do I sign in with?", "Your staff number.", "staff number", "", 2),
            Question("I get error 412. What does it mean?", "Your token has expired.", "token|expired"),
            Question("After how many hours does a VPN session end?", "10 hours", "10|ten", "412|4400"),
        ),
    ),
    Notice(
        "parking",
        "The north car park is for visitors only. Staff park in the south car park, which opens at 06:30 and closes at "
        "21:00. Bicycles go in the cage behind building C; the code changes every month and hangs at reception.",
        (
            Question("Where do staff park?", "In the south car park.", "south", "north", 1, "park in the south"),
            Question(
                "When does the staff car park close?", "At 21:00.", "21:00|9 pm|9pm", "06:30", 2, "closes at 21:00"
            ),
            Question("Where do I find the code for the bike cage?", "At reception.", "reception", "", 2),
            Question("Which car park should I tell our visitors to use?", "The north car park.", "north", "south", 2),
        ),
    ),
    Notice(
        "expenses",
        "Claims must be filed within 60 days with a receipt. Meals are refunded up to 35 euros a day in the country "
        "and 48 euros abroad. Taxis need a reason. Claims above 500 euros are approved by Finance, all others by "
        "your manager. Payment follows with the next salary.",
        (
            Question("How long do I have to file an expense claim?", "60 days", "60|sixty"),
            Question("What's the daily meal limit for a trip abroad?", "48 euros", "48", "35", 2),
            Question(
                "I was in another city in our own country for a day. Up to how much is refunded for meals?",
                "35 euros",
                "35",
                "48",
                2,
            ),
            Question("Who approves a claim of 620 euros?", "Finance.", "finance", "your manager", 3),
            Question("Who has to approve my claim of 90 euros?", "Your manager.", "manager", "finance", 3),
        ),
    ),
    Notice(
        "outage",
        "On Saturday 14 June the booking system will be down from 22:00 until 02:00 on Sunday while we move the "
        "database. Orders made by phone are written down by hand and entered on Monday. Questions: Mireille Okafor.",
        (
            Question("Who can I ask about the outage?", "Mireille Okafor.", "Okafor|Mireille"),
            Question(
                "At what time does the booking system go down?",
                "At 22:00.",
                "22:00|10 pm|10pm",
                "02:00",
                2,
                "down from 22:00",
            ),
            Question("Why is the system going down?", "To move the database.", "database"),
            Question("How many hours will the booking system be down?", "4 hours", "4 hours|four|4", "24", 3),
        ),
    ),
    Notice(
        "warranty",
        "The pump has a warranty of 3 years, the battery of 18 months. Damage by frost is not covered. Keep the "
        "serial number, which is printed under the lid.",
        (
            Question(
                "How long is the warranty on the battery?", "18 months", "18", "3 years", 2, "battery of 18 months"
            ),
            Question(
                "how long is the pump covered for?", "3 years", "3|three", "18", 1, "pump has a warranty of 3 years"
            ),
            Question("Where's the serial number printed?", "Under the lid.", "lid"),
            Question("Is frost damage covered? Answer yes or no.", "No.", "no", "yes"),
            Question("What does a replacement battery cost?", NOT_STATED, NOT_STATED, "euro", 3),
        ),
    ),
    Notice(
        "training",
        "The safety course takes place in room Birch every first Tuesday of the month at 9 am. New colleagues attend "
        "within their first 4 weeks; everybody else repeats it once every two years. Bring your badge.",
        (
            Question("In which room is the safety course?", "Room Birch.", "birch"),
            Question("What should people bring to the course?", "Their badge.", "badge"),
            Question(
                "How often does an experienced colleague repeat it?", "Every two years.", "two years|2 years", "", 2
            ),
            Question("On which weekday is the course?", "Tuesday.", "tuesday"),
        ),
    ),
    Notice(
        "plans",
        "The Basic plan costs $12 a month and has 2 users. Team costs $39 a month for up to 10 users and adds shared "
        "folders. Business is $95 a month, without a limit on users, with a 24-hour support line.",
        (
            Question("What does the Team plan cost per month?", "$39", "39", "12|95", 1, "team costs $39"),
            Question("Which plan has the support line?", "Business.", "business", "team|basic", 2),
            Question("Which plan is the cheapest one that 7 people can use?", "Team.", "team", "basic|business", 3),
            Question("How many users are in the Basic plan?", "2", "2|two", "10", 1, "$12 a month and has 2 users"),
            Question("We are 25 people. Which plan do we need?", "Business.", "business", "basic|team", 3),
        ),
    ),
    Notice(
        "post",
        "Letters are collected at 11:30 and 16:00 from the tray beside the lift. Parcels over 20 kg need a form from "
        "the porter, Mr Adeyemi. Private mail is not franked.",
        (
            Question("What's the name of the porter?", "Mr Adeyemi.", "Adeyemi"),
            Question("Where is the tray for letters?", "Beside the lift.", "lift"),
            Question("From which weight on do I need a form for a parcel?", "Over 20 kg.", "20"),
            Question(
                "When is the last collection of the day?",
                "16:00",
                "16:00|4 pm|4pm",
                "11:30",
                2,
                "last collection of the day is at 16:00",
            ),
        ),
    ),
    Notice(
        "release",
        "Version 8.2 of the scheduler brings a dark theme and fixes the wrong week numbers in the export. It needs "
        "at least 4 GB of memory. Version 8.1 will get security fixes until December; 7.x gets none any more.",
        (
            Question("How much memory does version 8.2 need?", "At least 4 GB.", "4 GB|4GB|4 gigabytes"),
            Question("What was wrong in the export?", "The week numbers.", "week number|week numbers"),
            Question("Until when does 8.1 get security fixes?", "Until December.", "december", "", 2),
            Question("Does 7.4 still get security fixes? Just yes or no.", "No.", "no", "yes", 3),
        ),
    ),
    Notice(
        "cafeteria",
        "Lunch is served from 11:45 to 14:00. A warm meal is 6.20, soup with bread 3.10. On Fridays there is fish. "
        "Pay with the badge; cash is taken only at the counter on the ground floor.",
        (
            Question("What does a warm meal cost?", "6.20", "6.20|6,20", "3.10", 1, "a warm meal is 6.20"),
            Question("On which day is there fish?", "On Fridays.", "friday|fridays"),
            Question("From when to when is lunch?", "From 11:45 to 14:00.", "11:45"),
            Question("Where can I pay cash?", "At the counter on the ground floor.", "ground floor|counter", "", 2),
        ),
    ),
    Notice(
        "incident",
        "At 07:52 the cooling of rack 14 failed. The on-call engineer, Tomasz Lind, moved the load to rack 9 by 08:20. "
        "No data was lost. The fan was replaced at noon under contract FM-2231.",
        (
            Question("Which rack had the failure?", "Rack 14.", "14", "rack 9", 2),
            Question("Who was on call?", "Tomasz Lind.", "Lind|Tomasz"),
            Question("What's the contract number for the fan?", "FM-2231", "FM-2231"),
            Question(
                "How many minutes passed between the failure and the load being moved?", "28 minutes", "28", "", 3
            ),
        ),
    ),
    Notice(
        "loan",
        "Laptops are lent for 14 days and projectors for 2 days. A late return costs 3 euros for each day. Extensions "
        "are possible once, by mail to lending@corvane.example, if nobody else is waiting.",
        (
            Question(
                "For how many days can I borrow a laptop?",
                "14 days",
                "14|fourteen",
                "2 days",
                1,
                "laptops are lent for 14",
            ),
            Question("for how long may i keep a projector?", "2 days", "2|two", "14", 2, "projectors for 2 days"),
            Question(
                "What's the address to ask for an extension?", "lending@corvane.example", "lending@corvane.example"
            ),
            Question("I bring a projector back after 6 days. What do I owe?", "12 euros", "12", "18", 3),
        ),
    ),
)

ASKS = (
    "{text}\n\n{ask}",
    "{ask}\n\n{text}",
    "Please answer from this text only.\n\nText: {text}\n\nQuestion: {ask}",
    'Our notice says:\n"{text}"\n{ask} A short answer is enough.',
    "hi, quick one about this:\n{text}\n\n{ask}",
    "A colleague asks: {ask}\nHere's what the handbook says about it: {text}\nWhat do I tell them? Keep it short.",
    "### Notice\n{text}\n\n### Question\n{ask}\n\nReply in a few words.",
    "Answer the question using the text.\n\nText: {text}\n\nQuestion: {ask}\nAnswer:",
    "Read this and answer.\n\n{text}\n\nQ: {ask}\nA:",
    "I've pasted the page below and can't find the answer. {ask}\n---\n{text}\n---",
)
OPEN = (
    "If the text doesn't say, reply 'not stated'.",
    "Reply with 'not stated' if it isn't in there.",
    "Should the answer be missing from the text, just write: not stated",
)
SYSTEM = "You are the help desk assistant of a company. You answer briefly and only from the text you are given."


def faq(rng: Random) -> list[Sample]:
    """Every question once, in a drawn wording; some with two more notices around the right one."""
    made = []
    for notice in NOTICES:
        for question in notice.questions:
            crowded = rng.random() < 0.18
            text = _among_others(rng, notice) if crowded else notice.text
            prompt = rng.choice(ASKS).format(text=text, ask=question.ask)
            if question.gold == NOT_STATED or rng.random() < 0.12:
                prompt += "\n" + rng.choice(OPEN)
            params = {
                "accept": question.accept.split("|"),
                "reject": [word for word in question.reject.split("|") if word],
                "sure": question.sure,
                "max_words": 60,
            }
            system = SYSTEM if rng.random() < 0.2 else None
            level = 3 if crowded else question.level
            made.append(
                make("faq", notice.title, level, prompt, question.gold, "includes", params=params, system=system)
            )
    return made


def _among_others(rng: Random, notice: Notice) -> str:
    others = rng.sample([other for other in NOTICES if other is not notice], 2)
    texts = [notice.text, *(other.text for other in others)]
    rng.shuffle(texts)
    return "\n\n".join(texts)
