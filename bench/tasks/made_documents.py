"""Order confirmations and receipts of invented shops, with their values: the example of docs/extraction.md.

    python bench/tasks/made_documents.py [--shops 260] [--seed 0]

Writes examples/extract/labelled.jsonl and examples/extract/new/*.txt. The shops do not exist; their VAT numbers are
random and pass the check digit.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent.parent / "examples" / "extract"
OWNERS = ["Hartwell", "Osei", "Lindqvist", "Moreau", "Okafor", "Brandt", "Castellan", "Dunmore", "Eriksen", "Fontaine"]
TRADES = [
    "Bakery",
    "Hardware",
    "Books",
    "Garden Centre",
    "Stationery",
    "Cycles",
    "Pharmacy",
    "Kitchen Supply",
    "Optics",
]
FORMS = ["Ltd", "LLP", "GmbH", "& Sons", "& Co", "Limited", ""]
STREETS = [
    "High Street",
    "Mill Lane",
    "Station Road",
    "Kirchweg",
    "Market Square",
    "Harbour Road",
    "Lindenallee",
    "Quay",
]
TOWNS = ["Alderbrook", "Norham", "Steinfeld", "Westhaven", "Karlsried", "Portmallow", "Eastmere", "Bruntal"]
THINGS = ["Rye loaf", "Wood screws 4x40", "Notebook A5", "Tomato seeds", "Inner tube 28", "Reading glasses", "Cake tin"]
ORDERS = ["Order no: {}", "Receipt # {}", "Invoice number\n{}", "Ref. {}", "Bill No.  {}", "Your order {} is confirmed"]
DATES = ["Date: {}", "{}  14:0{n}", "Issued on {}", "Date\n{}", "Printed {} till {n}"]
SHAPES = ["%d/%m/%Y", "%d.%m.%Y", "%d %b %Y", "%Y-%m-%d", "%d-%m-%y", "%d %B %Y"]
TOTALS = ["TOTAL", "Total due", "Amount payable", "Grand total", "To pay", "Total incl. VAT"]
PAYS = {
    "card": ["Paid by card", "VISA ****{n}881", "Card payment"],
    "cash": ["Cash", "CASH TENDERED"],
    "transfer": ["Bank transfer"],
}


class Shop:
    """One shop: what it is called, and how it prints."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.name = " ".join(x for x in (rng.choice(OWNERS), rng.choice(TRADES), rng.choice(FORMS)) if x)
        self.upper = rng.random() < 0.4
        town, code = rng.choice(TOWNS), f"{rng.randrange(10000, 99999)}"
        street = f"{rng.randrange(1, 180)}{rng.choice(['', '', 'a'])} {rng.choice(STREETS)}"
        self.address = rng.choice([[street, f"{code} {town}"], [street, town, code], [f"{street}, {town} {code}"]])
        self.vat = vat_number(rng) if rng.random() < 0.6 else None
        self.slogan = rng.choice([None, "Family business since 1962", "*** open on Sundays ***", "www.example.com"])
        self.order, self.date, self.total = rng.choice(ORDERS), rng.choice(DATES), rng.choice(TOTALS)
        self.shape, self.comma = rng.choice(SHAPES), rng.random() < 0.3
        self.currency = rng.choice(["EUR ", "\u20ac", "", "EUR "])
        self.prefix = rng.choice(["", "A-", "R", "SO/"])
        self.top = rng.choice([None, "RECEIPT", "ORDER CONFIRMATION", "TAX INVOICE"])

    def document(self) -> tuple[str, dict[str, object]]:
        """(text, values)."""
        rng = self.rng
        day = datetime.date(2024, 1, 1) + datetime.timedelta(days=rng.randrange(700))
        number = f"{self.prefix}{rng.randrange(10000, 9999999)}"
        items = [(rng.choice(THINGS), rng.randrange(1, 6), rng.randrange(95, 4500)) for _ in range(rng.randrange(1, 6))]
        net = sum(count * price for _, count, price in items)
        tax = round(net * 0.19)
        how = rng.choice([None, *PAYS])
        name = self.name.upper() if self.upper else self.name
        head = [*([self.slogan] if self.slogan and rng.random() < 0.3 else []), name, *self.address]
        if self.vat:
            head.append(f"VAT {self.vat}")
        if rng.random() < 0.3:
            head.append(f"Customer no. {rng.randrange(1000, 99999)}")
        head.append(f"Tel {rng.randrange(100, 999)} {rng.randrange(100000, 999999)}")
        middle = [
            self.order.format(number),
            self.date.format(day.strftime(self.shape), n=rng.randrange(1, 9)),
            *(f"{count} x {what}\t{self.amount(price)}\t{self.amount(count * price)}" for what, count, price in items),
            f"Subtotal\t{self.amount(net)}", f"VAT 19%\t{self.amount(tax)}",
            f"{self.total}\t{self.currency}{self.amount(net + tax)}",
        ]  # fmt: skip
        if how == "cash":
            middle += [f"{rng.choice(PAYS['cash'])}\t{self.amount(net + tax + 500)}", f"Change\t{self.amount(500)}"]
        elif how:
            middle.append(rng.choice(PAYS[how]).format(n=rng.randrange(1, 9)))
        if rng.random() < 0.4:
            later = day + datetime.timedelta(days=rng.randrange(1, 9))
            middle.append(f"Delivery: {later.strftime(self.shape)}")
        if rng.random() < 0.4:
            at = f"{rng.randrange(1, 180)} {rng.choice(STREETS)}"
            middle += [f"Ship to: {rng.choice(OWNERS)}", at, f"{rng.randrange(10000, 99999)} {rng.choice(TOWNS)}"]
        tail = [rng.choice(["Thank you for your visit", "Goods may be returned within 14 days", "Please come again"])]
        text = "\n".join([*([self.top] if self.top else []), *head, *middle, *tail]) + "\n"
        fields: dict[str, object] = {
            "shop": name, "address": "\n".join(self.address), "number": number, "date": day.strftime(self.shape),
            "vat_id": self.vat, "total": self.amount(net + tax), "paid_by": how,
        }  # fmt: skip
        return text, fields

    def amount(self, cents: int) -> str:
        """As the shop writes it."""
        shown = f"{cents // 100}.{cents % 100:02d}"
        return shown.replace(".", ",") if self.comma else shown


def vat_number(rng: random.Random) -> str:
    """A German one: nine digits, the last by ISO 7064, MOD 11,10."""
    digits = [rng.randrange(1, 10), *(rng.randrange(10) for _ in range(7))]
    product = 10
    for digit in digits:
        product = 2 * ((digit + product) % 10 or 10) % 11
    return "DE" + "".join(map(str, digits)) + str((11 - product) % 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shops", type=int, default=260)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    shops = [Shop(rng) for _ in range(args.shops)]
    HERE.joinpath("new").mkdir(parents=True, exist_ok=True)
    with (HERE / "labelled.jsonl").open("w") as file:
        for shop in shops:
            text, fields = shop.document()
            file.write(json.dumps({"document": text, "fields": fields}) + "\n")
    for n in range(4):
        HERE.joinpath("new", f"{n + 1}.txt").write_text(Shop(rng).document()[0])


if __name__ == "__main__":
    main()
