"""The GGUF container, as far as rewriting its tensors needs it: a header that is walked, and where each tensor lies.

Knows the layout of versions 2 and 3. Does not know what the values mean, nor block formats (requantise.py). Fields are
kept as the bytes they came as, so that what is not understood is copied unchanged.
Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

MAGIC = b"GGUF"
STRING, ARRAY = 8, 9
WIDTH = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value, by its type; strings and arrays tell their own length."""

ALIGNMENT = 32


class Tensor(msgspec.Struct, frozen=True):
    """One tensor: its shape (innermost first), the number of its block format, and where its data begin."""

    name: bytes
    shape: tuple[int, ...]
    kind: int
    offset: int  # from the start of the data


class Header(msgspec.Struct, frozen=True):
    """All that stands before the data. A field is (key, type, the bytes of its value)."""

    version: int
    fields: tuple[tuple[bytes, int, bytes], ...]
    tensors: tuple[Tensor, ...]
    data_at: int

    @property
    def alignment(self) -> int:
        found = [value for key, _, value in self.fields if key == b"general.alignment"]
        return int.from_bytes(found[0], "little") if found else ALIGNMENT


class _Walk:
    """A position in the bytes of a header."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.at = data, 0

    def number(self, width: int) -> int:
        self.at += width
        return int.from_bytes(self.data[self.at - width : self.at], "little")

    def string(self) -> bytes:
        size = self.number(8)
        self.at += size
        return bytes(self.data[self.at - size : self.at])

    def skip(self, kind: int) -> None:
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            inner, count = self.number(4), self.number(8)
            if inner in WIDTH:
                self.at += WIDTH[inner] * count
            else:
                for _ in range(count):
                    self.skip(inner)
        else:
            self.at += WIDTH[kind]


def read_header(data: memoryview) -> Header:
    """The header of a GGUF file. Raises ValueError for anything else."""
    walk = _Walk(data)
    if bytes(data[:4]) != MAGIC or (version := int.from_bytes(data[4:8], "little")) not in (2, 3):
        raise ValueError("not a GGUF file of version 2 or 3")
    walk.at = 8
    tensors, fields = walk.number(8), walk.number(8)
    try:
        read = tuple(_field(walk) for _ in range(fields))
        listed = tuple(_tensor(walk) for _ in range(tensors))
    except KeyError as fault:
        raise ValueError(f"an unknown type of value in the header: {fault}") from fault
    header = Header(version, read, listed, 0)
    return msgspec.structs.replace(header, data_at=padded(walk.at, header.alignment))


def write_header(header: Header) -> bytes:
    """The header's bytes, padded to where the data begin."""
    parts = [MAGIC, struct.pack("<IQQ", header.version, len(header.tensors), len(header.fields))]
    for key, kind, value in header.fields:
        parts += [struct.pack("<Q", len(key)), key, struct.pack("<I", kind), value]
    for tensor in header.tensors:
        parts += [struct.pack("<Q", len(tensor.name)), tensor.name, struct.pack("<I", len(tensor.shape))]
        parts.append(struct.pack(f"<{len(tensor.shape)}QIQ", *tensor.shape, tensor.kind, tensor.offset))
    made = b"".join(parts)
    return made.ljust(padded(len(made), header.alignment), b"\0")


def padded(size: int, alignment: int) -> int:
    """`size`, rounded up to a multiple of `alignment`."""
    return -(-size // alignment) * alignment


def placed(tensors: Sequence[Tensor], sizes: Sequence[int], alignment: int) -> tuple[Tensor, ...]:
    """The tensors one behind the other, with data of these sizes in bytes."""
    at, found = 0, []
    for tensor, size in zip(tensors, sizes, strict=True):
        found.append(msgspec.structs.replace(tensor, offset=at))
        at = padded(at + size, alignment)
    return tuple(found)


def _field(walk: _Walk) -> tuple[bytes, int, bytes]:
    key, kind = walk.string(), walk.number(4)
    start = walk.at
    walk.skip(kind)
    return key, kind, bytes(walk.data[start : walk.at])


def _tensor(walk: _Walk) -> Tensor:
    name, dimensions = walk.string(), walk.number(4)
    shape = tuple(walk.number(8) for _ in range(dimensions))
    return Tensor(name, shape, walk.number(4), walk.number(8))
