"""The header hash is the same whatever servers do to a header, and dates are only believed when they make sense."""

import pytest

from mailfetch_fetcher.sources.pop3_identity import REACH, identity, written

HEADER = b"From: a@x.test\r\nSubject: one\r\n two\r\nMessage-ID: <1@x.test>\r\n"


@pytest.mark.parametrize(
    "other",
    [
        HEADER,
        HEADER + b"\r\nbody\r\n",
        HEADER.replace(b"\r\n", b"\n") + b"\n",
        b"Status: RO\r\n" + HEADER,
        b"X-UIDL: 12\r\n" + HEADER + b"X-Status: A\r\nx-keywords: a\r\n b\r\nX-IMAP: 1\r\nContent-Length : 5\r\n",
        HEADER.replace(b"one\r\n two", b"one two"),
        HEADER.replace(b"one\r\n two", b"one\r\n\t two"),
        HEADER.replace(b"one\r\n two", b"one \r\n\ttwo "),
    ],
)
def test_the_same_mail(other: bytes) -> None:
    assert identity(other) == identity(HEADER)


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"\r\n" + HEADER,
        HEADER.replace(b"one", b"One"),
        HEADER.replace(b"one\r\n two", b"onetwo"),
        HEADER + b"Status2: x\r\n",
        HEADER.replace(b"<1@", b"<2@"),
    ],
)
def test_another_mail(other: bytes) -> None:
    assert identity(other) != identity(HEADER)


def test_a_huge_header_that_is_rewritten() -> None:
    long = HEADER + b"X-Long: " + b"a" * 200_000 + b"\r\n\r\nbody"
    assert identity(long[:REACH]) == identity(long)
    assert identity(b"Status: RO\r\nX-UIDL: abc\r\n" + long) == identity(long)
    assert identity(long.replace(b"X-Long: a", b"X-Long: b")) != identity(long)


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        (b"Fri, 31 Jan 2025 10:00:00 +0100", 1738314000.0),
        (b"31 Jan 2025 09:00:00 GMT", 1738314000.0),
        (b"Fri, 31 Jan 2025 09:00:00 -0000 (comment)", 1738314000.0),
        (b"Thu, 01 Jan 1970 00:00:00 +0000", None),
        (b"yesterday", None),
        (b"", None),
        (b"Fri, 31 Jan 99999999999 10:00:00 +0100", None),
        (b"Fri, 99 Jan 2025 10:00:00 +0100", None),
        (b"\xff\xfe", None),
    ],
)
def test_dates(date: bytes, seconds: float | None) -> None:
    assert written(b"Subject: x\r\nDate: " + date + b"\r\n\r\n") == seconds


def test_no_date() -> None:
    assert written(b"Subject: x\r\n\r\nDate: Fri, 31 Jan 2025 10:00:00 +0100\r\n") is None
