"""The bytes of an IMAP connection: lines and counted reads from a socket, with or without TLS.

Why not imaplib below imapclient: its buffer cannot be waited on together with a wake-up, its IDLE takes a dead
connection for a quiet one, it collects answers without bounds and holds every literal in memory. So
imapclient serves for names and lists (imap_folders.py), and the bytes are read here.

Everything that goes wrong ends in `SourceError`, after which the connection is dead for ever: an answer can be
lost, but never be taken for that of another command.
"""

import contextlib
import io
import select
import socket
import ssl
from typing import cast

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources import transport_errors

LONGEST_LINE = 16 << 20
"""Bytes: a list of two million UIDs fits."""
_BUFFER = 64 * 1024


class Channel:
    """One connection after TCP (and TLS) are up. Made and read by one thread; `shut` may come from any."""

    def __init__(self, sock: socket.socket, *, address: str, timeout: float) -> None:
        """Takes over a connected socket.

        Args:
            sock: The socket; the wire closes it.
            address: `host:port`, for messages.
            timeout: Seconds that the server may be silent.
        """
        self.address = address
        self._timeout = timeout
        self._dead = ""
        self._attach(sock)

    def _attach(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = cast(io.BufferedReader, sock.makefile("rb", buffering=_BUFFER))
        sock.settimeout(self._timeout)

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Goes on with TLS, after the server agreed to STARTTLS.

        Raises:
            SourceError: bytes that came unencrypted are waiting (an attacker's, or a server's that does not wait).
            OSError: the handshake failed.
        """
        if self._peek():
            raise self.broken(transport_errors.injected(self.address))
        self._file.detach()  # not close: the socket lives on inside the TLS socket
        self._attach(context.wrap_socket(self._sock, server_hostname=host.rstrip(".")))

    # ---- bytes ----

    @property
    def socket(self) -> socket.socket:
        """For `readable`; ask `buffered` before."""
        return self._sock

    def buffered(self) -> bool:
        """Bytes (or the end of the connection) can be read at once although select may not tell."""
        try:
            # Nothing to peek at means the end of a TLS connection; of a plain one, the end or just nothing.
            return bool(self._peek()) or isinstance(self._sock, ssl.SSLSocket) or readable(self._sock, seconds=0)
        except ssl.SSLWantReadError:
            return False
        except OSError:
            return True  # the next read tells why

    def _peek(self) -> bytes:
        """What came already: a look into the buffer; if that is empty, into the socket."""
        self._sock.settimeout(0)
        try:
            return self._file.peek(1)
        finally:
            self._sock.settimeout(self._timeout)

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        if self._dead:
            raise SourceError("ConnectionFailed", self._dead)
        try:
            self._sock.sendall(data)
        except OSError as e:
            raise self.broken(errors.cut(self.address, e)) from e

    def line(self) -> bytes:
        """One line without its end."""
        if self._dead:
            raise SourceError("ConnectionFailed", self._dead)
        try:
            line = self._file.readline(LONGEST_LINE)
        except TimeoutError as e:
            raise self.broken(errors.silent(self.address, self._timeout)) from e
        except (OSError, ValueError) as e:  # ValueError: closed from another thread
            raise self.broken(errors.cut(self.address, e)) from e
        if not line.endswith(b"\n"):
            why = "it sent a line without an end" if len(line) == LONGEST_LINE else "it closed the connection"
            raise self.broken(errors.cut(self.address, why))
        return line.rstrip(b"\r\n")

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        try:
            data = self._file.read(size)
        except TimeoutError as e:
            raise self.broken(errors.silent(self.address, self._timeout)) from e
        except (OSError, ValueError) as e:
            raise self.broken(errors.cut(self.address, e)) from e
        if len(data) != size:
            raise self.broken(errors.cut(self.address, "it closed the connection within a mail"))
        return data

    def shut(self) -> None:
        """Ends the connection from any thread; whoever reads gets an error. Its descriptor stays open."""
        self._dead = self._dead or f"the connection to {self.address} was closed"
        with contextlib.suppress(OSError):
            # Not SSLSocket.shutdown, which would turn the socket of a reading thread into an unencrypted one.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends the connection; only from the thread that reads."""
        self.shut()
        for part in (self._file, self._sock):
            with contextlib.suppress(OSError, ValueError):  # ValueError: detached, in the midst of STARTTLS
                part.close()

    def broken(self, error: SourceError) -> SourceError:
        """Ends the connection because of an error; returns it."""
        self._dead = error.message
        self.shut()
        return error


def readable(*sockets: socket.socket, seconds: float) -> bool:
    """One of the sockets has something to read, or its end (poll: select cannot watch descriptors above 1023)."""
    poll = select.poll()
    for sock in sockets:
        poll.register(sock, select.POLLIN)
    return bool(poll.poll(max(seconds, 0) * 1000))
