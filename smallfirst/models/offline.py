"""No way out: in an offline process nothing but loopback can be reached, whoever tries.

Knows Python's audit hooks (PEP 578), which see every connection and name look-up that goes through Python's sockets, in
any library and thread. Does not know who would have connected, or why. A hook can't be taken away again, which is the
point. What opens sockets in C is not seen: uvloop (so an offline gateway runs on asyncio's own loop), libpq (so its
address is checked beforehand), and child processes (the embedded runtime listens on loopback and connects to nobody).
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Mapping
from typing import Any

from smallfirst.errors import SetupError

_SENDING = frozenset(("socket.connect", "socket.sendto", "socket.sendmsg"))
_NAMING = frozenset(("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"))
_LOCAL_NAMES = frozenset(("localhost", "ip6-localhost", ""))

_state = {"offline": False}


class Offline(ConnectionRefusedError):
    """Something beyond loopback was asked for while offline."""


def go_offline() -> None:
    """From now on, for the life of this process: every socket beyond loopback raises Offline before it opens."""
    if not _state["offline"]:
        _state["offline"] = True
        sys.addaudithook(_hook)


def is_offline() -> bool:
    return _state["offline"]


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event in _SENDING:
        address = args[1] if len(args) > 1 else None
        if address is not None and not is_local(address):
            raise Offline(f"offline: refused to reach {_shown(address)}")
    elif event in _NAMING and not _is_local_host(args[0]):
        raise Offline(f"offline: refused to look up {str(args[0])[:100]}")


def is_local(address: object) -> bool:
    """Whether a socket's address is on this machine: a Unix socket, or a loopback IP. Names are not looked up."""
    if isinstance(address, (str, bytes)):
        return True  # a Unix socket
    if not isinstance(address, tuple) or not address:
        return False
    return _is_local_host(address[0])


def _is_local_host(host: object) -> bool:
    if host is None:
        return True
    name = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else str(host)
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback or name in ("0.0.0.0", "::")  # noqa: S104
    except ValueError:
        return name.lower() in _LOCAL_NAMES


def refuse_remote(hosts: Mapping[str, str | None]) -> None:
    """`hosts`: what uses one -> its host. Raises SetupError that names everything an offline process can't reach."""
    remote = sorted(name for name, host in hosts.items() if not _is_local_host(host))
    if remote:
        raise SetupError(f"offline: {', '.join(remote)} would need the network; leave out of the config what is remote")


def _shown(address: object) -> str:
    return str(address[0])[:100] if isinstance(address, tuple) and address else type(address).__name__
