"""A shut process reaches no other machine, and its own one as before."""

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from tunesmith.core import network
from tunesmith.core.errors import UserError

ELSEWHERE = "192.0.2.1"  # an address that RFC 5737 keeps free for documents


@pytest.fixture(autouse=True)
def shut() -> Iterator[None]:
    was = network.is_shut()
    network.shut()
    yield
    if not was:
        network.allow()


def _datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", (ELSEWHERE, 9))


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: socket.create_connection((ELSEWHERE, 9), timeout=1),
        lambda: socket.getaddrinfo("example.org", 443),
        lambda: socket.gethostbyname("example.org"),
        lambda: urllib.request.urlopen("http://example.org/", timeout=1),
        lambda: socket.create_connection(("2001:db8::1", 9), timeout=1),
        _datagram,
    ],
)
def test_nothing_leaves(attempt: Callable[[], object]) -> None:
    with pytest.raises(UserError, match=r"the network is off.*bases --get"):
        attempt()


def test_this_machine_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
        socket.getaddrinfo("localhost", server.getsockname()[1])


def test_what_was_asked_for_is_let_through() -> None:
    network.allow()
    assert not network.is_shut() and network.VARIABLE not in os.environ
    with pytest.raises(OSError):  # by the system, not by us: there is no such machine
        socket.create_connection((ELSEWHERE, 9), timeout=0.01)


def test_processes_that_we_start_are_shut_too() -> None:
    code = "import socket; from tunesmith.core.network import inherit; inherit(); socket.gethostbyname('example.org')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "the network is off" in done.stderr
