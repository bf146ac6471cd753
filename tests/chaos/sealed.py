"""TLS for a proxy that reads in one thread and writes in another, which one `ssl.SSLSocket` does not allow for."""

import contextlib
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import Protocol

from tests.servers.certs import Certificates

_PIECE = 262_144


class Wire(Protocol):
    """What a proxy needs of a socket."""

    def recv(self, size: int, /) -> bytes: ...

    def sendall(self, data: bytes, /) -> None: ...

    def shutdown(self, how: int, /) -> None: ...

    def close(self) -> None: ...


class Sealed:
    """A socket with TLS on it. One thread may read while others write."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, host: str) -> None:
        """Shakes hands.

        Args:
            sock: Connected.
            context: Of a server or a client.
            host: Of the server, for a client.

        Raises:
            OSError: the other side does not want to.
        """
        self._sock = sock
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.protocol is ssl.PROTOCOL_TLS_SERVER
        self._tls = context.wrap_bio(
            self._came, self._goes, server_side=server, server_hostname=None if server else host
        )
        self._lock = threading.Lock()
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                self._tls.do_handshake()
                self._sock.sendall(self._goes.read())
                return
            self._sock.sendall(self._goes.read())
            if not (data := self._sock.recv(_PIECE)):
                raise OSError("ended while shaking hands")
            self._came.write(data)

    def recv(self, size: int, /) -> bytes:
        """What came; empty: the end."""
        while True:
            with self._lock, contextlib.suppress(ssl.SSLWantReadError):
                try:
                    return self._tls.read(size)
                except ssl.SSLZeroReturnError:
                    return b""
            if not (data := self._sock.recv(_PIECE)):
                return b""
            with self._lock:
                self._came.write(data)

    def sendall(self, data: bytes, /) -> None:
        rest = memoryview(data)
        with self._lock:
            while rest:
                rest = rest[self._tls.write(rest) :]
            self._sock.sendall(self._goes.read())

    def shutdown(self, how: int, /) -> None:
        self._sock.shutdown(how)

    def close(self) -> None:
        self._sock.close()


@dataclass(frozen=True, kw_only=True)
class Seal:
    """TLS on both sides of a proxy, which can read what passes.

    Attributes:
        certificates: The proxy shows what the server shows.
        host: As whom it knows the server.
    """

    certificates: Certificates
    host: str

    def to_client(self, sock: socket.socket) -> Wire:
        """The side of the client."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificates.certificate("server"), self.certificates.key("server"))
        return Sealed(sock, context, host="")

    def to_server(self, sock: socket.socket) -> Wire:
        """The side of the server."""
        context = ssl.create_default_context(cafile=str(self.certificates.ca))
        return Sealed(sock, context, host=self.host)
