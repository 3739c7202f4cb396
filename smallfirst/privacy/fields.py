"""Which parts of a request's JSON hold words, and all the words of one.

Knows field names and JSON values. Does not know what is looked for in the words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

UNHEARD = frozenset(
    (
        "model", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed",
        "logprobs", "top_logprobs", "presence_penalty", "frequency_penalty", "parallel_tool_calls", "logit_bias",
    )
)  # fmt: skip
"""Fields that hold no words."""


_STRUCTURAL = frozenset(
    ("role", "type", "content", "text", "image_url", "url", "detail", "function", "name", "arguments")
)
"""Names of fields that say nothing by themselves."""


def texts_in(value: object) -> Iterator[str]:
    """Every string of a JSON value, the names of its fields included; numbers as they are written."""
    stack = [value]
    while stack:
        one = stack.pop()
        if type(one) is str:
            yield one
        elif type(one) is dict:
            for name, inner in reversed(one.items()):
                stack.append(inner)
                if name not in _STRUCTURAL:
                    stack.append(name)
        elif type(one) is list:
            stack.extend(reversed(one))
        elif type(one) is int and one > 999_999:
            yield str(one)


_WHOLE_TEXTS = ("input", "prompt", "prompt_token_ids")
"""Fields that are a text, or the numbers of its tokens."""


def holds_tokens(fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether a text is given as token numbers: no words in it, and yet all of them."""
    for name in _WHOLE_TEXTS:
        raw = fields.get(name)
        if raw is not None and bytes(memoryview(raw)[:64]).lstrip()[:1] == b"[":
            given = msgspec.json.decode(raw)
            if any(type(one) is int or type(one) is list for one in given):
                return True
    return False
