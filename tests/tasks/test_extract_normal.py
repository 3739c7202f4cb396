"""Dates, amounts, identifiers, names and addresses in their many writings -> one form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.tasks.extract.amounts import find_amounts, money, read_number
from smallfirst.tasks.extract.dates import find_dates, iso_date
from smallfirst.tasks.extract.normal import normalise, same
from smallfirst.tasks.extract.schema import Field


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("25/12/2018 8:13:39 PM", "2018-12-25"),
        ("05-02-18", "2018-02-05"),
        ("12.3.24", "2024-03-12"),
        ("03/25/2018", "2018-03-25"),  # cannot be day first
        ("2018/3/4", "2018-03-04"),
        ("20180304/191204", "2018-03-04"),
        ("10 MAR 2018", "2018-03-10"),
        ("05MAR18", "2018-03-05"),
        ("Mar-05-2018", "2018-03-05"),
        ("May 5, 2011", "2011-05-05"),
        ("1er janvier 2024", "2024-01-01"),
        ("24. Dezember 2023", "2023-12-24"),
        ("this 3rd day of May, 2004", "2004-05-03"),
        ("1.1.70", "1970-01-01"),
        ("1.1.69", "2069-01-01"),
    ],
)
def test_dates(text, iso) -> None:
    assert iso_date(text) == iso


@pytest.mark.parametrize("text", ["31/31/2011", "30.02.2020", "1.234.567", "10:20:30", "12-345-678", "", "99 MAR 2018"])
def test_what_is_no_date(text) -> None:
    assert iso_date(text) is None


def test_the_order_decides_only_where_it_must() -> None:
    assert iso_date("03/04/2025", "dmy") == "2025-04-03"
    assert iso_date("03/04/2025", "mdy") == "2025-03-04"
    assert iso_date("25/04/2025", "mdy") == "2025-04-25"
    assert iso_date("18-03-05", "ymd") == "2018-03-05"


@given(st.dates(min_value=__import__("datetime").date(1970, 1, 1), max_value=__import__("datetime").date(2069, 12, 31)))
def test_every_date_survives_every_writing(day) -> None:
    for shape in ("%d/%m/%Y", "%Y-%m-%d", "%d %b %Y", "%B %d, %Y", "%d.%m.%y"):
        written = day.strftime(shape)
        ((start, end, iso),) = find_dates(f"on {written}, that is")
        assert (f"on {written}, that is"[start:end], iso) == (written, day.isoformat())


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("RM 1,234.50", "1234.50 MYR"),
        ("RM8.60", "8.60 MYR"),
        ("1.234,50 EUR", "1234.50 EUR"),
        ("CHF 1'200.00", "1200.00 CHF"),
        ("€1 000", "1000.00 EUR"),
        ("1,234", "1234.00 GBP"),
        ("5,5", "5.50 GBP"),
        ("$8.20", "8.20 GBP"),  # a shared sign is the schema's currency
        ("US$ 8.20", "8.20 USD"),
        ("(12.00)", "-12.00 GBP"),
        ("12.00-", "-12.00 GBP"),
        ("-0.02", "-0.02 GBP"),
        ("Total: 9", "9.00 GBP"),
        (".50", "0.50 GBP"),
    ],
)
def test_money(text, form) -> None:
    assert normalise(Field("total", "money", currency="GBP"), text) == form


@pytest.mark.parametrize("text", ["10:20", "12/3/2018", "3x4", "03-10-2018", "no amount"])
def test_pieces_of_other_things_are_no_amounts(text) -> None:
    assert [text[a:b] for a, b, *_ in find_amounts(text)] in ([], ["3"])


def test_what_the_decimal_sign_is() -> None:
    assert [str(read_number("1.234", sign)) for sign in ("auto", "point", "comma")] == ["1.234", "1.234", "1234"]
    assert [str(read_number("1,234", sign)) for sign in ("auto", "point", "comma")] == ["1234", "1234", "1.234"]
    assert read_number("1.2.3", "point") is None


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=2, allow_nan=False))
def test_money_that_was_written_is_read_again(value) -> None:
    field = Field("x", "money", currency="EUR")
    assert normalise(field, f"{value:,.2f} EUR") == money(value, "EUR") or value == 0
    assert normalise(field, money(value, "EUR")) == money(value, "EUR")


def test_identifiers_with_check_digits() -> None:
    iban = Field("iban", "id", form="iban")
    assert normalise(iban, "DE89 3704 0044 0532 0130 00") == "DE89370400440532013000"
    assert normalise(iban, "DE88 3704 0044 0532 0130 00") is None
    assert normalise(Field("n", "id", pattern=r"INV-\d+"), "inv-204") == "INV-204"
    assert normalise(Field("n", "id", pattern=r"INV-\d+"), "ORD-204") is None


def test_names_and_addresses() -> None:
    name, address = Field("n", "name"), Field("a", "address")
    assert normalise(name, " - ACME  (M) SDN BHD (") == "ACME (M) SDN BHD"
    assert normalise(name, "Acme Inc.") == "Acme Inc."
    assert normalise(address, "12 High Street ,\nLondon\nSW1A 1AA.") == "12 High Street, London, SW1A 1AA"
    assert same(address, "12 High Street, London", "12 high street London")
    assert not same(address, "12 High Street", "13 High Street")
    assert normalise(name, "  ") is None


def test_choices_are_read_by_any_of_their_words() -> None:
    field = Field("kind", "choice", choices={"card": ("paid by card",), "cash": ()})
    assert normalise(field, "Paid by CARD.") == "card"
    assert normalise(field, "cash") == "cash"
    assert normalise(field, "cheque") is None
