"""A streamed chat completion, framed: bytes in at any cut, whole events out, the last ones withheld.

Knows server-sent events and what each event of a chat completion means for the outcome. Does not know sockets or time.
An event that plainly holds content only is not parsed: it is recognised by its `"finish_reason":null`, a byte sequence
that JSON text can't hold inside a string. All others are parsed. The bytes that come out do not depend on the cuts.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import re

import msgspec

from smallfirst.core import Outcome, Status, ToolCall, Usage
from smallfirst.models.faults import BAD_JSON, WireError, error_event
from smallfirst.models.sender import Call
from smallfirst.models.wire import (
    Logprobs,
    Message,
    Part,
    TokenLogprob,
    WireToolCall,
    WireUsage,
    arguments_of,
    strip_logprobs,
    to_signals,
    to_usage,
)

MAX_EVENT = 4 * 1024 * 1024
"""Bytes of one event; a longer one is a fault."""

_QUOTE, _NEWLINE = 0x22, 0x0A
_BURST = 500
"""Bytes at hand above which it pays to look for many events at once."""
_NULL = re.compile(rb'"finish_reason": ?null')
_MORE = re.compile(rb'"(?:usage|error)":(?! ?null)')


class DeltaChoice(msgspec.Struct, gc=False):
    delta: Message | None = None
    index: int = 0
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Chunk(msgspec.Struct, gc=False):
    choices: list[DeltaChoice] = []
    usage: WireUsage | None = None
    error: WireError | str | None = None


_chunk = msgspec.json.Decoder(Chunk)


class Framer:
    """One stream of `n` choices.

    `strip`: log-probabilities are read and taken out; `text`: text and tool calls are gathered.
    """

    __slots__ = (
        "_after",
        "_before",
        "_buffer",
        "_calls",
        "_finished",
        "_n",
        "_parse_all",
        "_strip",
        "_text",
        "_texts",
        "broken",
        "characters",
        "done",
        "error",
        "finish",
        "logprobs",
        "tail",
        "tokens",
        "usage",
    )

    def __init__(self, *, strip: bool = False, text: bool = False, n: int = 1) -> None:
        self._n, self._finished = n, 0
        self._buffer = b""
        self._before = self._after = b""  # what stood around the last plain event's words; empty: there was none
        self._strip, self._text = strip, text
        self._parse_all = strip or text
        self._texts: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self.tokens = 0  # events with content, of any choice
        self.characters = 0  # of the events that were parsed
        self.tail: list[bytes] = []
        self.finish: str | None = None  # of the first choice
        self.usage: WireUsage | None = None
        self.logprobs: list[TokenLogprob] = []
        self.error: WireError | str | None = None
        self.broken = ""  # why what came is not a stream of chat completion chunks
        self.done = False  # [DONE] has come, or a fault: nothing more is to be read

    @property
    def complete(self) -> bool:
        """Whether the answer came to its end: of each choice, where the upstream does not say that it is done."""
        return not self.broken and self.error is None and (self.done or self._finished >= self._n)

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def logprob(self) -> float | None:
        """Mean log-probability of the first choice's tokens so far."""
        return to_signals(self.logprobs).mean_logprob

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(ToolCall(name, arguments) for _, (name, arguments) in sorted(self._calls.items()))

    def feed(self, data: bytes) -> bytes:
        """The events that `data` completes and that may be relayed; may be empty."""
        if self.done:
            return b""
        if self._buffer:
            data = self._buffer + data
        elif (
            self._after and data.startswith(self._before) and data.endswith(self._after)
        ):  # one plain event, the usual case
            words = data[len(self._before) : len(data) - len(self._after)]
            if words and b'"' not in words and b"\n" not in words and b"\r" not in words:
                self.tokens += 1
                return data
        if b"\r" in data:
            data = _newlines(data)
        return self._split(data)

    def end(self) -> bytes:
        """The body has ended: what is left counts as an event even without its blank line."""
        rest = self._buffer.replace(b"\r", b"\n").rstrip(b"\n")
        self._buffer = b""
        return self._split(rest + b"\n\n") if rest and not self.done else b""

    def _split(self, data: bytes) -> bytes:
        out: list[bytes] = []
        find = data.find
        start = at = 0  # data[start:at] are plain events, not yet passed on
        while not self.done and (end := find(b"\n\n", at)) >= 0:
            if data[at] == _NEWLINE:  # blank lines between events
                if start < at:
                    out.append(data[start:at])
                start = at = at + 1
                continue
            end += 2
            if self._after and len(data) - at > _BURST and (last := self._run(data, at)) > at:
                at = last
                continue
            if not self._plain(data, at, end):
                if start < at:
                    out.append(data[start:at])
                if event := self._read(data[at:end]):
                    out.append(event)
                start = end
            at = end
        if start < at:
            out.append(data[start:at])
        self._buffer = data[at:]
        if len(self._buffer) > MAX_EVENT and not self.done:
            self._break(f"an event is longer than {MAX_EVENT} bytes")
        return out[0] if len(out) == 1 else b"".join(out)

    def _run(self, data: bytes, at: int) -> int:
        """Count the events from `at` on that look like the last plain one but for their words; where they end."""
        before, after = self._before, self._after
        if not data.startswith(before, at):
            return at
        events = data[at:].split(after)
        events.pop()
        skip = len(before)
        words = [event[skip:] for event in events if event.startswith(before)]
        joined = b"".join(words)
        if len(words) < len(events) or b'"' in joined or b"\n" in joined:  # something else stands between them
            return at
        self.tokens += len(words) - words.count(b"")
        return at + len(joined) + len(words) * (skip + len(after))

    def _plain(self, data: bytes, at: int, end: int) -> bool:
        """Whether data[at:end] is content and nothing else; if so, it is counted."""
        before, after = self._before, self._after
        if (
            after and data.startswith(before, at) and data.endswith(after, at, end)
        ):  # as the last one, but for its words
            words, rest = at + len(before), end - len(after)
            if words < rest and data.find(b'"', words, rest) < 0:
                self.tokens += 1
                return True
        return not self._parse_all and self._plainly(data[at:end])

    def _plainly(self, event: bytes) -> bool:
        """Likewise, for an event that does not look like the last one; remembers what stands around its words."""
        null = _NULL.search(event)
        if null is None or event.find(b'"finish_reason"', null.end()) >= 0 or not event.startswith(b"data:"):
            return False
        if _MORE.search(event) is not None:
            return False
        content = event.find(b'"content":"')
        if content < 0:
            return (b'"content":' not in event and b'"tool_calls"' not in event) or self._count(event)
        words = content + 11
        if event[words] != _QUOTE:
            self.tokens += 1
            end = event.find(b'"', words)
            if event.find(b"\\", words, end) < 0:
                self._before, self._after = event[:words], event[end:]
        return True

    def _count(self, event: bytes) -> bool:
        """The rarer shapes of content (spaces, null, tool calls) are looked at properly."""
        chunk = self._decode(event)
        if chunk is None or chunk.error is not None:
            return False
        self.tokens += _has_content(chunk)
        return True

    def _read(self, event: bytes) -> bytes:
        """Parse an event; the bytes to relay, or nothing when it is withheld, empty or an end."""
        payload = _payload(event)
        if payload == b"[DONE]":
            self.done = True
            return b""
        if not payload:  # a comment, a name without data
            return b""
        chunk = self._decode(event)
        if chunk is None:
            self._break("an event is not a chat completion chunk")
            return b""
        if chunk.error is not None:
            self.error, self.done = chunk.error, True
            return b""
        withheld = self._note(chunk)
        if self._strip and any(choice.logprobs is not None for choice in chunk.choices):
            event = b"data: " + strip_logprobs(payload) + b"\n\n"
        if withheld:
            self.tail.append(event if event.count(b"\n") == 2 else b"data: " + payload.replace(b"\n", b" ") + b"\n\n")
            return b""
        return event

    def _note(self, chunk: Chunk) -> bool:
        """Keep what the outcome needs; whether the event is withheld."""
        self.tokens += _has_content(chunk)
        if chunk.usage is not None:
            self.usage = chunk.usage
        withheld = not chunk.choices and chunk.usage is not None
        for choice in chunk.choices:
            first = choice.index == 0
            if choice.finish_reason is not None:
                withheld = True
                self._finished += 1
                if first:
                    self.finish = choice.finish_reason
            if choice.logprobs is not None and first:
                self.logprobs.extend(choice.logprobs.content or ())
            if self._text and first and choice.delta is not None:
                self._gather(choice.delta)
        return withheld

    def _gather(self, delta: Message) -> None:
        content = delta.content if delta.content is not None else delta.refusal
        if isinstance(content, str):
            self._texts.append(content)
        elif content is not None:
            self._texts.extend(part.text or "" for part in content if isinstance(part, Part))
        for call in delta.tool_calls or ():
            self._gather_call(call)

    def _gather_call(self, call: WireToolCall) -> None:
        function = call.function
        if function is None:
            return
        entry = self._calls.setdefault(call.index, ["", ""])
        entry[0] += function.name or ""
        entry[1] += arguments_of(function)

    def _decode(self, event: bytes) -> Chunk | None:
        try:
            return _chunk.decode(_payload(event))
        except BAD_JSON:
            return None

    def _break(self, why: str) -> None:
        self.broken, self.done = why, True


