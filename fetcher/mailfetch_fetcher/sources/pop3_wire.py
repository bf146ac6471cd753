"""The wire of POP3 (RFC 1939, 2449): commands out, answers in, mails handed out as they come.

Why not poplib: it holds a whole mail in memory, drops its line ends, gives up at lines of more than 2,048 bytes and
reads the next answer out of step after that, takes any line that begins with `+` for success, and cannot send commands
ahead. The channel below is the one of IMAP: exact bytes, a timeout for each read, dead for ever after any failure.

What ends a line is what ended the status line of the same answer: CR LF, or LF alone at servers that never send
CR LF. So a bare LF inside a mail ends nothing, and a mail cannot pretend to be over before it is.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence

from mailfetch_fetcher.sources import imap_errors as common
from mailfetch_fetcher.sources import pop3_errors as errors
from mailfetch_fetcher.sources.imap_channel import Channel
from mailfetch_fetcher.sources.pop3_errors import Refused

AHEAD = 100
"""Short commands that are sent before their answers are read, where the server offers PIPELINING."""
_STATUS = 64 * 1024
"""Bytes of a status line at most."""
_LONGEST_LIST = 1_000_000
"""Lines of a list at most: a mail of it takes 400 bytes of memory, which serves other mailboxes too."""
_STRETCH = 1000
"""Lines of a list that are read without a sign of life."""
_PIECE = 64 * 1024
"""Bytes of a line that are read at once; lines of mails may be longer."""


def _nothing() -> None:
    pass


class Pop3Wire(Channel):
    """Speaks POP3 over a channel."""

    def __init__(
        self, sock: socket.socket, *, address: str, timeout: float, alive: Callable[[], None] = _nothing
    ) -> None:
        """Takes over a connected socket.

        Args:
            sock: The socket; the wire closes it.
            address: `host:port`, for messages.
            timeout: Seconds that the server may be silent.
            alive: Called again and again while something long is read; may raise to give up.
        """
        super().__init__(sock, address=address, timeout=timeout)
        self._alive = alive
        self._line_end = b"\r\n"

    # ---- commands ----

    def command(self, line: bytes) -> None:
        """Sends a command."""
        self.send(line + b"\r\n")

    def run(self, line: bytes) -> bytes:
        """Sends a command whose answer is one line; returns what stands behind +OK.

        Raises:
            Refused: the answer is -ERR.
        """
        self.command(line)
        return self.status()

    def each(self, commands: Sequence[bytes], *, ahead: int) -> Iterator[int]:
        """Sends many commands, at most `ahead` before their answers are read.

        Yields the index of each command; its whole answer must be read before the next one is asked for. A caller that
        stops while answers are on their way ends the connection.
        """
        sent = answered = 0
        try:
            for index in range(len(commands)):
                if index >= sent - ahead // 2:  # half of them are answered: the next ones go out in one piece
                    upto = min(len(commands), index + max(ahead, 1))
                    if upto > sent:
                        self._alive()
                        self.send(b"".join(command + b"\r\n" for command in commands[sent:upto]))
                        sent = upto
                answered = index + 1
                yield index
        finally:
            if answered < sent:
                self.shut()

    # ---- answers ----

    def status(self) -> bytes:
        """The first line of an answer; what stands behind +OK.

        Raises:
            Refused: it is -ERR.
        """
        raw = self._line(_STATUS)
        line = raw.rstrip(b"\r\n")
        word, _, text = line.partition(b" ")
        if not raw.endswith(b"\n") or word.upper() not in (b"+OK", b"-ERR"):
            raise self.broken(errors.nonsense(self.address, line))
        self._line_end = b"\r\n" if raw.endswith(b"\r\n") else b"\n"
        if word.upper() == b"-ERR":
            raise Refused(text)
        return text

    def challenge(self) -> bytes | None:
        """The line that goes on with a login (RFC 5034), or None if the server has accepted already.

        Raises:
            Refused: the answer is -ERR.
        """
        line = self._line(_STATUS).rstrip(b"\r\n")
        if line == b"+" or line.startswith(b"+ "):
            return line[2:]
        word, _, text = line.partition(b" ")
        if word.upper() == b"-ERR":
            raise Refused(text)
        if word.upper() != b"+OK":
            raise self.broken(errors.nonsense(self.address, line))
        return None

    def lines(self) -> Iterator[bytes]:
        """The short lines of a list, without their ends. A caller that stops early ends the connection."""
        done = False
        try:
            for count in range(_LONGEST_LIST + 1):  # and the line that ends it
                if count % _STRETCH == 0:
                    self._alive()
                line = self.line()
                if line == b".":
                    done = True
                    return
                yield line[1:] if line.startswith(b".") else line
            raise self.broken(errors.nonsense(self.address, b"a list without an end"))
        finally:
            if not done:
                self.shut()

    def body(self, size: int) -> Iterator[bytes]:
        """A mail byte for byte, without the stuffed dots, in parts of about `size` bytes; the last one is shorter.

        A caller that stops before the end of the mail ends the connection.
        """
        part: list[bytes] = []
        length = 0
        done = False
        try:
            for piece in self._pieces():
                part.append(piece)
                length += len(piece)
                if length >= size:
                    self._alive()
                    yield b"".join(part)
                    part, length = [], 0
            done = True
            if part:
                yield b"".join(part)
        finally:
            if not done:
                self.shut()

    def _pieces(self) -> Iterator[bytes]:
        end = self._line_end
        at_start, last = True, b""
        while True:
            piece = self._whole_lines() or self._line(_PIECE)
            if at_start and piece.startswith(b"."):
                if piece == b"." + end:
                    return
                piece = piece[1:]
            tail = last + piece[-2:]  # CR and LF may come in two pieces
            at_start = tail.endswith(end)
            last = tail[-2:]
            yield piece

    def _whole_lines(self) -> bytes:
        """Whole lines that came already, up to the next one that begins with a dot; may be empty."""
        with self._reading():
            block = self._file.peek(1)
            if block.startswith(b"."):
                return b""
            dot = block.find(b"\n.")
            return self._file.read((dot if dot >= 0 else block.rfind(b"\n")) + 1)

    def _line(self, limit: int) -> bytes:
        """A line with its end, or the first `limit` bytes of it."""
        with self._reading():
            piece = self._file.readline(limit)
        if not piece or (len(piece) < limit and not piece.endswith(b"\n")):
            raise self.broken(common.cut(self.address, "it closed the connection"))
        return piece

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        if self._dead:
            raise errors.closed(self._dead)
        try:
            yield
        except TimeoutError as e:
            raise self.broken(common.silent(self.address, self._timeout)) from e
        except (OSError, ValueError) as e:  # ValueError: closed from another thread
            raise self.broken(common.cut(self.address, e)) from e
