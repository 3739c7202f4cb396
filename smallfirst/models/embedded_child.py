"""The process that runs the embedded model: llama.cpp's own OpenAI-compatible server, on loopback, behind a key.

Run as `python -m smallfirst.models.embedded_child` by models/embedded.py, which writes one line of JSON (`Orders`) to
its standard input and keeps that pipe open. The pipe is the life line: when it closes, for whatever reason the parent
had, kill -9 among them, this process ends. On Linux the kernel is asked for the same (PR_SET_PDEATHSIG), which also
works while the model is being loaded and Python can't run. The key comes through the pipe: arguments are public.

Standard output carries one line, `ready`, once the server listens. Standard error is llama.cpp's log; at this verbosity
it holds errors only: warnings come with every request and would fill the disk.

Knows xllamacpp's parameters. Does not know why it was started, nor what is asked of it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

import msgspec
import xllamacpp

PR_SET_PDEATHSIG = 1
ERRORS = 1
"""llama.cpp's verbosity: 1 errors, 2 warnings, 3 a line or two a request, 4 everything, prompts among it."""

TEMPERATURE, TOP_P = 0.2, 0.9
"""Where a caller names none: what the model card of SmolLM2-Instruct uses. llama.cpp's own 0.8 makes so small a model
wander off, and a probe, which asks at temperature 0, would say little of what callers get."""

LONGEST_SHARE = 4
"""Where a caller names no max_tokens an answer ends at a quarter of the context, `finish_reason: length`: a small model
that goes round in circles would else hold its slot until the context is full, which is most of a minute."""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What the parent wants served. `context` is in tokens and for each of the `slots`."""

    weights: str
    name: str  # the name that answers carry; without it they would carry a path of this machine
    port: int
    key: str
    threads: int
    context: int
    slots: int
    parent: int  # its process id
    share_port: bool = False  # the parent holds the port reserved, which takes SO_REUSEPORT on both sides


def parameters(orders: Orders) -> xllamacpp.CommonParams:
    """`orders` in llama.cpp's words."""
    params = xllamacpp.CommonParams()
    params.model.path = orders.weights
    params.model_alias = {orders.name}
    params.hostnames = ["127.0.0.1"]
    params.port = orders.port
    params.reuse_port = orders.share_port
    params.api_keys = [orders.key]
    params.n_parallel = orders.slots
    params.n_ctx = orders.context * orders.slots
    params.n_predict = orders.context // LONGEST_SHARE
    params.cpuparams.n_threads = orders.threads
    params.cpuparams_batch.n_threads = orders.threads
    params.n_threads_http = orders.slots + 2  # each waiting request holds one; two more for health and refusals
    params.sampling.temp, params.sampling.top_p = TEMPERATURE, TOP_P
    params.cache_ram_mib = 0  # else up to 8 GiB of earlier prompts would be kept
    params.cache_idle_slots = False  # as above
    params.endpoint_slots = False  # it shows what other callers have asked
    params.ui = False
    params.verbosity = ERRORS
    return params


def follow(parent: int) -> None:
    """Ask the kernel to end this process with its parent (Linux), and leave at once if the parent has gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def leave_with_parent() -> None:
    """Wait for the pipe to close. `_exit`, because a generation in progress would hold up an orderly end."""
    while os.read(0, 1024):
        pass
    os._exit(0)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the parent decides when we end
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    follow(orders.parent)
    threading.Thread(target=leave_with_parent, daemon=True).start()
    server = xllamacpp.Server(parameters(orders))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    threading.Event().wait()
    del server


if __name__ == "__main__":
    main()
