"""Keys in envelopes: the master key wraps a key for each tenant, a tenant's key wraps one for each request, and that
one seals the request's content. Whoever destroys a wrapped key destroys all that is sealed under it.

Knows AES-256-GCM (NIST SP 800-38D; the package `cryptography`, extra `audit`), 96-bit random nonces, and that what is
sealed is bound to its place: a row that was moved does not open. Does not know tables.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from hashlib import sha256

import msgspec

from smallfirst.errors import LedgerError, SetupError

KEY_BYTES = 32
NONCE_BYTES = 12
HOW_TO_MAKE = "make one with `openssl rand -base64 32`, and keep a copy where the ledger is not"


class Lock:
    """One key, ready to seal and open."""

    def __init__(self, key: bytes) -> None:
        """Raises SetupError where the extra is not installed."""
        try:
            from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra, and only some need it
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - as above
        except ImportError:
            words = "ledger.content: encrypted needs the extra: pip install 'smallfirst[audit]'"
            raise SetupError(words) from None
        self._cipher, self._no_key = AESGCM(key), InvalidTag

    def seal(self, plain: bytes, place: str) -> tuple[bytes, bytes]:
        """(nonce, ciphertext with its tag) of `plain`, which opens at this place only."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce, self._cipher.encrypt(nonce, plain, place.encode())

    def open(self, nonce: bytes, sealed: bytes, place: str) -> bytes:
        """Raises LedgerError: another key, another place, or edited."""
        try:
            return self._cipher.decrypt(nonce, sealed, place.encode())
        except (self._no_key, ValueError):
            raise LedgerError(f"{place} can't be opened: it was edited, or sealed under another key") from None

    def wrap(self, key: bytes, place: str) -> bytes:
        """A key, sealed, with its nonce in front."""
        return b"".join(self.seal(key, place))

    def unwrap(self, wrapped: bytes, place: str) -> bytes:
        """Raises LedgerError as `open`."""
        return self.open(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], place)


class Master(msgspec.Struct, frozen=True):
    """The key that only the environment holds. `id` tells two of them apart and reveals neither."""

    id: str
    lock: Lock


def read_master(text: str | None) -> Master:
    """32 bytes in base64 or in hex. Raises LedgerError that says what is wrong; the key is in no message."""
    problem = master_problem(text)
    if problem is not None:
        raise LedgerError(f"ledger.master_key: {problem}")
    key = _decoded(text or "")
    return Master(sha256(b"smallfirst master key\0" + key).hexdigest()[:12], Lock(key))


def master_problem(text: str | None) -> str | None:
    """What is wrong with a master key as it is written; None: nothing."""
    if not (text or "").strip():
        return f"content is never kept without a key: write `master_key: ${{SF_MASTER_KEY}}`; {HOW_TO_MAKE}"
    try:
        size = len(_decoded(text or ""))
    except ValueError:
        return f"is neither base64 nor hex; {HOW_TO_MAKE}"
    return None if size == KEY_BYTES else f"holds {size} bytes, not {KEY_BYTES}; {HOW_TO_MAKE}"


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def _decoded(text: str) -> bytes:
    text = text.strip()
    if len(text) == 2 * KEY_BYTES:
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_" if set("-_") & set(text) else None,
                                validate=True)  # fmt: skip
    except binascii.Error as fault:
        raise ValueError(str(fault)) from None
