"""Downloading from and deleting in a real Dovecot: exact bytes, names, twins, long lines, large mails."""

import hashlib
import re
import tracemalloc
from collections.abc import Callable

import pytest

from mailfetch_fetcher.sources.base import Message
from mailfetch_fetcher.sources.pop3 import Pop3Source
from tests.servers.certs import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.ledger import Ledger
from tests.servers.mailgen import large_mail, mails

Make = Callable[..., Pop3Source]


def sent(raw: bytes) -> bytes:
    """As Dovecot's POP3 sends a mail: every line ends with CRLF, and so does the last one."""
    raw = re.sub(rb"\r?\n", b"\r\n", raw)
    return raw if raw.endswith(b"\r\n") else raw + b"\r\n"


def test_every_byte(dovecot: Dovecot, user: str, open_source: Make, ledger: Ledger) -> None:
    awkward = (
        b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n",
        b"Subject: long\r\n\r\n" + b"y" * 3_000_000 + b"\r\n",
        b"Subject: no end\r\n\r\nlast line",
        b"Subject: 8 bit\r\n\r\n" + bytes(range(128, 256)) + b"\r\n",
        b"Subject: lone CR\r\n\r\na\rb\r\n",
        b"no header at all",
    )
    delivered = dovecot.fill(user, [*awkward, *mails(300)])
    assert ledger.download(open_source(user)) == [sent(raw) for raw in delivered]


def test_the_identity_is_that_of_the_header(dovecot: Dovecot, user: str, open_source: Make, ledger: Ledger) -> None:
    """Or no mail could be deleted in another session: here TOP shows what RETR did."""
    dovecot.fill(user, mails(200))
    source = open_source(user)
    ledger.download(source)
    source.rest(durable=lambda: True)
    assert {outcome.result for outcome in ledger.act(source)} == {"done"}
    assert dovecot.flags(user) == {}


@pytest.mark.parametrize("other_session", [True, False])
def test_rounds_of_downloading_and_deleting(
    dovecot: Dovecot, user: str, make_source: Make, ledger: Ledger, other_session: bool
) -> None:
    source = make_source(user)
    for n in range(3):
        delivered = dovecot.fill(user, mails(10, start=10 * n))
        assert ledger.download(source) == delivered
        assert dovecot.flags(user).keys() == set(range(10 * n + 1, 10 * n + 11))
        if other_session:
            source.rest(durable=lambda: True)
        assert [outcome.result for outcome in ledger.act(source)] == ["done"] * 10
        assert dovecot.flags(user) == {}


def test_nothing_is_deleted_without_an_action(dovecot: Dovecot, user: str, open_source: Make, ledger: Ledger) -> None:
    dovecot.fill(user, mails(5))
    source = open_source(user)
    for durable in (True, False):
        ledger.download(source)
        source.rest(durable=lambda durable=durable: durable)  # type: ignore[misc]
    assert len(dovecot.flags(user)) == 5


def test_a_mail_that_another_client_removed(dovecot: Dovecot, user: str, open_source: Make, ledger: Ledger) -> None:
    dovecot.fill(user, mails(3))
    source = open_source(user)
    ledger.download(source)
    source.rest(durable=lambda: True)
    dovecot.expunge(user, 2)
    assert [outcome.result for outcome in ledger.act(source)] == ["done"] * 3
    assert dovecot.flags(user) == {}


def test_twins(certificates: Certificates, make_source: Make, ledger: Ledger) -> None:
    """Here all mails of a mailbox have one UIDL."""
    user = "user1@mail.test"
    with Dovecot(certificates, uidl_format="%v") as server:
        server.fill(user, mails(3))
        source = make_source(user, server=server)
        source.open()
        keys = [mail.ref.key for piece in source.listing() for mail in piece.mails]
        assert [key.rpartition("/")[2] for key in keys] == ["1", "2", "3"]
        assert len(ledger.download(source)) == 3
        source.rest(durable=lambda: True)
        new = server.fill(user, mails(1, start=9))
        source.snapshot("", known=ledger.known)
        assert [outcome.result for outcome in ledger.act(source)] == ["failed"] * 3
        assert ledger.download(source) == new
        assert [outcome.result for outcome in ledger.act(source)] == ["done"] * 4
        assert server.flags(user) == {}


def test_since_and_now(dovecot: Dovecot, user: str, open_source: Make) -> None:
    old = b"Date: Tue, 31 Dec 2024 10:00:00 +0000\r\n\r\n"
    new = b"Date: Wed, 01 Jan 2025 10:00:00 +0000\r\n\r\n"
    dovecot.fill(user, [old, new, b"Subject: no date\r\n\r\n"])
    source = open_source(user)
    names = [mail.name for piece in source.listing() for mail in piece.mails]
    assert [name for piece in source.baseline(since=1735689600).old for name in piece] == names[:1]
    assert [name for piece in source.baseline(since=None).old for name in piece] == names


def test_a_mail_of_150_mb_in_bounded_memory(dovecot: Dovecot, user: str, open_source: Make) -> None:
    raw = large_mail(150 << 20)
    expected = hashlib.sha256(raw).hexdigest()
    dovecot.fill(user, [raw])
    del raw
    source = open_source(user, part_size=512 * 1024, max_message_size=200 << 20)
    (window,) = source.discover("", known=Ledger().known)
    tracemalloc.start()
    try:
        digest = hashlib.sha256()
        for message in source.fetch(window.refs):
            assert isinstance(message, Message)
            for part in message.parts or ():
                digest.update(part)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert digest.hexdigest() == expected
