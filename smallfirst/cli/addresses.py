"""Addresses in the config: their shape, and whether they stay on this machine or in the house.

Knows the look of hosts and URLs. Looks nothing up, and never puts a URL into a message: it may hold a secret.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

PRIVATE_SUFFIXES = (
    ".internal", ".local", ".localhost", ".localdomain", ".lan", ".home", ".home.arpa", ".corp", ".intranet",
    ".private", ".svc", ".test",
)  # fmt: skip


def host_and_port(text: str) -> tuple[str, int] | None:
    """`127.0.0.1:4000`, `[::1]:4000` or `box:4000` in two; None where it has another shape. Port 0: any free one."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        return None
    return (host, int(port)) if ":" not in host or _is_address(host) else None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def url_problem(url: str) -> str | None:
    """What is wrong with a provider's URL, or None."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or any(letter.isspace() for letter in url):
        return "must begin with http:// or https:// and a host, such as http://127.0.0.1:8000/v1"
    faults = (
        (parts.username or parts.password, "holds a user or a password; put the secret into `key`"),
        (parts.query or parts.fragment, "must end with its path; what follows `?` or `#` is not sent"),
        (parts.path.rstrip("/").endswith("/chat/completions"), "must be the base, without /chat/completions"),
    )
    return next((words for wrong, words in faults if wrong), None)


def looks_public(url: str) -> bool:
    """Whether the host looks like one on the open internet: a public address, or a full name of no private kind."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if _is_address(host):
        return ip_address(host).is_global
    return "." in host and not host.endswith(PRIVATE_SUFFIXES)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
