"""The example page of docs/evaluation.md, and with Chromium the picture of its top.

    python bench/evaluation_page.py [--chromium /usr/bin/chromium]

Runs `smallfirst evaluate --example --learned` (made data, simulated models, seed 0). Writes
docs/evaluation-example.html and docs/evaluation-example.png.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
SIZE = "1000,900"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    args = parser.parse_args()
    page, picture = DOCS / "evaluation-example.html", DOCS / "evaluation-example.png"
    command = [sys.executable, "-m", "smallfirst.cli.main", "evaluate", "--example", "--learned", "--page", str(page)]
    subprocess.run(command, check=True)
    if args.chromium is None:
        sys.exit("no Chromium found: the picture is left as it is (--chromium names one)")
    with tempfile.TemporaryDirectory() as home:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={home}"]
        shot = [f"--window-size={SIZE}", f"--screenshot={picture}", page.as_uri()]
        subprocess.run([args.chromium, *flags, *shot], check=True, capture_output=True)
    print(f"wrote {page} ({page.stat().st_size:,} bytes) and {picture} ({picture.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
