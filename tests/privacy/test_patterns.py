"""What the built-in patterns find and, as important, what they leave alone."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallfirst.privacy.categories import Classes, Finding
from smallfirst.privacy.detector import Detector
from smallfirst.privacy.normalise import plain

detector = Detector()


def found(text: str) -> dict[str, str]:
    """category -> the piece of text that was found."""
    return {one.category: text[one.start : one.end] if one.located else "" for one in detector.scan(text)}


@pytest.mark.parametrize(("category", "text", "piece"), [
    ("email", "write to ann.lee+x@mail.example.co.uk.", "ann.lee+x@mail.example.co.uk"),
    ("phone", "her number is (415) 555-0132, call", "(415) 555-0132"),
    ("phone", "+44 20 7946 0958", "+44 20 7946 0958"),
    ("phone", "Tel. 0431 350690 after six", "0431 350690"),
    ("payment_card", "card 4111 1111 1111 1111 exp 12/27", "4111 1111 1111 1111"),
    ("payment_card", "378282246310005", "378282246310005"),
    ("iban", "to DE89 3704 0044 0532 0130 00 please", "DE89 3704 0044 0532 0130 00"),
    ("iban", "gb29nwbk60161331926819", "gb29nwbk60161331926819"),
    ("us_ssn", "SSN: 536-90-4399", "536-90-4399"),
    ("us_ssn", "my social security number 536904399", "536904399"),
    ("us_itin", "ITIN 912-90-3456", "912-90-3456"),
    ("uk_nhs", "NHS number 943 476 5919", "943 476 5919"),
    ("uk_nino", "NI number AB 12 34 56 C", "AB 12 34 56 C"),
    ("de_tax_id", "Steuer-ID 36 574 261 809", "36 574 261 809"),
    ("fr_nir", "numéro 295109912611193", "295109912611193"),
    ("es_dni", "DNI 54362315K", "54362315K"),
    ("es_nie", "NIE X2482300W", "X2482300W"),
    ("it_codice_fiscale", "cf RCCMNL83S18D969H", "RCCMNL83S18D969H"),
    ("nl_bsn", "BSN 111222333", "111222333"),
    ("pl_pesel", "PESEL 44051401359", "44051401359"),
    ("in_aadhaar", "2341 2341 2346", "2341 2341 2346"),
    ("in_pan", "PAN ACUPA7085R", "ACUPA7085R"),
    ("br_cpf", "390.533.447-05", "390.533.447-05"),
    ("vn_id", "CCCD 001099012345", "001099012345"),
    ("vn_id", "mã số thuế 0100233488", "0100233488"),
    ("passport", "my passport no. is C01X00T47", "C01X00T47"),
    ("driving_licence", "driver's license number A5631933", "A5631933"),
    ("date_of_birth", "born on 12 March 1984 in Leeds", "12 March 1984"),
    ("date_of_birth", "DOB: 03/07/1991", "03/07/1991"),
    ("medical_record", "MRN 00482913", "00482913"),
    ("postal_address", "send it to 1600 Pennsylvania Avenue NW", "1600 Pennsylvania Avenue"),
    ("postal_address", "wohnt Lindenstraße 5 in Köln", "Lindenstraße 5"),
    ("postal_address", "12 rue Victor Hugo 75001? rue Victor Hugo 12", "rue Victor Hugo 12"),
    ("postal_address", "Springfield, IL 62704", "IL 62704"),
    ("postal_address", "London SW1A 1AA", "SW1A 1AA"),
    ("ip_address", "from 93.184.216.34 at noon", "93.184.216.34"),
    ("ip_address", "2606:2800:220:1:248:1893:25c8:1946", "2606:2800:220:1:248:1893:25c8:1946"),
    ("private_network", "listens on 127.0.0.1:4000", "127.0.0.1"),
    ("mac_address", "mac 00:1A:2B:3C:4D:5E", "00:1A:2B:3C:4D:5E"),
    ("credential", "key AKIAIOSFODNN7GZQ3TRX", "AKIAIOSFODNN7GZQ3TRX"),
    ("credential", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
    ("credential", "the password is Tr0ub4dor&3 ok?", "Tr0ub4dor&3"),
    ("credential", "postgres://app:s3cr3tPW@db/x", "s3cr3tPW"),
    ("health_matter", "my husband has epilepsy", ""),
    ("finance_matter", "her salary was cut", ""),
])  # fmt: skip
def test_it_is_found(category, text, piece):
    assert found(text)[category] == piece


@pytest.mark.parametrize("text", [
    "In 1990-1995 the population grew from 1,204,300 to 1,500,200.",
    "The meeting is on 2024-05-17 at 10:30, version 3.11.4 of the tool.",
    "pi is 3.14159265358979323846 and e is 2.718281828459045",
    "order 4111111111111112 failed",  # Luhn's check fails
    "uuid 550e8400-e29b-41d4-a716-446655440000",
    "IBAN DE89 3704 0044 0532 0130 01",
    "The GNU General Public License, version 2.0 of 1991",
    "token: <your token here>, password: changeme, key = sk-xxxxxxxxxxxxxxxxxxxxxxxx",
    "Explain diabetes to a child. What is an average salary?",
    "Write a function that returns the sum of 12345678 and 87654321.",
    "@decorator\ndef f(): ...\nnpm install @types/node",
    "What is the password policy of a bank?",
    "the number 111222333 and the number 44051401359",  # check digits fit by chance; no word says what they are
])  # fmt: skip
def test_it_is_left_alone(text):
    assert found(text) == {}


def wide(text, zero):
    """The digits of `text` as another script writes them."""
    return "".join(chr(zero + int(char)) if char.isdigit() else char for char in text)


@pytest.mark.parametrize("hidden", [
    "card " + wide("4111 1111 1111 1111", 0xFF10),  # full-width digits
    "card ٤١١١١١١١١١١١١١١١",  # Arabic-Indic digits
    "card 4111\u200b1111\u200b1111\u200b1111",  # zero-width spaces
    "card 4111\u20111111\u20111111\u20111111",  # non-breaking hyphens
    "card 4111\u00a01111\u00a01111\u00a01111",  # no-break spaces
    "card 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
    "card " + wide("4111111111111111", 0x1D7CE),  # mathematical bold
    "card \\u0034\\u0031\\u0031\\u0031111111111111",  # JSON inside JSON
    "card " + base64.b64encode(b"please charge 4111 1111 1111 1111").decode(),
    "data:text/plain;base64," + base64.b64encode(b"please charge 4111 1111 1111 1111").decode(),
])  # fmt: skip
def test_disguises_are_undone(hidden):
    assert "payment_card" in found(hidden)


def test_places_are_those_of_the_text_as_it_came():
    text = "a\u200bb card 4111\u200b1111\u200b1111\u200b1111\u200b!"
    (one,) = detector.scan(text)
    assert text[one.start : one.end].replace("\u200b", "") == "4111111111111111"


@given(st.text())
def test_undoing_keeps_places_in_order(text):
    shown = plain(text)
    if shown.places is not None:
        assert len(shown.places) == len(shown.text) + 1
        assert list(shown.places) == sorted(shown.places)
        assert shown.places[-1] == len(text)


@settings(deadline=None)
@given(st.text(alphabet="0123456789 .-/()+@:aAsnx\u200b\uff11\\u", max_size=300))
def test_no_text_breaks_it_and_every_place_is_inside(text):
    for one in detector.scan(text):
        assert not one.located or 0 <= one.start < one.end <= len(text)


HOSTILE = (
    "1 ", "12 34 56 ", "0-", "a", "@", "a@a.", "1.1.1.", "ab:cd:", "(0", "my cancer ", "born ", "password: a1B2c3 ",
    "4111 1111 1111 1112 ", "1 a b c d street ", "\u200b1", "aGVsbG8gd29ybGQgaGVsbG8gd29ybGQ= ", "eyJ", "ul. a ",
)  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_texts_take_time_in_proportion(unit):
    """Sixteen times the text may take at most forty times as long: a quadratic scan would take 256 times."""

    def spent(size: int) -> float:
        text = (unit * (size // len(unit) + 1))[:size]
        began = time.process_time()
        detector.scan(text)
        return time.process_time() - began

    spent(1000)
    assert spent(64_000) <= 40 * max(min(spent(4_000) for _ in range(3)), 0.0005)


def test_classes_can_be_moved_and_switched_off():
    classes = Classes({"email": "internal", "phone": "off"})
    assert classes.highest([Finding("email", 0, 1), Finding("phone", 0, 1)]).categories == ("email",)
    assert classes.highest([Finding("email", 0, 1)]).data_class.name == "internal"
