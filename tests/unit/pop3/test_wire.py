"""Bytes: what the server sends is what comes out, without the stuffed dots, whatever the size of the pieces."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.pop3_errors import Refused
from mailfetch_fetcher.sources.pop3_wire import Pop3Wire
from tests.servers.pop3fake_session import stuffed

Speak = Callable[..., Pop3Wire]


class Script:
    """A wire to somebody who says exactly this, in pieces of `size` bytes, and then hangs up."""

    def __init__(self, said: bytes, *, size: int = 1 << 30) -> None:
        ours, theirs = socket.socketpair()
        self._thread = threading.Thread(target=self._say, args=(theirs, said, size), daemon=True)
        self._thread.start()
        self.wire = Pop3Wire(ours, address="test:110", timeout=20.0)

    def _say(self, sock: socket.socket, said: bytes, size: int) -> None:
        with sock:
            for start in range(0, len(said), size):
                try:
                    sock.sendall(said[start : start + size])
                except OSError:
                    return

    def __enter__(self) -> Pop3Wire:
        return self.wire

    def __exit__(self, *_: object) -> None:
        self.wire.close()
        self._thread.join(60)


def body(said: bytes, *, part: int = 1 << 20, size: int = 1 << 30) -> bytes:
    """The mail of an answer that is followed by another one, which must not be touched."""
    with Script(b"+OK here\r\n" + said + b"+OK next\r\n", size=size) as wire:
        assert wire.status() == b"here"
        parts = list(wire.body(part))
        assert wire.status() == b"next"
        assert all(len(p) >= part for p in parts[:-1])
        return b"".join(parts)


@pytest.mark.parametrize(
    ("sent", "mail"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...\r\n..x\r\n.\r\n", b"..\r\n.x\r\n"),
        (b".x\r\n.\r\n", b"x\r\n"),  # a server that forgot to stuff: the dot cannot be told from a stuffed one
        (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n"),  # a bare LF begins no line
        (b"a\n.\nb\n..c\r\n.\r\n", b"a\n.\nb\n..c\r\n"),
        (b"a\r.\r\n.\r\n", b"a\r.\r\n"),
        (b"a\r\r\n.\r\n", b"a\r\r\n"),
        (b"\0\xff\xfe\r\n.\r\n", b"\0\xff\xfe\r\n"),
        (b".\n..\r\n.\r\n", b"\n..\r\n"),
    ],
)
def test_exact_bytes(sent: bytes, mail: bytes) -> None:
    assert body(sent) == mail
    assert body(sent, part=1, size=1) == mail


@given(st.lists(st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"..", b"a", b"\0", b"\r\n."]), max_size=30))
def test_whatever_is_stuffed_comes_back(pieces: list[bytes]) -> None:
    mail = b"".join(pieces)
    expected = mail if mail.endswith(b"\r\n") or not mail else mail + b"\r\n"
    assert body(stuffed(mail)) == expected


@pytest.mark.parametrize("length", [65_533, 65_534, 65_535, 65_536, 65_537, 131_071, 131_072, 5_000_000])
def test_long_lines(length: int) -> None:
    """Longer than what is read at once; CR and LF may come in two pieces."""
    mail = b"x" * length + b"\r\n.y" + b"x" * length + b"\r\n"
    assert body(stuffed(mail)) == mail


def test_a_server_that_never_sends_cr() -> None:
    with Script(b"+OK here\na\n..b\n.\n+OK next\n") as wire:
        assert wire.status() == b"here"
        assert b"".join(wire.body(100)) == b"a\n.b\n"
        assert wire.status() == b"next"


@pytest.mark.parametrize("sent", [b"", b"a", b"a\r\n", b"a\r\n.", b"a\r\n.\r"])
def test_a_mail_that_is_cut_raises(sent: bytes) -> None:
    with Script(b"+OK\r\n" + sent) as wire:
        wire.status()
        with pytest.raises(SourceError) as caught:
            list(wire.body(100))
        assert caught.value.reason == "ConnectionFailed"
        with pytest.raises(SourceError):
            wire.status()  # dead for ever
        with pytest.raises(SourceError):
            wire.run(b"NOOP")


def test_a_large_mail_is_read_only_as_far_as_it_is_taken() -> None:
    with Script(b"+OK\r\n" + b"x" * 998 + b"\r\n" + (b"y" * 998 + b"\r\n") * 50_000) as wire:
        wire.status()
        parts = wire.body(10_000)
        assert next(parts).startswith(b"x")
        assert len(next(parts)) < 80_000


def test_lists_and_refusals() -> None:
    with Script(b"+ok\r\n1 a\r\n..\r\n\r\n.\r\n-err [IN-USE] busy\r\n-ERR\r\n") as wire:
        assert wire.status() == b""
        assert list(wire.lines()) == [b"1 a", b".", b""]
        with pytest.raises(Refused) as caught:
            wire.status()
        assert (caught.value.code, caught.value.text) == ("IN-USE", "[IN-USE] busy")
        with pytest.raises(Refused) as caught:
            wire.status()
        assert caught.value.code == ""


@pytest.mark.parametrize(("ahead", "most"), [(1, 1), (2, 2), (5, 5), (100, 100)])
def test_commands_are_sent_ahead_as_far_as_allowed(ahead: int, most: int) -> None:
    ours, theirs = socket.socketpair()
    wire = Pop3Wire(ours, address="test:110", timeout=20.0)
    received = b""
    worst = 0

    def drain() -> Iterator[bytes]:
        theirs.setblocking(False)
        while True:
            try:
                yield theirs.recv(65536)
            except BlockingIOError:
                return

    for index, command in enumerate(wire.each([b"DELE %d" % n for n in range(230)], ahead=ahead)):
        assert command == index
        received += b"".join(drain())
        worst = max(worst, received.count(b"\n") - index)
        theirs.sendall(b"+OK\r\n")
        wire.status()
    assert received == b"".join(b"DELE %d\r\n" % n for n in range(230))
    assert worst == most
    wire.close()
    theirs.close()


@pytest.mark.parametrize("kind", ["lines", "body"])
def test_whoever_stops_within_an_answer_ends_the_connection(kind: str) -> None:
    with Script(b"+OK\r\nx\r\ny\r\n.\r\n+OK next\r\n") as wire:
        wire.status()
        answer = wire.lines() if kind == "lines" else wire.body(1)
        next(answer)
        answer.close()  # type: ignore[attr-defined]
        with pytest.raises(SourceError):
            wire.status()


@pytest.mark.parametrize(("taken", "lives"), [(1, False), (2, False), (3, True)])
def test_whoever_stops_with_commands_ahead_ends_the_connection(taken: int, lives: bool) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"+OK\r\n" * 4)
    wire = Pop3Wire(ours, address="test:110", timeout=20.0)
    asked = wire.each([b"A", b"B", b"C"], ahead=3)
    for _ in range(taken):
        next(asked)
        wire.status()
    asked.close()  # type: ignore[attr-defined]
    with contextlib.nullcontext() if lives else pytest.raises(SourceError):
        wire.status()
    wire.close()
    theirs.close()
