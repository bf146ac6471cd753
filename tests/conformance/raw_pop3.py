"""Another mail program over POP3: for looking and removing, with nothing of the product in it.

Bytes are taken from the socket as they are: no limit of lines, nothing decoded.
"""

import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence

from tests.conformance.raw_imap import TIMEOUT, Held


class Pop3:
    """One session after the login."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._left = b""

    def command(self, line: bytes) -> bytes:
        """Sends a line; its answer must be +OK."""
        self._sock.sendall(line + b"\r\n")
        return self.answer(line)

    def answer(self, what: bytes = b"connecting") -> bytes:
        """The next line, which must be +OK."""
        line = self._until(b"\r\n")
        if not line.startswith(b"+OK"):
            raise RuntimeError(f"{what!r} was answered {line!r}")
        return line

    def lines(self, line: bytes) -> bytes:
        """The answer of several lines, without the dot at its end and with dots unstuffed."""
        self.command(line)
        if self._peek(3) == b".\r\n":
            self._until(b".\r\n")
            return b""
        body = self._until(b"\r\n.\r\n").removesuffix(b".\r\n")
        return (b"\r\n" + body).replace(b"\r\n..", b"\r\n.")[2:]

    def _peek(self, count: int) -> bytes:
        while len(self._left) < count:
            self._receive()
        return self._left[:count]

    def _until(self, mark: bytes) -> bytes:
        pieces, seen = [self._left], self._left
        while mark not in seen:
            self._left = b""
            self._receive()
            pieces.append(self._left)
            seen = seen[-len(mark) :] + self._left
        whole = b"".join(pieces)
        end = whole.index(mark) + len(mark)
        self._left = whole[end:]
        return whole[:end]

    def _receive(self) -> None:
        data = self._sock.recv(1 << 20)
        if not data:
            raise RuntimeError(f"the server closed the connection after {self._left[-200:]!r}")
        self._left += data


@contextlib.contextmanager
def login(*, port: int, context: ssl.SSLContext | None, user: str, password: str) -> Iterator[Pop3]:
    """A session; with TLS if there is a context. It ends with QUIT."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    with context.wrap_socket(sock, server_hostname="127.0.0.1") if context else sock as wrapped:
        pop3 = Pop3(wrapped)
        pop3.answer()
        with contextlib.suppress(RuntimeError):
            pop3.command(b"UTF8")  # RFC 6856: without it Courier gives out something else where headers have 8 bits
        pop3.command(b"USER " + user.encode())
        pop3.command(b"PASS " + password.encode())
        yield pop3
        pop3.command(b"QUIT")


def read(pop3: Pop3) -> list[Held]:
    """All mails in the order of the server."""
    numbers = [int(line.split()[0]) for line in pop3.lines(b"LIST").splitlines()]
    return [Held(uid=n, raw=pop3.lines(b"RETR %d" % n)) for n in numbers]


def remove(pop3: Pop3, numbers: Sequence[int]) -> None:
    """Removes mails, once the session ends."""
    for n in numbers:
        pop3.command(b"DELE %d" % n)
