from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfetch_fetcher.mails import build_mail, hash_of, seconds_since
from mailfetch_fetcher.sources.base import Message, Ref
from mailfetch_fetcher.store.model import Mail


def mail(raw: bytes, received: int | None) -> Mail:
    message = Message(
        ref=Ref(key="1/2", uid=2, size=0),
        cursor="1:2",
        raw=raw,
        parts=None,
        flags=("\\Seen", "a b"),
        received=received,
        identity=b"i",
    )
    return build_mail(message, folder="INBOX", uid_validity="1", action=None, body=raw, head=raw, sha256=hash_of(raw))


@pytest.mark.parametrize("received", [None, -(10**12), 253_402_300_800, 10**30])
def test_a_date_that_no_calendar_holds_does_not_stop_a_mail(received: int | None) -> None:
    assert mail(b"", received).received == ""


@given(st.binary() | st.text().map(lambda t: ("Subject: " + t + "\r\n\r\n").encode()), st.none() | st.integers())
def test_no_mail_is_poison(raw: bytes, received: int | None) -> None:
    made = mail(raw, received)
    assert made.body == raw
    assert made.size == len(raw)
    made.subject.encode()
    seconds_since(made.received, datetime.now(UTC))
