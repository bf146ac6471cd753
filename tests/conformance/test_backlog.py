"""Where a new connection begins: with everything, with what comes from now on, or with a date."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conformance import raw_imap
from tests.conformance.fetching import Connection
from tests.conformance.mailboxes import Mailbox
from tests.servers import mailgen

HEAD = "From: a@sender.test\r\nTo: b@mail.test\r\n{date}Subject: {n}\r\nMessage-ID: <{n}@gen.test>\r\n\r\nbody {n}\r\n"


def dated(n: int, date: str) -> bytes:
    """A mail with this Date, or with none."""
    return HEAD.format(n=n, date=f"Date: {date}\r\n" if date else "").encode()


@pytest.mark.parametrize("action", ["None", "Delete"])
def test_now(mailbox: Mailbox, connection: Connection, action: str) -> None:
    """What lies there is neither downloaded nor touched."""
    spec: dict[str, Any] = {"backlog": {"startFrom": "Now"}, "afterDownload": {"action": action}}
    mailbox.fill(list(mailgen.mails(6)))
    old = mailbox.read()
    connection.once(**spec)
    connection.must_hold([])
    mailbox.fill(list(mailgen.mails(3, start=10)))
    new = mailbox.read()[6:]
    assert len(new) == 3
    connection.once(**spec)
    connection.must_hold(new)
    assert sorted(one.raw for one in mailbox.read()) == sorted(
        one.raw for one in (old if action == "Delete" else old + new)
    )


def test_now_in_an_empty_mailbox(mailbox: Mailbox, connection: Connection) -> None:
    connection.once(backlog={"startFrom": "Now"})
    mailbox.fill(list(mailgen.mails(2)))
    connection.once(backlog={"startFrom": "Now"})
    connection.must_hold(mailbox.read())


def test_since_a_date(mailbox: Mailbox, connection: Connection) -> None:
    """On IMAP the date of the arrival counts, on POP3 the header Date; a mail without one is downloaded."""
    if mailbox.protocol == "POP3":
        mailbox.need("TOP")
    mails = [
        dated(0, "Fri, 02 Jan 2026 10:00:00 +0000"),
        dated(1, "Mon, 02 Mar 2026 10:00:00 +0000"),
        dated(2, "Sat, 03 Jan 2026 10:00:00 +0000"),
        dated(3, "Tue, 03 Mar 2026 10:00:00 +0000"),
    ]
    arrived = [datetime(2026, month, day, 10, 0, tzinfo=UTC) for month, day in ((1, 2), (3, 2), (1, 3), (3, 3))]
    if mailbox.protocol == "IMAP":
        with mailbox.imap() as imap:
            for raw, when in zip(mails, arrived, strict=True):
                raw_imap.append(imap, "INBOX", raw, received=when)
    else:
        mails.append(dated(4, ""))
        mailbox.fill(mails)
    held = mailbox.read()
    wanted = [held[1], *held[3:]]
    connection.once(backlog={"startFrom": "Since", "since": "2026-02-01"})
    connection.must_hold(wanted)
    mailbox.fill([dated(9, "Thu, 01 Jan 2026 10:00:00 +0000")])
    (late,) = mailbox.read()[len(held) :]
    connection.once(backlog={"startFrom": "Since", "since": "2026-02-01"})
    connection.must_hold(wanted, [late])
