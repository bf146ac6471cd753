"""Downloading: one result for each ref, exact bytes, large mails in parts, and what a refusal means."""

import threading
from collections.abc import Callable, Sequence

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.base import Absent, Message, Ref, Unreadable
from mailfetch_fetcher.sources.pop3 import Pop3Source
from tests.servers.ledger import Ledger
from tests.servers.mailgen import mails
from tests.servers.pop3fake import CUT, SILENCE, FakePop3
from tests.servers.pop3fake_session import stuffed

Make = Callable[..., Pop3Source]
AWKWARD = (
    b"",
    b"\r\n",
    b".\r\n",
    b"no header, no end",
    b"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n",
    b"Subject: x\r\n\r\nbare\n.\nlf\r\n",
    b"Subject: nul\r\n\r\n\0\0\xff\r\n",
    b"Subject: x\r\n\r\n" + b"y" * 3_000_000,
)


def refs_of(source: Pop3Source) -> list[Ref]:
    return [mail.ref for piece in source.listing() for mail in piece.mails]


def kinds(items: Sequence[object]) -> list[str]:
    return [type(item).__name__ for item in items]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("part_size", [100, 4 << 20])
def test_every_byte(server: FakePop3, open_source: Make, ledger: Ledger, pipelining: bool, part_size: int) -> None:
    if not pipelining:
        server.quirks.before_login = server.quirks.after_login = None
        server.quirks.pipelining = False
    server.add(*AWKWARD, *mails(60))
    whole = [raw if raw.endswith(b"\r\n") or not raw else raw + b"\r\n" for raw in server.left]
    assert ledger.download(open_source(part_size=part_size)) == whole


