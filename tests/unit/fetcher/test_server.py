"""The HTTP port under bad and many clients."""

import http.client
import socket
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from urllib.parse import quote

import pytest

from mailfetch_fetcher import server as http_server
from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract import report as contract
from mailfetch_fetcher.contract.report import ConnectionReport
from mailfetch_fetcher.report import ReportHub
from mailfetch_fetcher.server import serve


@pytest.fixture
def hub() -> ReportHub:
    return ReportHub(fetcher="pod", monotonic=Clock().monotonic)


@pytest.fixture
def server(hub: ReportHub) -> Iterator[ThreadingHTTPServer]:
    running = serve(hub=hub, healthy=lambda: "", host="127.0.0.1", port=0)
    yield running
    running.shutdown()
    running.server_close()


def get(server: ThreadingHTTPServer, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def raw(server: ThreadingHTTPServer, path: str) -> bytes:
    """What no well-behaved client sends."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"))
        return sock.recv(4096)


@pytest.mark.parametrize("wait", ["nan", "-1", "x", "", "-inf", "1e", quote("1;2")])
def test_a_bad_wait_is_refused_at_once(server: ThreadingHTTPServer, wait: str) -> None:
    assert get(server, f"/report?wait=1&wait={wait}")[0] in (200, 400)
    assert get(server, f"/report?since=&wait={wait}")[0] == (400 if wait else 200)


def test_strange_paths_are_answered(server: ThreadingHTTPServer) -> None:
    assert raw(server, "http://[/report").startswith(b"HTTP/1.1 400 ")
    assert raw(server, "\xff\x01").startswith(b"HTTP/1.1 404 ")
    assert get(server, "/report?" + "&".join(f"a{n}=1" for n in range(100)))[0] == 400
    assert get(server, "/secrets")[0] == 404
    assert get(server, "/metrics")[0] == 200
    assert get(server, "/healthz") == (200, b"ok\n")


def test_a_long_poll_ends_with_the_change(server: ThreadingHTTPServer, hub: ReportHub) -> None:
    hub.put("a", ConnectionReport(uid="u", generation=1, fingerprint="f", phase="Starting"))
    revision = contract.decode(get(server, "/report")[1]).revision
    threading.Timer(0.1, lambda: hub.update("a", phase="Listening")).start()
    found = contract.decode(get(server, f"/report?since={revision}&wait=30")[1])
    assert found.connections["a"].phase == "Listening"


def test_one_client_cannot_take_all_places(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_EACH", 4)
    silent = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(4)]
    end = threading.Event()
    while not end.wait(0.01) and sum(server._taken.values()) < 4:  # type: ignore[attr-defined]
        pass
    refused = socket.create_connection(("127.0.0.1", server.server_port))
    refused.settimeout(30)
    assert refused.recv(1) == b""  # closed without a thread
    for sock in silent:
        sock.close()
    while not end.wait(0.01) and server._taken:  # type: ignore[attr-defined]
        pass
    assert get(server, "/healthz")[0] == 200


def test_a_client_that_goes_away_in_a_long_poll_makes_no_noise(
    server: ThreadingHTTPServer, hub: ReportHub, capfd: pytest.CaptureFixture[str]
) -> None:
    revision = contract.decode(get(server, "/report")[1]).revision
    sock = socket.create_connection(("127.0.0.1", server.server_port))
    sock.sendall(f"GET /report?since={revision}&wait=50 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    while not server._taken:  # type: ignore[attr-defined]
        pass
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset instead of an orderly end
    sock.close()
    hub.put("a", ConnectionReport(uid="u", generation=1, fingerprint="f", phase="Starting"))
    hub.put("b", ConnectionReport(uid="u", generation=1, fingerprint="f", phase="Starting"))
    while server._taken:  # type: ignore[attr-defined]
        pass
    assert "Traceback" not in capfd.readouterr().err
