"""What a bad picture costs: receipts of the example as pictures, spoiled in several ways, read by OCR, then extracted.

    python bench/tasks/ocr_noise.py [--documents 12] [--seed 0]

Each page is read as it is and after straightening and cleaning (text/ocr.py). Words: share of the true words that are
read. Fields: share of the fields that a model finds rightly, which was fitted on the clean text of other receipts. The
pages are drawn by a program: real photographs are worse. Needs the extras `ocr` and `learn`, and tesseract.

Writes bench/out/ocr_noise.json. Some minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from rich.console import Console
from rich.progress import track
from rich.table import Table

from smallfirst.tasks.extract.fit import Parts, Wanted, fit_extract
from smallfirst.tasks.extract.fit_field import agree
from smallfirst.tasks.extract.labelled import Labelled, read_labelled
from smallfirst.tasks.extract.model import Extractor
from smallfirst.tasks.extract.schema import read_schema
from smallfirst.text import ocr

HERE = Path(__file__).resolve().parent.parent
EXAMPLE = HERE.parent / "examples" / "extract"
FITTED = 120
out = Console(width=110)


def drawn(text: str) -> Image.Image:
    """Clean black letters, columns at tab stops."""
    font = ImageFont.load_default(26)
    lines = text.splitlines()
    picture = Image.new("L", (900, 60 + 40 * len(lines)), 255)
    draw = ImageDraw.Draw(picture)
    for n, line in enumerate(lines):
        for column, cell in enumerate(line.split("\t")):
            draw.text((40 + 300 * column, 30 + 40 * n), cell, fill=0, font=font)
    return picture


def specked(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(picture).copy()
    pixels[rng.random(pixels.shape) < 0.02] = 0
    return Image.fromarray(pixels)


def grainy(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(picture) + rng.normal(0, 40, (picture.height, picture.width))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def shaded(picture: Image.Image, _: np.random.Generator) -> Image.Image:
    fall = np.linspace(1.0, 0.3, picture.width)[None, :]
    return Image.fromarray((np.asarray(picture) * fall).astype(np.uint8))


def leaning(degrees: float) -> Callable[[Image.Image, np.random.Generator], Image.Image]:
    return lambda picture, _: picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=255)


SPOILED: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "clean": lambda picture, _: picture,
    "leaning by 2 degrees": leaning(2.0),
    "leaning by 5 degrees": leaning(-5.0),
    "specks on 2% of the pixels": specked,
    "grain, 40 of 255": grainy,
    "a shadow over one side": shaded,
    "blurred": lambda picture, _: picture.filter(ImageFilter.GaussianBlur(2.0)),
    "a third of the size": lambda picture, _: picture.resize((picture.width // 3, picture.height // 3)),
    "leaning, specked, shaded": lambda picture, rng: shaded(specked(leaning(2.0)(picture, rng), rng), rng),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not ocr.available():
        sys.exit(ocr.HELP)
    schema = read_schema(EXAMPLE / "receipt.yaml")
    rows, _ = read_labelled(EXAMPLE / "labelled.jsonl", schema)
    fitted = fit_extract(schema, Parts(rows[:FITTED], [], []), Wanted(uncertified=True, seed=args.seed))
    extractor = Extractor(fitted)
    shown = rows[FITTED : FITTED + args.documents]
    rng = np.random.default_rng(args.seed)
    typed = np.mean([fields_right(extractor, row, row.text) for row in shown])
    table = Table(title=f"{len(shown)} receipts; fields right from the true text: {typed:.0%}", title_justify="left")
    for heading in ("picture", "words, as it is", "words, cleaned", "fields, as it is", "fields, cleaned"):
        table.add_column(heading)
    found: dict[str, object] = {"documents": len(shown), "fields from the true text": typed}
    for name, spoil in track(SPOILED.items(), "reading", console=out, transient=True):
        pages = [spoil(drawn(row.text), rng) for row in shown]
        told = {}
        for how, clean in (("as it is", False), ("cleaned", True)):
            read = [(row, ocr.read_page(page, name, clean=clean)) for row, page in zip(shown, pages, strict=True)]
            told[f"words, {how}"] = float(np.mean([words_read(row.text, text) for row, text in read]))
            told[f"fields, {how}"] = float(np.mean([fields_right(extractor, row, text) for row, text in read]))
        found[name] = told
        columns = [f"{what}, {how}" for what in ("words", "fields") for how in ("as it is", "cleaned")]
        table.add_row(name, *(f"{told[column]:.0%}" for column in columns))
    out.print(table)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    said = {"command": " ".join(sys.argv), "commit": commit.stdout.strip(), "seed": args.seed, "found": found}
    written = HERE / "out" / "ocr_noise.json"
    written.parent.mkdir(exist_ok=True)
    written.write_text(json.dumps(said, indent=1))
    out.print(f"written to {written.relative_to(HERE.parent)}")


def words_read(true: str, read: str) -> float:
    wanted, got = Counter(true.split()), Counter(read.split())
    return sum((wanted & got).values()) / sum(wanted.values())


def fields_right(extractor: Extractor, row: Labelled, text: str) -> float:
    said = extractor.extract(text)
    schema = extractor.model.schema
    return float(np.mean([agree(one, said.fields[one.name], row.values[one.name]) for one in schema.fields]))


if __name__ == "__main__":
    main()