def test_a_server_that_never_sends_cr(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    server.quirks.line_end = b"\n"
    server.add(b"Subject: x\n\n.\nbody\n", b"Subject: y\n\nno end")
    assert ledger.download(open_source()) == [b"Subject: x\n\n.\nbody\n", b"Subject: y\n\nno end\n"]


def test_what_a_message_tells(server: FakePop3, open_source: Make) -> None:
    server.add(*mails(1), uidl=b"x y")
    source = open_source()
    (message,) = source.fetch(refs_of(source))
    assert isinstance(message, Message)
    assert (message.ref.key, message.cursor, message.name) == ("x%20y/1", "x%20y/1", b"uidl 1 x%20y")
    assert (message.flags, message.received, message.ref.uid) == ((), None, 0)
    assert message.identity.startswith(b"header ")


def test_a_large_mail_comes_in_parts(server: FakePop3, open_source: Make) -> None:
    small, large = b"Subject: s\r\n\r\n", b"Subject: l\r\n\r\n" + b"line\r\n" * 200_000
    server.add(small, large, small)
    source = open_source(part_size=100_000)
    bodies: list[bytes] = []
    for message in source.fetch(refs_of(source)):
        assert isinstance(message, Message)
        assert (message.raw is None) == (len(bodies) == 1)
        parts = list(message.parts or (message.raw or b"",))
        assert max(map(len, parts)) < 200_000
        bodies.append(b"".join(parts))
    assert bodies == [small, large, small]


def test_the_identity_of_a_large_mail_is_that_of_its_header(server: FakePop3, open_source: Make) -> None:
    header = b"Subject: l\r\n" + b"X-Filler: y\r\n" * 3000
    server.add(header + b"\r\n" + b"line\r\n" * 200_000, header + b"\r\n")
    source = open_source(part_size=1000)
    identities = set()
    for message in source.fetch(refs_of(source)):
        assert isinstance(message, Message)
        list(message.parts or ())
        identities.add(message.identity)
    assert len(identities) == 1


def test_a_large_mail_that_is_not_taken_to_its_end(server: FakePop3, open_source: Make) -> None:
    server.add(b"Subject: l\r\n\r\n" + b"line\r\n" * 200_000, b"Subject: s\r\n\r\n")
    source = open_source(part_size=100_000)
    items = source.fetch(refs_of(source))
    next(items)
    with pytest.raises(SourceError):
        next(items)
    source.rest(durable=lambda: True)
    assert server.count("QUIT") == 0


def test_a_consumer_that_stops_early_ends_the_session(server: FakePop3, open_source: Make) -> None:
    server.add(*mails(3))
    source = open_source()
    items = source.fetch(refs_of(source))
    next(items)
    items.close()  # type: ignore[attr-defined]
    source.rest(durable=lambda: True)
    assert server.count("QUIT") == 0


def test_refs_are_found_by_name_in_another_session(server: FakePop3, open_source: Make) -> None:
    server.add(*mails(5))
    source = open_source()
    refs = refs_of(source)
    source.rest(durable=lambda: True)
    gone = server.mails.pop(0)
    server.add(*mails(1, start=7))
    items = list(source.fetch(refs))
    assert kinds(items) == ["Absent", *["Message"] * 4]
    assert items[0] == Absent(ref=refs[0], cursor=refs[0].key)
    assert [m.raw for m in items if isinstance(m, Message)] == server.left[:-1]
    assert gone.raw not in server.left


@pytest.mark.parametrize("which", [1, 2, 3])
@pytest.mark.parametrize("pipelining", [True, False])
def test_a_refused_mail_is_unreadable_and_the_others_come(
    server: FakePop3, open_source: Make, which: int, pipelining: bool
) -> None:
    if not pipelining:
        server.quirks.after_login, server.quirks.pipelining = ("UIDL",), False
    server.add(*mails(3))
    server.quirks.answers[f"RETR {which}"] = b"-ERR [SYS/TEMP] cannot read it\r\n"
    source = open_source()
    items = list(source.fetch(refs_of(source)))
    assert kinds(items) == ["Unreadable" if n == which else "Message" for n in (1, 2, 3)]
    bad = items[which - 1]
    assert isinstance(bad, Unreadable)
    assert "cannot read it" in bad.detail
    assert server.count("NOOP") == (which == 3)  # else the next mail is the proof


@pytest.mark.parametrize("noop", [b"-ERR\r\n", CUT, SILENCE])
def test_a_refusal_without_a_living_connection_is_a_failure(server: FakePop3, open_source: Make, noop: bytes) -> None:
    server.add(*mails(1))
    server.quirks.answers |= {"RETR": b"-ERR no\r\n", "NOOP": noop}
    source = open_source(timeout=0.5)
    with pytest.raises(SourceError):
        list(source.fetch(refs_of(source)))


@pytest.mark.parametrize("text", ["Download exceed", "bandwidth limit", "too many messages", "quota exceeded"])
def test_throttling(server: FakePop3, open_source: Make, text: str) -> None:
    server.add(*mails(3))
    server.quirks.answers["RETR 2"] = f"-ERR {text}\r\n".encode()
    source = open_source()
    items = source.fetch(refs_of(source))
    assert isinstance(next(items), Message)
    with pytest.raises(SourceError) as caught:
        next(items)
    assert caught.value.reason == "Throttled"


@pytest.mark.parametrize("cut_at", [0, 1, 10, -5, -2])
def test_a_mail_that_is_cut_is_no_mail(server: FakePop3, open_source: Make, cut_at: int) -> None:
    server.add(*mails(2))
    source = open_source()
    server.quirks.body = lambda raw: stuffed(raw)[:cut_at] + CUT if raw == server.left[1] else stuffed(raw)
    items = source.fetch(refs_of(source))
    assert isinstance(next(items), Message)
    with pytest.raises(SourceError) as caught:
        next(items)
    assert caught.value.reason == "ConnectionFailed"
    source.rest(durable=lambda: True)
    assert server.count("QUIT") == 0


def test_silence_within_a_mail(server: FakePop3, open_source: Make) -> None:
    server.add(*mails(1))
    server.quirks.body = lambda raw: raw[:50]
    source = open_source(timeout=0.3)
    with pytest.raises(SourceError, match=r"0\.3 s"):
        list(source.fetch(refs_of(source)))


# ---- too large ----


def test_a_mail_that_is_too_large_by_the_list_is_not_read(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    server.add(*mails(3))
    server.mails[1].size = 5000
    source = open_source(max_message_size=4000)
    (window,) = source.discover("", known=ledger.known)
    items = list(source.fetch(window.refs))
    assert kinds(items) == ["Message", "Unreadable", "Message"]
    assert getattr(items[1], "too_large", 0) == 5000
    assert server.count("RETR") == 2
    source.rest(durable=lambda: True)
    assert server.count("QUIT") == 1


def test_a_mail_that_turns_out_too_large(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    """It was read and is not kept, so its session must not end with QUIT."""
    server.add(b"Subject: x\r\n\r\n" + b"line\r\n" * 1000, size=10)
    source = open_source(max_message_size=4000)
    (window,) = source.discover("", known=ledger.known)
    (item,) = source.fetch(window.refs)
    assert isinstance(item, Unreadable)
    assert item.too_large == 6014
    ledger.names.add(b"uidl 1 u1")  # in the quarantine, without its bytes
    source.snapshot("", known=ledger.known)
    source.rest(durable=lambda: True)
    assert server.count("QUIT") == 0


def test_a_large_mail_without_bounds(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    server.add(b"Subject: x\r\n\r\n" + b"line\r\n" * 100_000, size=10)
    source = open_source(max_message_size=300_000, part_size=50_000)
    (window,) = source.discover("", known=ledger.known)
    items = source.fetch(window.refs)
    message = next(items)
    assert isinstance(message, Message)
    taken: list[bytes] = []
    with pytest.raises(SourceError, match="maxMessageSize"):
        taken.extend(message.parts or ())
    assert sum(map(len, taken)) < 400_000


# ---- from another thread ----


def test_close_from_another_thread_ends_a_download(server: FakePop3, open_source: Make) -> None:
    server.add(*mails(1))
    server.quirks.answers["RETR"] = SILENCE
    source = open_source(timeout=300.0)
    refs = refs_of(source)

    def close() -> None:
        server.await_command("RETR")
        source.close()

    thread = threading.Thread(target=close)
    thread.start()
    with pytest.raises(SourceError):
        list(source.fetch(refs))
    thread.join()
    with pytest.raises(SourceError):
        source.snapshot("", known=Ledger().known)


def test_wake_ends_a_wait_and_is_not_lost(open_source: Make) -> None:
    source = open_source()
    assert not source.wait(0.01)
    source.wake()
    assert source.wait(600)
    threading.Timer(0.05, source.wake).start()
    assert source.wait(600)
