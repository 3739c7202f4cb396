"""Rewrites a GGUF file with another quantisation: the program behind the first start of the embedded model.

Run as `python -m smallfirst.models.requantise SOURCE TARGET Q8_0|Q4_0`, in a process of its own, because numpy stays in
memory once it is imported (about 30 MB) and the gateway has no other use for it. It prints one integer a line, the
percentage done.

Knows the three block formats that it reads and writes. Does not know the container (gguf_file.py), where files come
from, or which quantisation is best (weights.py does).
Source of the formats: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h (block_q4_0, _q4_1, _q8_0)
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from smallfirst.models.gguf_file import Header, padded, placed, read_header, write_header

Weights = NDArray[np.float32]

BLOCK = 32
"""Weights in a block."""
Q4_0, Q4_1, Q8_0 = 2, 3, 8
BYTES = {Q4_0: 18, Q4_1: 20, Q8_0: 34}
"""Bytes of a block, by the number of its format."""

WRITTEN = {"Q4_0": (Q4_0, 2), "Q8_0": (Q8_0, 7)}
"""What can be written: the block format, and the file type that says so in the header."""

SLOW = Q4_1
"""The format that is rewritten: llama.cpp has no fast kernel for it on a CPU. All others are copied as they are."""


def requantise(source: Path, target: Path, name: str) -> None:
    """Write `source` to `target` with its slow tensors as `name` (a key of WRITTEN).

    The target appears under its name only when it is complete. Raises ValueError for an unknown `name` or a file that
    is no GGUF, OSError where the disk refuses.
    """
    if name not in WRITTEN:
        raise ValueError(f"can write {', '.join(WRITTEN)}, not {name}")
    kind, file_type = WRITTEN[name]
    partial = target.with_name(f"{target.name}.partial")
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)
        try:
            header = read_header(view)
            spans = _spans(header, len(view))
            with partial.open("wb") as out:
                out.write(write_header(_changed(header, spans, kind, file_type)))
                for at, (tensor, (start, end)) in enumerate(zip(header.tensors, spans, strict=True), 1):
                    data: bytes | memoryview = view[start:end]
                    if tensor.kind == SLOW:
                        data = quantise(dequantise(data), kind)
                    out.write(data)
                    out.write(bytes(padded(len(data), header.alignment) - len(data)))
                    del data
                    sys.stdout.write(f"{100 * at // len(spans)}\n")
                    sys.stdout.flush()
                out.flush()
                os.fsync(out.fileno())
        finally:
            view.release()
    partial.replace(target)


def dequantise(blocks: bytes | memoryview) -> Weights:
    """(blocks, 32) weights of Q4_1: scale and minimum as float16, then 32 four-bit numbers, low halves first."""
    raw = np.frombuffer(blocks, np.uint8).reshape(-1, BYTES[Q4_1])
    ends = raw[:, :4].copy().view(np.float16).astype(np.float32)
    steps = np.concatenate([raw[:, 4:] & 15, raw[:, 4:] >> 4], axis=1).astype(np.float32)
    return steps * ends[:, :1] + ends[:, 1:]


def quantise(weights: Weights, kind: int) -> bytes:
    """(blocks, 32) weights as Q8_0 (scale, 32 signed bytes) or Q4_0 (scale, 32 four-bit numbers around 8)."""
    if kind == Q8_0:
        scale: Weights = np.abs(weights).max(axis=1, keepdims=True) / np.float32(127)
        body: NDArray[np.uint8] = _away_from_zero(weights * _inverse(scale)).astype(np.int8).view(np.uint8)
    else:
        furthest = np.take_along_axis(weights, np.abs(weights).argmax(axis=1)[:, None], axis=1)
        scale = furthest / np.float32(-8)
        steps: NDArray[np.uint8] = np.clip(np.trunc(weights * _inverse(scale) + 8.5), 0, 15).astype(np.uint8)
        body = steps[:, : BLOCK // 2] | steps[:, BLOCK // 2 :] << np.uint8(4)
    return np.concatenate([scale.astype(np.float16).view(np.uint8), body], axis=1).tobytes()


def _inverse(scale: Weights) -> Weights:
    return np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)


def _away_from_zero(values: Weights) -> Weights:
    """Round half away from zero, as C does; numpy rounds half to even."""
    rounded: Weights = np.sign(values) * np.floor(np.abs(values) + 0.5)
    return rounded


def _spans(header: Header, size: int) -> list[tuple[int, int]]:
    """Where each tensor's data stand in the file, without what pads them (for a slow one, whose size we know)."""
    starts = [header.data_at + tensor.offset for tensor in header.tensors]
    ordered = sorted([*starts, size])
    ends = {start: ordered[ordered.index(start) + 1] for start in starts}
    spans = []
    for tensor, start in zip(header.tensors, starts, strict=True):
        weights = int(np.prod(tensor.shape, dtype=np.int64))
        spans.append((start, start + weights // BLOCK * BYTES[SLOW] if tensor.kind == SLOW else ends[start]))
    return spans


def _changed(header: Header, spans: Sequence[tuple[int, int]], kind: int, file_type: int) -> Header:
    """The header of the file to be written."""
    sizes = [
        (end - start) // BYTES[SLOW] * BYTES[kind] if tensor.kind == SLOW else end - start
        for tensor, (start, end) in zip(header.tensors, spans, strict=True)
    ]
    kinds = [msgspec.structs.replace(t, kind=kind if t.kind == SLOW else t.kind) for t in header.tensors]
    fields = tuple(
        (key, of, file_type.to_bytes(4, "little") if key == b"general.file_type" else value)
        for key, of, value in header.fields
    )
    tensors = placed(kinds, sizes, header.alignment)
    return msgspec.structs.replace(header, fields=fields, tensors=tensors)


if __name__ == "__main__":
    requantise(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
