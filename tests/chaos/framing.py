"""Just enough of IMAP, POP3, HTTP and RESP to cut bytes into requests and replies and to tell which belongs to which.

Nothing here validates: what is not understood passes as a line. A `Unit` is the smallest thing that the proxy forwards,
so a literal, a body or a script is held back until it is there as a whole (tests only; mails are small).
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

Side = Literal["request", "part", "reply"]
"""What a unit is: something that a client asks, an answer on the way (IMAP `* …`), the answer that ends a request."""

_ABOUT = 20_000
"""Bytes of a request that can be looked at; enough for any script."""
_LITERAL = re.compile(rb"\{(\d+)\+?\}\r\n\Z")
_BODILESS = re.compile(rb"HTTP/1\.1 (1\d\d|204|304) ")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked\r\n")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r\n")
_MULTILINE = re.compile(rb"(?i)(RETR|TOP|CAPA|LIST\s*$|UIDL\s*$|LIST\r|UIDL\r)")


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One request or answer.

    Attributes:
        side: Which of both.
        about: The request (or its beginning): that of the unit itself, or the one that it answers.
        data: The bytes on the wire.
    """

    side: Side
    about: bytes
    data: bytes


class Framing(Protocol):
    """Of one connection; both directions feed it in the order in which the bytes came."""

    def to_server(self, data: bytes) -> Iterator[Unit]:
        """The units that are complete with these bytes."""
        ...

    def to_client(self, data: bytes) -> Iterator[Unit]:
        """See `to_server`."""
        ...


class Imap:
    """Lines with literals; answers belong to the command that was sent last, or to the one with their tag."""

    def __init__(self) -> None:
        self._up = _Lines()
        self._down = _Lines()
        self._tags: dict[bytes, bytes] = {}
        self._last = b""

    def to_server(self, data: bytes) -> Iterator[Unit]:
        for line in self._up.feed(data):
            tag, blank, command = line.partition(b" ")
            if blank and re.fullmatch(rb"[A-Za-z0-9.]+", tag):
                self._last = command[:_ABOUT]
                self._tags[tag] = self._last
            yield Unit(side="request", about=self._last if blank else line, data=line)

    def to_client(self, data: bytes) -> Iterator[Unit]:
        for line in self._down.feed(data, literals=True):
            about = self._tags.pop(line.partition(b" ")[0], None)
            if about is None:
                yield Unit(side="part", about=self._last, data=line)
            else:
                yield Unit(side="reply", about=about, data=line)


class Pop3:
    """Requests are lines; each gets one answer, of several lines for some."""

    def __init__(self) -> None:
        self._up = _Lines()
        self._rest = b""
        self._asked: deque[bytes] = deque([b"(greeting)"])
        self._secret = False

    def to_server(self, data: bytes) -> Iterator[Unit]:
        for line in self._up.feed(data):
            if self._secret:  # the answer to a challenge is no command
                self._secret = False
                yield Unit(side="request", about=b"(challenge)", data=line)
                continue
            self._asked.append(line)
            yield Unit(side="request", about=line, data=line)

    def to_client(self, data: bytes) -> Iterator[Unit]:
        self._rest += data
        while (end := self._complete()) > 0:
            piece, self._rest = self._rest[:end], self._rest[end:]
            if piece.startswith(b"+ "):
                self._secret = True
                yield Unit(side="part", about=self._asked[0] if self._asked else b"", data=piece)
                continue
            yield Unit(side="reply", about=self._asked.popleft() if self._asked else b"", data=piece)

    def _complete(self) -> int:
        """Where the first answer ends; 0: not there yet."""
        line = self._rest.find(b"\r\n") + 2
        if line < 2:
            return 0
        several = self._rest.startswith(b"+OK") and self._asked and _MULTILINE.match(self._asked[0])
        if not several:
            return line
        if self._rest.startswith(b".\r\n", line):
            return line + 3
        return self._rest.find(b"\r\n.\r\n", line - 2) + 5 if b"\r\n.\r\n" in self._rest[line - 2 :] else 0


