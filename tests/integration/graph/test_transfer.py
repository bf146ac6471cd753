"""How a body travels: what is not taken apart on the way must not be taken for the mail."""

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailfetch_fetcher import logs
from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.graph_http import GraphHttp
from mailfetch_fetcher.sources.graph_settings import GraphSettings
from tests.servers.certs import make_certificates
from tests.servers.resolve import CERTIFICATE_NAMES, resolve
from tests.unit.auth.test_https import silent_addresses

MAIL = b"Subject: a\r\n\r\nb\r\n"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(MAIL), MAIL)


class _Bearer:
    def token(self, *, refused: str = "", claims: str = "") -> str:
        return "token"


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What the fetcher writes into its log."""
    root, library = logging.getLogger(), logging.getLogger("urllib3")
    before = root.handlers[:], root.level, library.level
    logs.set_up()
    yield lambda: capsys.readouterr().err
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    library.setLevel(before[2])


def _download(folder: Path, headers: str, body: bytes) -> bytes:
    certificates = make_certificates(folder, hosts=CERTIFICATE_NAMES)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with context.wrap_socket(listener.accept()[0], server_side=True) as sock:
                sock.recv(65536)
                sock.sendall(f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + body)

        server = threading.Thread(target=serve)
        server.start()
        try:
            settings = GraphSettings(
                host="graph.microsoft.com", mailbox="u", base="/v1.0/users/u", ca=certificates.ca.read_bytes()
            )
            with resolve({("graph.microsoft.com", 443): listener.getsockname()[1]}):
                http = GraphHttp(settings, bearer=_Bearer(), alive=lambda: None)
                with http.download("/v1.0/users/u/messages/x/$value") as (pieces, _):
                    return b"".join(pieces)
        finally:
            server.join()


@pytest.mark.parametrize("headers", ["Transfer-Encoding: chunked", f"Content-Length: {len(MAIL)}"])
def test_a_body_that_is_taken_apart(tmp_path: Path, headers: str) -> None:
    assert _download(tmp_path, headers, CHUNKED if "chunked" in headers else MAIL) == MAIL


@pytest.mark.parametrize("headers", ["Transfer-Encoding: identity, chunked", "Transfer-Encoding: gzip, chunked"])
def test_a_body_in_a_form_that_nobody_asked_for(tmp_path: Path, headers: str) -> None:
    with pytest.raises(SourceError, match=r"Transfer-Encoding"):
        _download(tmp_path, headers, CHUNKED)


def test_headers_that_are_cut_are_told_without_addresses(tmp_path: Path, logged: Callable[[], str]) -> None:
    with pytest.raises(SourceError, match="does not tell where a mail ends"):
        _download(tmp_path, "Date: x\r\nContent-Le", b"")
    assert logged() == ""


@pytest.mark.timeout(120)  # each address would have the two seconds for itself
def test_all_addresses_of_graph_share_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = GraphSettings(host="graph.microsoft.com", mailbox="u", base="/v1.0/users/u", ca=None, timeout=2.0)
    with silent_addresses(monkeypatch, 1000), pytest.raises(SourceError, match="it was silent for too long"):
        GraphHttp(settings, bearer=_Bearer(), alive=lambda: None).get("/v1.0/users/u")
