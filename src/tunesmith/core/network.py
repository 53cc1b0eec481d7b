"""A process without a network: whoever asks for another machine, a library included, gets an error instead.

The interpreter tells a hook of every connection and every look-up of a name before it is made (PEP 578). Addresses of
this very machine are let through. Code that goes around Python's sockets is not seen: the libraries that have such code
are told to stay offline by their own variables.
"""

import ipaddress
import os
import sys
from typing import Any

from tunesmith.core.errors import UserError

VARIABLE = "TUNESMITH_NETWORK"
"""`off` in the environment of the processes that a shut process starts."""
_BY_ADDRESS = ("socket.connect", "socket.sendto", "socket.sendmsg")
_BY_NAME = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")

_state = {"installed": False, "shut": False}


def shut() -> None:
    """From now on no connection leaves this machine, in this process and in those of ours that it starts."""
    os.environ[VARIABLE] = "off"
    _state["shut"] = True
    if not _state["installed"]:  # a hook stays for ever: what it does is switched
        sys.addaudithook(_refuse)
        _state["installed"] = True


def inherit() -> None:
    """`shut` when the process that started this one is. Every module that is run as a process begins with it."""
    if os.environ.get(VARIABLE) == "off":
        shut()


def allow() -> None:
    """Let connections through: the user asked for a download."""
    os.environ.pop(VARIABLE, None)
    _state["shut"] = False


def is_shut() -> bool:
    return _state["shut"]


def _refuse(event: str, given: tuple[Any, ...]) -> None:
    if not _state["shut"] or not event.startswith("socket."):
        return
    host: object = None
    if event in _BY_ADDRESS:
        address = given[1]
        host = address[0] if isinstance(address, tuple) and address else None  # a path: a socket of this machine
    elif event in _BY_NAME:
        host = given[0]
    if host is not None and not _is_here(host):
        raise UserError(
            f"the network is off, and something asked for {_named(host)}; "
            "`tunesmith bases --get NAME` downloads, and so does a recipe with allow_download: true"
        )


def _named(host: object) -> str:
    return host.decode(errors="replace") if isinstance(host, bytes) else str(host)


def _is_here(host: object) -> bool:
    name = _named(host)
    if name in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
