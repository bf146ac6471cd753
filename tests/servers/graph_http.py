"""The HTTPS side of the Graph double: reads requests, has them carried out, sends the answers, with faults."""

import contextlib
import io
import socket
import ssl
import traceback
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, cast

from tests.servers.graph_faults import Fault
from tests.servers.graph_schema import Answer

if TYPE_CHECKING:
    from tests.servers.graph import GraphFake
    from tests.servers.graph_running import Running

_PIECE = 65536
_KNOWN = frozenset(status.value for status in HTTPStatus)


class GraphServer(ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1; a thread for each connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, fake: "GraphFake", context: ssl.SSLContext) -> None:
        self.fake = fake
        self.connections: list[socket.socket] = []
        self._context = context
        super().__init__(("127.0.0.1", 0), Connection)

    def get_request(self) -> tuple[socket.socket, object]:
        sock, address = super().get_request()
        # The handshake waits for the connection's own thread: a client that is slow in it must not hold up the rest.
        wrapped = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self.connections.append(wrapped)
        return wrapped, address

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        for sock in self.connections:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """What goes wrong while a request is carried out is a mistake of the double: the test fails."""
        self.fake.faults.append(f"the double failed: {traceback.format_exc()}")


class _Whole(io.BufferedReader):
    """A request that ends in the middle is none: the standard library carries out whatever came of it."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n") and len(line) != size:
            raise ConnectionResetError("ended")
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if size and len(data) < size:
            raise ConnectionResetError("ended in a body")
        return data


class Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: GraphServer

    def setup(self) -> None:
        super().setup()
        self.rfile = _Whole(cast(io.BufferedReader, self.rfile).detach())

    def handle(self) -> None:
        # A client that goes away or does not trust us is no mistake of the double.
        with contextlib.suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """The base class asks for this where a request is none, or its method is unknown."""
        self.server.fake.faults.append(f"{getattr(self, 'command', '')} {getattr(self, 'path', '')}: {code} {message}")
        super().send_error(code, message, explain)

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "Transfer-Encoding" in self.headers:
            self._skip_chunks()
        running = self.server.fake.begin(self.command, self.path, headers=self.headers, body=body)
        try:
            self._carry_out(running, running.fault)
        finally:
            running.done()

    def do_POST(self) -> None:
        self.do_GET()

    def do_PATCH(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def _skip_chunks(self) -> None:
        while size := int(self.rfile.readline(), 16):
            self.rfile.read(size + 2)
        self.rfile.readline()

    def _carry_out(self, running: "Running", fault: Fault | None) -> None:
        if fault is None:
            return self._send(running.answer(), running)
        if fault.hold:
            fault.release.wait()
        if fault.dropped:
            return self._cut()
        answer = running.answer(instead=fault.answer)
        if fault.lost:
            return self._cut()
        self._send(answer, running, fault)

    def _send(self, answer: Answer, running: "Running", fault: Fault | None = None) -> None:
        chunked = answer.chunked if fault is None or fault.chunked is None else fault.chunked
        self._write(_head(answer, chunked=chunked))
        body = memoryview(answer.body)
        if fault and fault.cut is not None:
            self._pieces(body[: fault.cut], chunked=chunked)
            return self._cut()
        if fault and fault.endless:
            self._pieces(body, chunked=True)
            while True:  # ends when the client goes away
                self._pieces(memoryview(fault.endless), chunked=True)
        if fault and fault.stall is not None:
            body = self._stall(body, fault.stall, fault, chunked=chunked)
        # The client may ask for more as soon as it has the last byte: the request is over just before.
        if chunked:
            self._pieces(body, chunked=True)
            running.done()
            self._write(b"0\r\n\r\n")
        else:
            self._pieces(body[:-1], chunked=False)
            running.done()
            self._write(body[-1:])

    def _stall(self, body: memoryview, after: int, fault: Fault, *, chunked: bool) -> memoryview:
        """Stalls inside of a chunk, as all of the body is one; returns what is still to be sent."""
        if chunked and body:
            self._write(b"%x\r\n" % len(body))
        self._write(body[:after])
        fault.release.wait()
        if not chunked or not body:
            return body[after:]
        self._write(body[after:])
        self._write(b"\r\n")
        return body[:0]

    def _pieces(self, body: memoryview, *, chunked: bool) -> None:
        for at in range(0, len(body), _PIECE):
            piece = body[at : at + _PIECE]
            self._write(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)) if chunked else piece)

    def _write(self, data: bytes | memoryview) -> None:
        self.wfile.write(data)
        with self.server.fake.lock:
            self.server.fake.bytes_sent += len(data)

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _head(answer: Answer, *, chunked: bool) -> bytes:
    status = HTTPStatus(answer.status) if answer.status in _KNOWN else None
    lines = [
        f"HTTP/1.1 {answer.status} {status.phrase if status else 'Unknown'}",
        "request-id: 6f3c9a0e-6d0c-4e5b-9b53-5a8d6c1b7e11",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
    ]
    if answer.status != HTTPStatus.NO_CONTENT:
        lines += [f"Content-Type: {answer.kind}"]
        lines += ["Transfer-Encoding: chunked"] if chunked else [f"Content-Length: {len(answer.body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