def ended(call: Call, framer: Framer, http_status: int, started_us: int, first_us: int | None, now_us: int) -> Outcome:
    """The outcome of a stream whose events have ended, as they should have or not."""
    if framer.error is not None:
        fault = error_event(call, framer.error, started_us, now_us)
        status, error = fault.status, fault.error
    elif framer.broken:
        status, error = Status.broken, f"the upstream's stream is broken: {framer.broken}"
    elif not framer.complete:
        status, error = Status.broken, "the upstream's stream stopped before its end"
    else:
        status, error = Status.ok, ""
    return stopped(call, framer, status, error, True, http_status, started_us, first_us, now_us)


def stopped(
    call: Call,
    framer: Framer,
    status: Status,
    error: str,
    sent: bool,
    http_status: int,
    started_us: int,
    first_us: int | None,
    now_us: int,
) -> Outcome:
    """The outcome of a stream that ended as `status` says. `sent`: the upstream may have read, and bill, the prompt."""
    usage = to_usage(framer.usage)
    if usage is None:
        usage = Usage(call.input_tokens if sent else 0, framer.tokens, 0, estimated=True)
    price = call.model.price
    return Outcome(
        model=call.model.name,
        status=status,
        text=framer.text,
        tool_calls=framer.tool_calls,
        finish=framer.finish,
        usage=usage,
        signals=to_signals(framer.logprobs),
        started_us=started_us,
        ttft_us=None if first_us is None else first_us - started_us,
        latency_us=now_us - started_us,
        provider=call.replica.provider,
        location=call.replica.location,
        http_status=http_status,
        error=error,
        cost=price.cost(usage) if price is not None else 0,
    )


def _has_content(chunk: Chunk) -> int:
    for choice in chunk.choices:
        delta = choice.delta
        if delta is not None and (delta.content or delta.refusal or delta.tool_calls):
            return 1
    return 0


def _payload(event: bytes) -> bytes:
    """The event's data: its `data` lines, joined."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2:
        return event[6:-2]
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines).strip()


def _newlines(data: bytes) -> bytes:
    """CRLF and CR become LF; a CR at the end waits for what follows it."""
    held = data.endswith(b"\r")
    data = (data[:-1] if held else data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data + b"\r" if held else data
