"""Finders, the fitted model, its file: on the receipts of the example."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from smallfirst.errors import DataError
from smallfirst.tasks.certify import NOTHING
from smallfirst.tasks.extract.evidence import locate
from smallfirst.tasks.extract.fit import Parts, Wanted, fit_extract, one_of_each_group, part
from smallfirst.tasks.extract.fit_field import agree, fit_field, folds
from smallfirst.tasks.extract.labelled import Columns, Labelled, read_labelled
from smallfirst.tasks.extract.layout import read_layout
from smallfirst.tasks.extract.model import (
    Extractor,
    FieldModel,
    Stored,
    decode,
    encode,
    open_finder,
    unfitted,
    windows,
)
from smallfirst.tasks.extract.patterns import Patterns
from smallfirst.tasks.extract.report import measure
from smallfirst.tasks.extract.schema import Field, parse_schema, read_schema
from smallfirst.tasks.extract.softmax import Problem
from smallfirst.tasks.extract.values import Value
from tests.tasks.receipts import EXAMPLE, SURE, example_rows, small_model, small_schema

INVOICE = """TAX INVOICE
Acme Ltd
12 High Street
London SW1A 1AA
Invoice no: INV-2044\tDate: 3 April 2025
Delivery: 5 April 2025
IBAN: DE89 3704 0044 0532 0130 00
Subtotal\t100.00
Total due\tGBP 120.00
Cash\t150.00
"""


def found(field: Field, document: str = INVOICE) -> list[tuple[str, str]]:
    values = Patterns(field).find(document)
    assert all(document[one.start : one.end] == one.text for one in values)
    return [(one.text, one.normal) for one in values]


def test_patterns_find_what_has_a_shape_or_a_label() -> None:
    assert found(Field("date", "date"))[0] == ("3 April 2025", "2025-04-03")
    assert found(Field("total", "money", labels=("total due",)))[0] == ("GBP 120.00", "120.00 GBP")
    assert found(Field("sum", "money"))[0][1] == "150.00"  # the largest, for want of a label
    assert found(Field("invoice_no", "id"))[0] == ("INV-2044", "INV-2044")
    assert found(Field("bank", "id", form="iban")) == [("DE89 3704 0044 0532 0130 00", "DE89370400440532013000")]
    assert found(Field("seller", "name"))[0] == ("Acme Ltd", "Acme Ltd")
    assert found(Field("address", "address"))[0][1] == "12 High Street, London SW1A 1AA"
    assert found(Field("delivery", "text")) == [("5 April 2025", "5 April 2025")]
    assert found(Field("ref", "text", pattern=r"INV-\d+")) == [("INV-2044", "INV-2044")]
    assert found(Field("kind", "choice", choices={"invoice": ("tax invoice",), "order": ()})) == [
        ("TAX INVOICE", "invoice")
    ]
    assert found(Field("colour", "text")) == []


def test_without_a_model_everything_is_doubtful() -> None:
    said = Extractor(unfitted(small_schema())).extract(SURE)
    assert said.doubtful == ("shop", "total", "vat_id")
    assert max(said.sure.values()) < 0.9
    assert said.fields["vat_id"][0].normal == "DE165083189"


def test_a_fitted_model_is_sure_where_it_may_be() -> None:
    model = small_model()
    assert all(one.certified is not None for one in model.fields.values())
    said = Extractor(model).extract(SURE)
    assert {name: values[0].normal for name, values in said.fields.items()} == {
        "shop": "Moreau Garden Centre Ltd", "total": "9.73 EUR", "vat_id": "DE165083189",
    }  # fmt: skip
    assert said.doubtful == ()
    assert all(SURE[value.start : value.end] == value.text for values in said.fields.values() for value in values)
    strange = Extractor(model).extract("minutes of the meeting\nnobody came\n")
    assert strange.fields == {"shop": strange.fields["shop"], "total": (), "vat_id": ()}
    assert {"shop", "total"} <= set(strange.doubtful)


def test_what_is_learned_is_more_than_the_patterns_know() -> None:
    report = measure(small_model(), example_rows()[130:190])
    shop = report.fields["shop"]
    assert shop.everything.value > 0.95
    assert shop.everything.value > shop.patterns.value + 0.05
    assert shop.everything.low < shop.everything.value <= shop.everything.high
    assert report.fields["vat_id"].everything.value == 1.0
    assert report.whole.right <= shop.everything.right


def test_the_file() -> None:
    model = small_model()
    again = decode(encode(model))
    assert again == model
    assert Extractor(again).extract(SURE) == Extractor(model).extract(SURE)
    with pytest.raises(DataError, match="not an extraction model"):
        decode(b"something", "x.extract")
    with pytest.raises(DataError, match="format 99"):
        decode(encode(msgspec.structs.replace(model, format=99)))
    with pytest.raises(DataError, match="no finder 'oracle'"):
        open_finder(small_schema()["shop"], Stored("oracle"))
    with pytest.raises(DataError, match="field shop: the ranker can't be read"):
        open_finder(small_schema()["shop"], Stored("ranker", b"x"))


def test_methods_that_agree_count_more_than_one() -> None:
    schema = parse_schema(b"fields: {total: {type: money}}")
    alone = FieldModel((Stored("patterns"),))
    model = msgspec.structs.replace(unfitted(schema), fields={"total": alone})
    twice = Extractor(model)
    one = twice.candidates("total", "Total 9.00")[0].confidence
    twice._finders["total"].append(_Says("9.00", 6, 10, 0.5))
    both = twice.candidates("total", "Total 9.00")[0]
    assert both.confidence == pytest.approx(1 - (1 - one) * 0.5, abs=1e-4)
    assert both.method == "patterns+other"


class _Says:
    def __init__(self, text: str, start: int, end: int, confidence: float) -> None:
        self._value = Value(text, text, start, end, confidence, "other")

    def find(self, document: str) -> list[Value]:
        return [self._value]


def test_a_long_document_is_read_in_parts_and_nothing_is_lost() -> None:
    filler = "nothing of note on this line\n" * 16_000
    document = filler + INVOICE + filler
    parts = list(windows(document))
    assert len(parts) > 2
    assert all(document[start : start + len(text)] == text for start, text in parts)
    assert parts[0][0] == 0
    assert parts[-1][0] + len(parts[-1][1]) == len(document)
    (value,) = (
        Extractor(unfitted(parse_schema(b"fields: {bank: {type: id, form: iban}}"))).extract(document).fields["bank"]
    )
    assert document[value.start : value.end] == "DE89 3704 0044 0532 0130 00"


def test_several_values() -> None:
    schema = parse_schema(b"fields: {amounts: {type: money, several: true}}")
    rows = [
        Labelled(
            f"{word}: {n}.00\nfee: {n + 1}.50\ncode: {n + 2}.00\n", {"amounts": (f"{n}.00", f"{n + 1}.50")}, f"{n}", ""
        )
        for n, word in enumerate(["price", "cost"] * 20)
    ]
    fitted = fit_field(schema["amounts"], rows, 0, 0.9)
    assert fitted.right.mean() > 0.9
    assert fitted.model.whole is not None
    said = Extractor(msgspec.structs.replace(unfitted(schema), fields={"amounts": fitted.model}))
    values = said.extract("price: 71.00\nfee: 3.50\ncode: 9.00\n").fields["amounts"]
    assert {value.normal for value in values} == {"71.00", "3.50"}
    assert agree(schema["amounts"], values, ("3.50", "71.00"))
    assert not agree(schema["amounts"], values, ("3.50",))


def test_the_slope_of_the_loss_is_its_slope() -> None:
    """Against finite differences, for a field of runs and a shaped one, one value and several."""
    from smallfirst.tasks.extract.fit_field import example

    rows = example_rows()[:4]
    for name, several in (("shop", False), ("shop", True), ("total", False)):
        problem = Problem([example(small_schema()[name], row) for row in rows], several=several)
        size = len(problem._names) + 6 * len(problem._piece_names) * problem._with_pieces + 1
        rng = np.random.default_rng(0)
        at, move = rng.normal(size=size) / 10, rng.normal(size=size)
        _, slope = problem._loss(at, 0.5)
        step = 1e-5
        rise = (problem._loss(at + step * move, 0.5)[0] - problem._loss(at - step * move, 0.5)[0]) / (2 * step)
        assert slope @ move == pytest.approx(rise, rel=1e-5)


def test_groups_stay_whole() -> None:
    groups = ["a"] * 30 + ["b"] * 5 + list("cdefgh")
    fold = folds(groups, 0)
    assert all(len({fold[n] for n, one in enumerate(groups) if one == group}) == 1 for group in set(groups))
    rows = [Labelled(f"text {n}", {}, group, "") for n, group in enumerate(groups)]
    parts = part(rows, 0)
    dealt = [{row.group for row in rows} for rows in (parts.fit, parts.certify, parts.report)]
    assert not dealt[0] & dealt[1]
    assert not dealt[1] & dealt[2]
    assert len(one_of_each_group(rows, 0)) == 8
    with pytest.raises(DataError, match="group 'a' stands in the training and the report part"):
        part(rows, 0, rows[:1])


def test_too_few_documents_are_refused_and_too_few_certify_nothing() -> None:
    rows = list(example_rows())
    with pytest.raises(DataError, match="field shop: 9 documents of the fit part"):
        fit_extract(small_schema(), Parts(rows[:9], [], []), Wanted())
    schema = parse_schema(b"fields: {total: {type: money, currency: EUR}}")
    model = fit_extract(schema, Parts(rows[:30], rows[30:40], []), Wanted(accuracy=0.9))
    assert (model.fields["total"].certified, model.fields["total"].threshold) == (None, NOTHING)
    lax = fit_extract(schema, Parts(rows[:30], rows[30:40], []), Wanted(accuracy=0.9, uncertified=True))
    assert lax.fields["total"].certified is None
    assert lax.fields["total"].threshold < 1


def test_pieces_break_at_columns_brackets_and_labels() -> None:
    text = "ACME (M) SDN BHD 139386-X\n\nTEL: 12\tFAX 13 at 10:20\n"
    pieces = [text[one.start : one.end] for one in read_layout(text).pieces]
    assert pieces == ["ACME", "(M)", "SDN BHD", "139386-X", "TEL:", "12", "FAX 13 at 10:20"]
    assert [one.line for one in read_layout(text).pieces] == [0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("field", "said", "place"),
    [
        (Field("s", "name"), "acme LTD", "Acme Ltd"),
        (Field("a", "address"), "12 High Street, London SW1A 1AA", "12 High Street\nLondon SW1A 1AA"),
        (Field("d", "date"), "2025-04-03", "3 April 2025"),
        (Field("t", "money", currency="GBP"), "£120", "GBP 120.00"),
        (Field("t", "money", currency="GBP"), "20.00", None),  # a piece of another number
        (Field("s", "name"), "Bcme Ltd", None),
        (Field("d", "date"), "2025-04-04", None),
        (Field("s", "name"), "Acme", "Acme"),
    ],
)
def test_evidence(field, said, place) -> None:
    there = locate(field, INVOICE, said)
    assert (None if there is None else INVOICE[there[0] : there[1]]) == place


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"document": "a", "fields": {"totl": "1"}}', "line 1: the schema has no field 'totl'; did you mean `total`?"),
        ('{"document": " ", "fields": {}}', "line 1: document is missing or empty"),
        ('{"document": "a", "fields": 3}', "line 1: fields must hold a value for each field"),
        ('{"document": "a", "fields": "{"}', "line 1: fields: "),
        ('{"file": "none.txt", "fields": {}}', "none.txt: No such file"),
    ],
)
def test_labelled_documents_with_mistakes(tmp_path, line, words) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(DataError, match=words):
        read_labelled(file, small_schema())


def test_labelled_documents(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("the text")
    file = tmp_path / "data.jsonl"
    file.write_text(
        '{"file": "a.txt", "values": "{\\"total\\": [\\"9\\", 9.0], \\"shop\\": null}", "vendor": "v", "part": "x"}\n'
        '{"document": "b", "values": {"total": "nine"}, "part": "x"}\n'
        '{"document": "c", "values": {}, "part": "y"}\n'
    )
    rows, left_out = read_labelled(file, small_schema(), Columns(fields="values", group="vendor"), ("part", "x"))
    assert rows[0].text == "the text"
    assert rows[0].values == {"total": ("9.00 EUR",), "shop": ()}
    assert (rows[0].group, rows[1].values) == ("v", {})
    assert left_out == ["data.jsonl, line 2: total: 'nine' can't be read as money"]


def test_the_whole_example_is_read() -> None:
    assert len(example_rows()) == 260
    assert set(example_rows()[0].values) == {field.name for field in read_schema(EXAMPLE / "receipt.yaml").fields}
