"""Requests that end, however a server plays for time; and Retry-After in both forms."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime

import pytest
import requests

from mailfetch_fetcher.https import new_session, pieces, retry_after, send
from tests.servers.certs import Certificates, make_certificates

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEADLINE = 60.0
BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@contextmanager
def trickling(certificates: Certificates, head: bytes, *, once_more: bytes = b" ") -> Iterator[int]:
    """A server that sends this, and then a byte now and then without end; gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
    over = threading.Event()

    def serve(sock: socket.socket) -> None:
        with closing(sock) as found, suppress(OSError):
            wrapped = context.wrap_socket(found, server_side=True)
            wrapped.recv(65536)
            wrapped.sendall(head)
            while not over.wait(0.01):
                wrapped.sendall(once_more)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        over.set()
        listener.shutdown(socket.SHUT_RDWR)


def ended(certificates: Certificates, port: int, *, timeout: float) -> Exception:
    """How a request fails."""
    failed: list[Exception] = []

    def ask() -> None:
        with new_session(ca=certificates.ca.read_bytes()) as session:
            try:
                send(session, "GET", f"https://localhost:{port}/", timeout=timeout)
            except requests.RequestException as e:
                failed.append(e)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert failed, "it has not ended"
    return failed[0]


@pytest.mark.parametrize(
    ("head", "once_more"),
    [(b"HTTP/1.1 20", b"0"), (b"HTTP/1.1 200 OK\r\nX: ", b"x"), (BODY, b" "), (CHUNKED, b"1\r\n \r\n")],
    ids=["status", "header", "body", "chunks"],
)
def test_a_server_that_trickles_runs_into_the_deadline(
    certificates: Certificates, head: bytes, once_more: bytes
) -> None:
    with trickling(certificates, head, once_more=once_more) as port:
        assert isinstance(ended(certificates, port, timeout=0.5), requests.Timeout)


@contextmanager
def silent_addresses(monkeypatch: pytest.MonkeyPatch, count: int) -> Iterator[int]:
    """A port; every host has so many addresses there, and none answers, as behind a firewall that drops packets."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for sock in waiting:  # once the queue is full, the kernel drops what comes
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        there = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: count * there)
        yield port
        for sock in waiting:
            sock.close()


def test_all_addresses_of_a_host_share_the_time(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_addresses(monkeypatch, 100) as port:
        assert isinstance(ended(certificates, port, timeout=2.0), requests.Timeout)


@pytest.mark.parametrize(("head", "once_more"), [(BODY, b" "), (CHUNKED, b"1\r\n \r\n")], ids=["length", "chunks"])
def test_a_piece_comes_as_soon_as_it_is_there(certificates: Certificates, head: bytes, once_more: bytes) -> None:
    with (
        trickling(certificates, head, once_more=once_more) as port,
        new_session(ca=certificates.ca.read_bytes()) as session,
        session.get(f"https://localhost:{port}/", timeout=DEADLINE, stream=True) as reply,
    ):
        assert len(next(pieces(reply))) < 1000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60.0),
        ("Sun, 01 Mar 2026 13:01:00 +0100", 60.0),
        ("Sun, 01 Mar 2026 12:01:00 -0000", 60.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
    ],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    assert retry_after(text, now=NOW) == seconds
