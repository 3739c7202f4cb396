"""What models really answered, by prompt: a double that gives answers, never scores.

Knows recorded answers, and how a final answer that was kept without its text is rendered as one. Does not know whether
an answer is right: no score enters this room, and a recording that carries one is refused. Files are read by
recorded_files.py; recorded_server.py gives the answers over HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

NO_ANSWER = "There is no final answer that could be read from what this model wrote."
"""Rendering of an answer from which the data's authors could not read any final answer. Too long to read as a label:
two models without an answer do not agree."""

Style = Literal["json", "choice"]
"""How a final answer is written out: `json` is {"answer": "42"}, `choice` is The answer is (C)."""


CHARACTERS_A_TOKEN = 4


def characters_to_tokens(characters: int) -> int:
    """Tokens, estimated as characters / 4 and rounded up, as in the study that the figures are compared with."""
    return -(-characters // CHARACTERS_A_TOKEN)


def prompt_key(prompt: str) -> str:
    """What a prompt is looked up by: runs of white space as one space, ends trimmed. Signs and digits all count."""
    return " ".join(prompt.split())


def render_final(answer: str | None, style: Style) -> str:
    """A final answer as the text that a client gets; None gives NO_ANSWER."""
    if answer is None or not answer.strip():
        return NO_ANSWER
    if style == "choice":
        return f"The answer is ({answer})."
    return msgspec.json.encode({"answer": answer}).decode()


class Recording(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer of one model to one prompt, also one line of a recordings file (JSONL).

    `input_chars` and `output_chars` are of what was really sent and received, where that is longer than what is kept:
    usage is counted from them.
    """

    prompt: str
    model: str
    text: str
    input_chars: int | None = None
    output_chars: int | None = None
    finish: Literal["stop", "length"] = "stop"
    rendered: bool = False  # `text` was made from a final answer; the model's own words were not kept

    @property
    def input_tokens(self) -> int:
        return characters_to_tokens(len(self.prompt) if self.input_chars is None else self.input_chars)

    @property
    def output_tokens(self) -> int:
        return characters_to_tokens(len(self.text) if self.output_chars is None else self.output_chars)


class Recordings:
    """Recordings by prompt and model. Of two for the same prompt and model, the first counts."""

    def __init__(self, recordings: Iterable[Recording]) -> None:
        self._by_prompt: dict[str, dict[str, Recording]] = {}
        models: dict[str, int] = {}
        for recording in recordings:
            answers = self._by_prompt.setdefault(prompt_key(recording.prompt), {})
            if answers.setdefault(recording.model, recording) is recording:
                models[recording.model] = models.get(recording.model, 0) + 1
        self.models: Mapping[str, int] = dict(sorted(models.items()))
        """How many prompts each model answered."""

    def __len__(self) -> int:
        """How many prompts there are."""
        return len(self._by_prompt)

    def find(self, prompt: str, model: str) -> Recording | None:
        """What `model` answered to `prompt`; None where nothing was recorded.

        "one|other" names a role that two models played, each on other prompts: the first that answered this one.
        """
        answers = self._by_prompt.get(prompt_key(prompt), {})
        return next((answers[name] for name in model.split("|") if name in answers), None)

    def has(self, model: str) -> bool:
        """Whether anything was recorded of `model`, or of every model of a role."""
        return all(name in self.models for name in model.split("|"))

    def knows(self, prompt: str) -> bool:
        """Whether any model answered this prompt."""
        return prompt_key(prompt) in self._by_prompt

    def prompts(self) -> list[str]:
        """Every prompt as it was recorded, in the order of the recordings."""
        return [next(iter(answers.values())).prompt for answers in self._by_prompt.values()]
