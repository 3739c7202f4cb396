"""Contracts: dates as they are written, names as they are introduced, and a fit on contracts made here."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from smallfirst.tasks.extract.clauses import find_clauses, is_right
from smallfirst.tasks.extract.companies import company_key, full_name, matched, same_company
from smallfirst.tasks.extract.fit import Parts, Wanted, fit_extract
from smallfirst.tasks.extract.labelled import Labelled
from smallfirst.tasks.extract.model import Extractor
from smallfirst.tasks.extract.party_names import find_names
from smallfirst.tasks.extract.schema import Field, Schema, read_schema
from smallfirst.tasks.extract.written_dates import written_dates

CONTRACT = Path(__file__).parent.parent.parent / "examples" / "extract" / "contract.yaml"


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("this 8th day of May, 2014", "2014-05-08"),
        ("July 11 , 2006", "2006-07-11"),
        ("made 5/17/12 by", "2012-05-17"),
        ("first (1st)  day of January, 1996", "1996-01-01"),
        ("20 March day of 1998", "1998-03-20"),
        ("22 Dec. 2017", "2017-12-22"),
        ("2020-02-29", "2020-02-29"),
        ("____ day of ____, 2013", "2013-XX-XX"),
        ("JULY __,  2000", "2000-07-XX"),
        ("9th day of September 200_", "200X-09-09"),
        ("as of [ ] day of June, 2019", "2019-06-XX"),
        ("on 31/12/1999", "1999-12-31"),
    ],
)
def test_dates_as_contracts_write_them(text: str, iso: str) -> None:
    found = list(written_dates(text))
    assert [one.iso for one in found] == [iso]
    assert text[found[0].start : found[0].end].strip()


def test_what_is_no_date_is_none() -> None:
    assert list(written_dates("version 1.2.3.4, section 13/45/2001, may 2 be 5, ____")) == []


def test_day_first_where_asked() -> None:
    assert [one.iso for one in written_dates("3/4/2011", day_first=True)] == ["2011-04-03"]


def test_blanks_by_the_thousand_do_not_slow_it_down() -> None:
    hostile = ("May" + " " * 400 + "____ " * 300 + "12 ") * 30
    began = time.process_time()
    list(written_dates(hostile))
    list(find_names(("A " * 200 + "Inc " + "(" * 50 + "and B. ") * 20))
    assert time.process_time() - began < 5  # a backtracking pattern takes hours


def test_names_as_they_are_introduced() -> None:
    text = (
        'between theglobe.com, Inc., a Delaware corporation ("Globe"), ZTO Express Co., Ltd. Address: 5 Main, '
        'Rise (Tianjin) Trading Co., Ltd. and John A. Smith (the "Agent")'
    )
    names = [one.normal for one in find_names(text)]
    wanted = ["theglobe.com, Inc.", "ZTO Express Co., Ltd.", "Rise (Tianjin) Trading Co., Ltd.", "John A. Smith"]
    assert [name for name in wanted if name not in names] == []
    assert "Fragrances Inc." in [one.normal for one in find_names("International Flavors and Fragrances Inc.")]
    assert "International Flavors and Fragrances Inc." in [
        one.normal for one in find_names("International Flavors and Fragrances Inc.")
    ]


def test_names_of_the_same_party() -> None:
    assert company_key('The Acme Corporation, Inc. ("Acme")') == company_key("ACME CORP INC")
    assert full_name('Peoria, L.L.C. d/b/a Peoria TV ("P")') == "Peoria, L.L.C"
    assert company_key("Peoria, L.L.C.") == company_key("Peoria LLC")
    assert same_company("mount kowledge holdings inc", "mount knowledge holdings inc")
    assert not same_company("abc inc", "abd inc")  # too short for a slip
    assert matched(["a co", "a co", "b co"], ["a co", "c co"]) == 1


def test_one_candidate_a_name_however_often_it_stands_there() -> None:
    text = 'Source: ACME, INC., 8-K\n\nbetween Acme, Inc. ("Acme") and Bolt LLC ("Bolt").\n\nSource: ACME, INC., 8-K'
    found = find_clauses(Field("parties", type="name", several=True), text)
    acme = [run for run in found.runs if company_key(run.normal) == "acme inc"]
    assert [text[run.start : run.end] for run in acme] == ["Acme, Inc."]  # where it is introduced
    assert is_right(Field("parties", type="name", several=True), text, found, ("ACME Incorporated",)).count(True) == 1


MADE = (
    'THIS AGREEMENT is made as of {date} (the "Effective Date") between {one}, a {home} corporation ("Buyer"), and '
    '{two}, a company of Texas ("Seller").\n\nWHEREAS by a letter of {other} they agreed to talk.\n\n{filler}\n\n'
    "12. Law. This Agreement shall be governed by the laws of the State of {law}, wherever Seller may have offices. "
    "Deliveries go to {home} by {other}.\n\nSource: {one}, 10-K, 1/2/2020"
)
MONTHS = ["January", "March", "May", "June", "August", "October"]
STATES = ["New York", "Ohio", "Nevada", "Delaware", "California", "Florida"]


def contracts(count: int) -> list[Labelled]:
    rng = random.Random(0)
    made = []
    for n in range(count):
        one, two = (f"{a} {b}, {c}" for a, b, c in (
            (rng.choice(["Alder", "Birch", "Cedar"]), rng.choice(["Foods", "Steel"]), "Inc."),
            (rng.choice(["North", "South", "West"]), rng.choice(["Lines", "Media"]), "LLC"),
        ))  # fmt: skip
        month, year = rng.randrange(6), rng.randrange(1995, 2020)
        law, home = rng.sample(STATES, 2)
        number = (1, 3, 5, 6, 8, 10)[month]
        text = MADE.format(
            date=f"{MONTHS[month]} {n % 28 + 1}, {year}", other=f"{MONTHS[month - 1]} 2, {year - 1}", one=one, two=two,
            law=law, home=home, filler="The goods are delivered in time and paid for when they have come. " * 100,
        )  # fmt: skip
        day = f"{year}-{number:02d}-{n % 28 + 1:02d}"
        values = {"parties": (one, two), "agreement_date": (day,), "governing_law": (law,)}
        made.append(Labelled(text, values, str(n), f"made, {n}"))
    return made


def test_a_fit_on_contracts_reads_other_contracts() -> None:
    whole = read_schema(CONTRACT)
    schema = Schema("contract", tuple(field for field in whole.fields if field.name != "effective_date"))
    rows = contracts(24)
    model = fit_extract(schema, Parts(rows[:18], [], []), Wanted())
    assert {field.finders[0].kind for field in model.fields.values()} == {"clauses"}
    extractor = Extractor(model)
    said = [extractor.extract(row.text) for row in rows[18:]]
    for row, one in zip(rows[18:], said, strict=True):
        assert one.fields["governing_law"][0].normal == row.values["governing_law"][0]
        assert one.fields["agreement_date"][0].normal == row.values["agreement_date"][0]
        assert all(
            row.text[value.start : value.end] == value.text for values in one.fields.values() for value in values
        )
    names = [{company_key(value.text) for value in one.fields["parties"]} for one in said]
    assert names == [{company_key(name) for name in row.values["parties"]} for row in rows[18:]]
