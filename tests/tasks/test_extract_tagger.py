"""Short requests: tokens, where values stand, and a tagger fitted on the example."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smallfirst.errors import DataError
from smallfirst.tasks.extract.fit import Parts, Wanted, fit_extract
from smallfirst.tasks.extract.fit_field import agree
from smallfirst.tasks.extract.fit_tagged import CHAIN, fit_tagged
from smallfirst.tasks.extract.forms import finder_for, form_of
from smallfirst.tasks.extract.labelled import Labelled, read_labelled
from smallfirst.tasks.extract.model import ExtractModel, Extractor, Stored, decode, encode, open_finder
from smallfirst.tasks.extract.schema import Field, Schema, read_schema
from smallfirst.tasks.extract.tagger import Chain, labels_of, on_path
from smallfirst.tasks.extract.tagging import locate, spans_of
from smallfirst.tasks.extract.tokens import asked, features, tokens

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "extract"


@functools.cache
def taxi() -> tuple[Schema, list[Labelled]]:
    schema = read_schema(EXAMPLE / "requests.yaml")
    return schema, read_labelled(EXAMPLE / "requests.jsonl", schema)[0]


@functools.cache
def fitted() -> ExtractModel:
    schema, rows = taxi()
    return fit_extract(schema, Parts(rows[:100], rows[100:120], []), Wanted(0.8, 0.9))


def test_quoted_lines_are_read_but_hold_no_values() -> None:
    document = "> how many people at 8?\n5, at 8:30pm"
    assert [token.text for token in tokens(document)] == ["5", ",", "at", "8", ":", "30", "pm"]
    assert all(document[token.start : token.end] == token.text for token in tokens(document))
    assert asked(document) == ["8", "at", "how", "many", "people"]
    first = document.index("5")
    assert locate(Field("people"), document, "5") == [(first, first + 1)]
    assert locate(Field("time"), document, "8") == [(document.index("8:30"), document.index("8:30") + 1)]
    assert asked("5 > 4") == []


def test_a_value_is_found_where_it_cuts_no_word() -> None:
    assert locate(Field("people"), "No, not 18 people, 8", "8") == [(19, 20)]
    assert locate(Field("time"), "at 13:00pm", "13:00") == [(3, 8)]  # nowhere whole
    assert locate(Field("end"), "to  Castle\nGate", "Castle Gate") == [(4, 15)]
    names = Field("parties", type="name", several=True)
    assert locate(names, "ACME, INC. and Acme Inc", "Acme, Inc.") == [(0, 9), (15, 23)]
    day = Field("day", type="date")
    assert spans_of([day], "from 3.4.2025 on", {"day": ("2025-04-03",)}) == [("day", 5, 13)]


def test_labels_and_spans_are_each_other() -> None:
    found = tokens("from the old mill to Quay Street")
    labels = labels_of(found, [("start", 5, 17), ("end", 21, 32)])
    assert labels == ["O", "B-start", "I-start", "I-start", "O", "B-end", "I-end"]
    assert on_path(labels, "start") == [(1, 3)]
    assert on_path(["I-end", "O", "B-end", "B-end"], "end") == [(0, 0), (2, 2), (3, 3)]


def test_features_say_what_was_asked() -> None:
    row = features(tokens("5"), ["people"])[0]
    assert {"asked=people|5", "said=people", "0=5", "1=end", "-1=end"} <= set(row)


def test_the_form_of_the_texts_chooses_the_finder() -> None:
    assert form_of(["a table for 5"] * 3) == "short"
    assert form_of(["line\n" * 30] * 3) == "page"
    assert form_of(["word " * 3000] * 3) == "long"
    kinds = [finder_for(Field("x", type=kind), "long") for kind in ("date", "name", "address")]
    assert kinds == ["clauses", "clauses", "tagger"]
    assert {finder_for(Field("x", type="date"), form) for form in ("short", "page")} == {"tagger", "ranker"}


def test_fitted_on_a_hundred_requests_it_reads_new_ones() -> None:
    schema, rows = taxi()
    model = fitted()
    assert all(model.fields[field.name].finders == (Stored("tagger", shared=CHAIN),) for field in schema.fields)
    extractor = Extractor(decode(encode(model)))
    right = [
        agree(field, extractor.extract(row.text).fields[field.name], row.values[field.name])
        for row in rows[120:]
        for field in schema.fields
    ]
    assert sum(right) >= 0.9 * len(right)
    said = extractor.extract("> Where shall we pick you up?\nat the town hall")
    value = said.fields["start"][0]
    assert value.text == "the town hall"
    assert (value.start, value.end) == (33, 46)
    assert said.fields["end"] == ()
    assert said.sure["end"] > 0.5
    assert extractor.extract("...").fields["time"] == ()


def test_of_a_long_document_the_opening_is_read_once() -> None:
    request = "I need a taxi from the old mill to Elm Road at noon\n"
    said = Extractor(fitted()).extract("thanks\n" * 40_000 + request * 3000)
    assert all(value.start < 3000 for values in said.fields.values() for value in values)


def test_several_threads_may_ask_at_once() -> None:
    extractor = Extractor(fitted())
    texts = [row.text for row in taxi()[1][100:]]
    alone = [extractor.extract(text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(extractor.extract, texts)) == alone


def test_weights_that_are_missing_or_broken_are_told() -> None:
    with pytest.raises(DataError, match="weights 'chain' are missing"):
        open_finder(Field("x"), Stored("tagger", shared="chain"))
    with pytest.raises(DataError, match="can't be read"):
        Chain(b"no weights")
    rows = [Labelled("at noon", {"x": ()}, str(n), "here") for n in range(12)]
    with pytest.raises(DataError, match="field x: no document"):
        fit_tagged([Field("x")], rows, 0)
