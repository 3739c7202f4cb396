"""Rewrites a GGUF file with another quantisation: the program behind the first start of the embedded model.

Run as `python -m smallfirst.models.requantise SOURCE TARGET Q8_0|Q4_0`, in a process of its own, because gguf and numpy
stay in memory once they are imported (about 60 MB) and the gateway has no other use for them. It prints one integer a
line, the percentage done.

Knows tensors and block formats. Does not know where files come from or which quantisation is best (weights.py does).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import gguf

Type = gguf.GGMLQuantizationType  # its members are the block formats

FILE_TYPES = {"Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0, "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}
"""What can be written, and the file type that says so in the header."""

SLOW = frozenset((Type.Q4_1, Type.Q5_0, Type.Q5_1))
"""Block formats for which llama.cpp has no fast kernel on a CPU; all other tensors are copied as they are."""


def requantise(source: Path, target: Path, name: str) -> None:
    """Write `source` to `target` with its slow tensors as `name` (a key of FILE_TYPES).

    The target appears under its name only when it is complete. Raises ValueError for an unknown `name`, OSError where
    the disk refuses.
    """
    if name not in FILE_TYPES:
        raise ValueError(f"can write {', '.join(FILE_TYPES)}, not {name}")
    partial = target.with_name(f"{target.name}.partial")
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(partial, arch=str(reader.fields["general.architecture"].contents()))
    _copy_header(reader, writer, int(FILE_TYPES[name]))
    _copy_tensors(reader, writer, gguf.GGMLQuantizationType[name])
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(target)


def _copy_header(reader: gguf.GGUFReader, writer: gguf.GGUFWriter, file_type: int) -> None:
    """Every field but the ones that the writer sets itself; the file type is the new one."""
    for field in reader.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        value = file_type if field.name == "general.file_type" else field.contents()
        writer.add_key_value(field.name, value, kind, sub_type=inner)


def _copy_tensors(reader: gguf.GGUFReader, writer: gguf.GGUFWriter, wanted: gguf.GGMLQuantizationType) -> None:
    """One tensor in memory at a time: sizes are known beforehand, the data follow the header."""
    for tensor in reader.tensors:
        kind = wanted if tensor.tensor_type in SLOW else tensor.tensor_type
        shape, size = tensor.data.shape, tensor.n_bytes
        if kind != tensor.tensor_type:
            rows = tuple(int(n) for n in reversed(tensor.shape))
            shape = gguf.quant_shape_to_byte_shape(rows, kind)
            size = _product(shape)
        writer.add_tensor_info(tensor.name, shape, tensor.data.dtype, size, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    done, total = 0, sum(int(t.n_bytes) for t in reader.tensors)
    for tensor in reader.tensors:
        data = tensor.data
        if tensor.tensor_type in SLOW:
            data = gguf.quantize(gguf.dequantize(data, tensor.tensor_type), wanted)
        writer.write_tensor_data(data)
        done += int(tensor.n_bytes)
        sys.stdout.write(f"{100 * done // total}\n")
        sys.stdout.flush()
    writer.close()


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


if __name__ == "__main__":
    requantise(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
