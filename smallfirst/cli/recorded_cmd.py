"""`smallfirst recorded`: gives recorded answers over HTTP, as an upstream to try routing on."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
import uvicorn

from smallfirst.cli.console import err, out
from smallfirst.models.recorded_files import SOURCES, load_recordings
from smallfirst.models.recorded_server import RecordedApp


@click.group()
def recorded() -> None:
    """Recorded model answers, as an OpenAI-compatible server on loopback. They carry no scores."""


@recorded.command("serve")
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="A recordings file (.jsonl), or a folder of outcome tables.",
)
@click.option("--port", default=4010, show_default=True, type=click.IntRange(1, 65535))
@click.option("--speed", default=0.0, type=click.FloatRange(min=0), help="Tokens a second; 0: as fast as it goes.")
@click.option("--first-ms", default=0.0, type=click.FloatRange(min=0), help="To the first token, with --speed.")
@click.option("--source", "sources", multiple=True, type=click.Choice(list(SOURCES)), help="Default: all of them.")
@click.option("--model", "models", multiple=True, help="Only these models. Default: all.")
def serve(
    data: Path, port: int, speed: float, first_ms: float, sources: tuple[str, ...], models: tuple[str, ...]
) -> None:
    """Answer as the recorded models did; a prompt that was not recorded is a 404."""
    recordings = load_recordings(data, sources=sources or tuple(SOURCES), models=models or None)
    out.print(f"{len(recordings)} prompts, {len(recordings.models)} models: http://127.0.0.1:{port}/v1")
    err.print("recorded answers, not live ones; usage is counted as characters / 4", style="dim")
    app = RecordedApp(recordings, speed=speed, first_s=first_ms / 1000)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


@recorded.command("prompts")
@click.argument("out_file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="As for `recorded serve`.")
@click.option("--source", "sources", multiple=True, type=click.Choice(list(SOURCES)), help="Default: all of them.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many. Default: all.")
def prompts(out_file: Path, data: Path, sources: tuple[str, ...], limit: int | None) -> None:
    """Write the recorded prompts to OUT_FILE (JSONL), for `smallfirst replay`. Neither answers nor scores are in it."""
    recordings = load_recordings(data, sources=sources or tuple(SOURCES))
    texts = recordings.prompts()[:limit]
    with out_file.open("wb") as file:
        for number, text in enumerate(texts, 1):
            file.write(msgspec.json.encode({"id": str(number), "prompt": text}) + b"\n")
    out.print(f"{len(texts)} prompts written to {out_file}")
