"""Receipts of the example, and a model fitted on a few of them, for the tests."""

from __future__ import annotations

import functools
from pathlib import Path

from smallfirst.tasks.extract.fit import Parts, Wanted, fit_extract
from smallfirst.tasks.extract.labelled import Labelled, read_labelled
from smallfirst.tasks.extract.model import ExtractModel, encode
from smallfirst.tasks.extract.schema import Schema, parse_schema, read_schema

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "extract"

SMALL = b"""
name: receipt
fields:
  shop: {type: name}
  total: {type: money, currency: EUR}
  vat_id: {type: id, form: eu.vat, required: false}
"""

SURE = """RECEIPT
Moreau Garden Centre Ltd
12 Quay
Norham
30211
VAT DE165083189
Order no: SO/3024682
Date: 19.03.2025
2 x Rye loaf\t4.09\t8.18
Subtotal\t8.18
VAT 19%\t1.55
Total due\tEUR 9.73
Please come again
"""


@functools.cache
def small_schema() -> Schema:
    return parse_schema(SMALL)


@functools.cache
def example_rows() -> tuple[Labelled, ...]:
    rows, left_out = read_labelled(EXAMPLE / "labelled.jsonl", read_schema(EXAMPLE / "receipt.yaml"))
    assert left_out == []
    return tuple(rows)


@functools.cache
def small_model() -> ExtractModel:
    """Three fields, fitted on 40 receipts and certified on 40 more: at least 90% of what is kept."""
    rows = list(example_rows())
    return fit_extract(small_schema(), Parts(rows[:40], rows[40:80], []), Wanted(accuracy=0.9))


def model_file(folder: Path) -> Path:
    path = folder / "receipt.extract"
    path.write_bytes(encode(small_model()))
    return path
