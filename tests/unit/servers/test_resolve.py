"""Names of mail providers lead to the loopback, in this process and in children, and never out of the machine."""

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import urllib3.util.connection

from mailfetch_fetcher.sources.transport import reach_server
from mailfetch_fetcher.sources.transport_errors import Server
from tests.servers.inject.sitecustomize import redirected
from tests.servers.resolve import child_environment, resolve

NAME = "graph.microsoft.com"


@pytest.fixture
def port() -> Iterator[int]:
    """Of somebody who listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def our_sources() -> None:
    server = SimpleNamespace(host=NAME, port=443, encryption="None", timeout=60)
    reach_server(cast(Server, server), context=None, observe=lambda _, text: None, reach=lambda _: None).close()


def http_client() -> None:
    connection = http.client.HTTPConnection(NAME, 443, timeout=60)
    connection.connect()
    connection.close()


def urllib3_and_requests() -> None:
    urllib3.util.connection.create_connection((NAME, 443), timeout=60).close()


def with_odd_spelling() -> None:
    socket.create_connection(("GRAPH.microsoft.com.", 443), timeout=60).close()


@pytest.mark.parametrize("connect", [our_sources, http_client, urllib3_and_requests, with_odd_spelling])
def test_whoever_opens_a_connection_is_led_to_the_loopback(connect: Callable[[], None], port: int) -> None:
    with resolve({(NAME, 443): port}):
        connect()


@pytest.mark.parametrize("name", [(NAME, 80), ("login.live.com", 443), ("imap.gmail.com", 993), ("google.com", 443)])
def test_providers_that_are_not_given_do_not_exist(name: tuple[str, int], port: int) -> None:
    with resolve({(NAME, 443): port}), pytest.raises(socket.gaierror, match="in tests"):
        socket.getaddrinfo(*name)


def test_other_names_are_looked_up_as_ever(port: int) -> None:
    real = socket.getaddrinfo
    with resolve({(NAME, 443): port}):
        assert socket.getaddrinfo("localhost", port) == real("localhost", port)
        assert socket.getaddrinfo(None, port) == real(None, port)
    assert socket.getaddrinfo is real
    assert redirected(lambda host, *_: host, {})("notgmail.com", 993) == "notgmail.com"


def test_contexts_nest(port: int) -> None:
    with resolve({(NAME, 443): 1, ("imap.gmail.com", 993): port}):
        with resolve({(NAME, 443): port}):
            assert socket.getaddrinfo(NAME, 443)[0][4][1] == port
            assert socket.getaddrinfo("imap.gmail.com", 993)[0][4][1] == port
        assert socket.getaddrinfo(NAME, 443)[0][4][1] == 1


def child(environment: dict[str, str]) -> str:
    code = f"import socket; print(socket.getaddrinfo({NAME!r}, 443)[0][4]); socket.getaddrinfo('imap.gmail.com', 993)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "in tests" in done.stderr, done.stderr
    return done.stdout


def test_children_resolve_likewise(port: int) -> None:
    assert child(child_environment({(NAME, 443): port})) == f"('127.0.0.1', {port})\n"


def test_another_sitecustomize_keeps_its_effect(port: int, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('the other')\n")
    before = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert child(child_environment({(NAME, 443): port}, before)) == f"the other\n('127.0.0.1', {port})\n"
