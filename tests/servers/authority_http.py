"""The HTTP side of the double of the authorities: reads a request strictly, and breaks answers when told to."""

import base64
import contextlib
import http.server
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable
from typing import Any

from tests.servers.authority_errors import Answer
from tests.servers.authority_model import Call

Respond = Callable[[Call], Answer | str]
"""The answer, or the name of a connection fault."""

_LONGEST = 256 * 1024


class Server(http.server.ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1 until `close`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, respond: Respond, fault: Callable[[str], None], context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.respond, self.fault, self._context = respond, fault, context
        self.closing = threading.Event()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self.serve_forever, daemon=True, kwargs={"poll_interval": 0.05}).start()

    def get_request(self) -> tuple[socket.socket, Any]:
        sock, address = super().get_request()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context:  # the handshake happens in the connection's own thread, at its first read
            sock = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._open.add(sock)
        return sock, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust the certificate, or that is gone, is no error of the server."""

    def cut_all(self) -> None:
        """Ends every connection."""
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()
        self.cut_all()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests hold secrets."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > _LONGEST:
            self.server.fault(f"{self.command} {self._url.path}: Content-Length {length!r}")
            self.close_connection = True
            return
        body = self.rfile.read(int(length))
        if self.command == "GET" and body:
            self.server.fault(f"GET {self._url.path} with a body")
        call = Call(
            method=self.command,
            host=self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", ""),
            path=self._url.path,
            query=self._pairs(self._url.query, "query"),
            form=self._form(body),
            headers={name.lower(): value for name, value in self.headers.items()},
        )
        try:
            answer = self.server.respond(call)
        except Exception as e:
            self.server.fault(f"the double failed at {self.command} {self._url.path}: {e!r}")
            answer = Answer(status=500)
        if isinstance(answer, str):
            self._break(answer)
        else:
            self._send(answer)

    @property
    def _url(self) -> urllib.parse.SplitResult:
        return urllib.parse.urlsplit(self.path)

    def _form(self, body: bytes) -> dict[str, str]:
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if body and kind != "application/x-www-form-urlencoded":
            self.server.fault(f"{self._url.path}: a form of type {kind!r}")
        return self._pairs(body.decode("utf-8", "replace"), "form")

    def _pairs(self, text: str, what: str) -> dict[str, str]:
        pairs = urllib.parse.parse_qsl(text, keep_blank_values=True)
        names = [name for name, _ in pairs]
        if twice := {name for name in names if names.count(name) > 1}:
            self.server.fault(f"{self._url.path}: {sorted(twice)} more than once in the {what}")
        return dict(pairs)

    def _break(self, fault: str) -> None:
        if fault == "trickle":
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not self.server.closing.wait(0.05):
                    self.wfile.write(b" ")
        if fault == "silence":
            self.connection.settimeout(0.1)
            while not self.server.closing.is_set():
                try:
                    if not self.connection.recv(1):
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
        self.close_connection = True
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        self.end_headers()
        self.wfile.write(answer.body)
        if answer.length is not None:
            self._break("cut")


def basic(call: Call) -> tuple[str, str] | None:
    """User and password of HTTP Basic authentication, decoded as RFC 6749 §2.3.1 wants."""
    kind, _, value = call.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    user, _, password = base64.b64decode(value).decode().partition(":")
    return urllib.parse.unquote_plus(user), urllib.parse.unquote_plus(password)


def page(text: str, *, status: int = 200) -> Answer:
    """What a person sees."""
    body = f"<!DOCTYPE html><html><body><p>{text}</p></body></html>".encode()
    return Answer(status=status, body=body, headers={"Content-Type": "text/html; charset=utf-8"})


def redirect(to: str, parameters: dict[str, str]) -> Answer:
    """Sends the browser on."""
    separator = "&" if urllib.parse.urlsplit(to).query else "?"
    return Answer(status=302, headers={"Location": f"{to}{separator}{urllib.parse.urlencode(parameters)}"})