class Http:
    """HTTP/1.1; what a request is about is its method and its target."""

    def __init__(self) -> None:
        self._up = b""
        self._down = b""
        self._asked: deque[bytes] = deque()

    def to_server(self, data: bytes) -> Iterator[Unit]:
        self._up += data
        while (end := _http_end(self._up)) > 0:
            piece, self._up = self._up[:end], self._up[end:]
            about = piece[: piece.index(b" HTTP/1.1\r\n")][:_ABOUT]
            self._asked.append(about)
            yield Unit(side="request", about=about, data=piece)

    def to_client(self, data: bytes) -> Iterator[Unit]:
        self._down += data
        while (end := _http_end(self._down)) > 0:
            piece, self._down = self._down[:end], self._down[end:]
            yield Unit(side="reply", about=self._asked.popleft() if self._asked else b"", data=piece)


class Resp:
    """RESP2: each request gets one reply, in order. `rewrite` may change a reply (what Sentinels say of addresses)."""

    def __init__(self, rewrite: Callable[[bytes], bytes] = bytes) -> None:
        self._up = b""
        self._down = b""
        self._asked: deque[bytes] = deque()
        self._rewrite = rewrite

    def to_server(self, data: bytes) -> Iterator[Unit]:
        self._up += data
        while (end := _resp_end(self._up, 0)) > 0:
            piece, self._up = self._up[:end], self._up[end:]
            about = piece[:_ABOUT]
            self._asked.append(about)
            yield Unit(side="request", about=about, data=piece)

    def to_client(self, data: bytes) -> Iterator[Unit]:
        self._down += data
        while (end := _resp_end(self._down, 0)) > 0:
            piece, self._down = self._down[:end], self._down[end:]
            about = self._asked.popleft() if self._asked else b""
            yield Unit(side="reply", about=about, data=self._rewrite(piece))


def _http_end(data: bytes) -> int:
    """Where the first request or answer ends; 0: not there yet."""
    at = data.find(b"\r\n\r\n") + 4
    if at < 4:
        return 0
    head = data[:at]
    if _CHUNKED.search(head):
        while True:
            line = data.find(b"\r\n", at) + 2
            if line < 2:
                return 0
            size = int(data[at : line - 2], 16)
            at = line + size + 2
            if size == 0 or at > len(data):
                return at if at <= len(data) else 0
    length = None if _BODILESS.match(head) else _LENGTH.search(head)
    end = at + (int(length[1]) if length else 0)
    return end if end <= len(data) else 0


def _resp_end(data: bytes, at: int) -> int:
    """Where the value that begins at `at` ends; 0: not there yet."""
    line = data.find(b"\r\n", at) + 2
    if line < 2:
        return 0
    kind, count = data[at : at + 1], data[at + 1 : line - 2]
    if kind == b"$":
        end = line if count == b"-1" else line + int(count) + 2
        return end if end <= len(data) else 0
    if kind == b"*":
        end = line
        for _ in range(max(0, int(count))):
            end = _resp_end(data, end)
            if end == 0:
                return 0
        return end
    return line


class _Lines:
    """Lines; with `literals`, a line goes on behind each literal that it announces."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._scanned = 0
        """How far the rest is known to hold no whole line: literals are passed over once."""

    def feed(self, data: bytes, *, literals: bool = False) -> Iterator[bytes]:
        self._rest += data
        while (end := self._rest.find(b"\r\n", self._scanned) + 2) >= 2:
            announced = _LITERAL.search(bytes(self._rest[max(self._scanned, end - 30) : end])) if literals else None
            if announced:
                self._scanned = end + int(announced[1])
                continue
            line, self._scanned = bytes(self._rest[:end]), 0
            del self._rest[:end]
            yield line
