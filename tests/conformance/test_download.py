"""Every mail once, byte for byte, and the mailbox as it was."""

import pytest

from tests.conformance.fetching import Connection
from tests.conformance.mailboxes import Mailbox
from tests.servers import mailgen

HEAD = b"From: a@sender.test\r\nTo: b@mail.test\r\nSubject: %b\r\nMessage-ID: <%b@gen.test>\r\n\r\n"


def mail(name: str, body: bytes) -> bytes:
    """A mail with a Message-ID of its own."""
    return HEAD % (name.encode(), name.encode()) + body


HARD = {
    "empty body": mail("empty-body", b""),
    "no header": b"\r\nonly a body\r\n",
    "no end of the last line": mail("no-end", b"the last line"),
    "dots": mail("dots", b".\r\n..\r\n.leading\r\n...\r\n.\r\n"),
    "From lines": mail("from", b"From here\r\n>From there\r\nFrom \r\n"),
    "8 bit": mail("8bit", bytes(range(128, 256)) + b"\r\n"),
    "8 bit in the header": b"Subject: \xe4\xf6\xfc \xff\r\nFrom: \xe9@sender.test\r\n\r\nbody\r\n",
    "long lines": mail("long", b"x" * 100_000 + b"\r\n" + b"y" * 5_000 + b"\r\n"),
    "a long header": b"Subject: " + b"z" * 20_000 + b"\r\n\r\nbody\r\n",
    "many header lines": b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(3_000)) + b"\r\nbody\r\n",
    "a broken header": b"Subject: x\r\nthis is no header line\r\n: nor this\r\nFrom\r\n\r\nbody\r\n",
    "blank lines": mail("blank", b"\r\n" * 50),
}
RAW = {
    "NUL": mail("nul", b"a\0b\0\r\n\0"),
    "controls": mail("controls", bytes(range(1, 10)) + b"\x0b\x0c" + bytes(range(14, 32)) + b"\r\n"),
    "lone CR": mail("lone-cr", b"one\rtwo\r\rthree\r\n"),
    "lone LF": b"Subject: lone LF\nFrom: a@sender.test\n\none\ntwo\n",
    "NUL in the header": b"Subject: a\0b\r\n\r\nbody\r\n",
}


def test_every_mail_once_and_the_mailbox_untouched(any_mailbox: Mailbox, connection: Connection) -> None:
    any_mailbox.fill(list(mailgen.mails(25)))
    before = any_mailbox.read()
    assert len(before) == 25
    connection.once()
    connection.must_hold(before)
    assert any_mailbox.read() == before
    connection.once()
    connection.must_hold(before)


@pytest.mark.parametrize("name", HARD)
def test_hard_mails(mailbox: Mailbox, connection: Connection, name: str) -> None:
    mailbox.fill([HARD[name], mail("after", b"it\r\n")])
    before = mailbox.read()
    assert len(before) == 2
    connection.once()
    connection.must_hold(before)


@pytest.mark.parametrize("name", RAW)
def test_bytes_that_no_mail_should_hold(mailbox: Mailbox, connection: Connection, name: str) -> None:
    mailbox.need("any bytes")
    mailbox.fill([RAW[name], mail("after", b"it\r\n")])
    before = mailbox.read()
    assert len(before) == 2
    connection.once()
    connection.must_hold(before)


def test_a_mail_of_20_megabytes(mailbox: Mailbox, connection: Connection) -> None:
    mailbox.fill([*mailgen.mails(2), mailgen.large_mail(20_000_000), *mailgen.mails(2, start=2)])
    before = mailbox.read()
    assert max(len(one.raw) for one in before) >= 19_990_000
    connection.once()
    connection.must_hold(before)


def test_equal_mails_are_different_mails(mailbox: Mailbox, connection: Connection) -> None:
    same, other = mail("same", b"same\r\n"), mail("other", b"other\r\n")
    mailbox.fill([same, same, other, same])
    before = mailbox.read()
    assert len(before) == 4
    connection.once()
    connection.must_hold(before)
    mailbox.fill([same])
    connection.once()
    connection.must_hold(before, before[:1])


def test_an_empty_mailbox(mailbox: Mailbox, connection: Connection) -> None:
    connection.once()
    connection.must_hold([])
    mailbox.fill([mail("first", b"first\r\n")])
    connection.once()
    connection.must_hold(mailbox.read())


def test_five_hundred_mails(mailbox: Mailbox, connection: Connection) -> None:
    mailbox.fill(list(mailgen.mails(500)))
    before = mailbox.read()
    assert len(before) == 500
    connection.once()
    connection.must_hold(before)
