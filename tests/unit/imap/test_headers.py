"""Headers for people: decoded as well as can be, bounded, and never an exception."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfetch_fetcher.headers import LONGEST, Headers, raw_fields, read_headers
from mailfetch_fetcher.sources.imap_identity import identity
from tests.servers.mailgen import REALISTIC, mails, make_mail


@pytest.mark.parametrize(
    ("raw", "subject"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?B?R3LDvMOfZQ==?=", "Grüße"),
        (b"=?iso-8859-1?Q?Gr=FC=DFe?= =?utf-8?Q?_und_mehr?=", "Grüße und mehr"),
        (b"=?gb18030?B?xPo=?=\r\n =?gb18030?B?usM=?=", "您好"),
        (b"folded\r\n\t over lines", "folded\t over lines".replace("\t", " ")),
        (b"folded\n over bare newlines", "folded over bare newlines"),
        ("roh: äöü".encode(), "roh: äöü"),
        (b"latin: \xe4\xf6\xfc", "latin: äöü"),
        (b"=?no-such-charset?B?R3LDvMOfZQ==?=", "Gr\xc3\xbc\xc3\x9fe"),
        (b"=?utf-8?B?not base64!?=", "=?utf-8?B?not base64!?="),
        (b"mixed \xe4 =?utf-8?Q?=C3=BC?=", "mixed ä ü"),
        (b"a\x00b\x07c", "a b c"),
        (b"", ""),
    ],
)
def test_subjects(raw: bytes, subject: str) -> None:
    assert read_headers(b"From: x\r\nSubject: " + raw + b"\r\nTo: y\r\n\r\nSubject: body\r\n").subject == subject


def test_all_fields() -> None:
    raw = (
        b"from: =?utf-8?Q?J=C3=B6rg?= <joerg@mail.test>\r\nTO : a@mail.test,\r\n b@mail.test\r\n"
        b"Message-Id:\r\n <1@mail.test>\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\n"
        b"Subject: first\r\nSubject: second\r\n\r\n"
    )
    assert read_headers(raw) == Headers(
        sender="Jörg <joerg@mail.test>",
        to="a@mail.test, b@mail.test",
        message_id="<1@mail.test>",
        date="Mon, 1 Jan 2024 10:00:00 +0000",
        subject="first",
    )


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"\n\nSubject: body", b"no header at all", b"\r\nSubject: body\r\n"])
def test_mails_without_headers(raw: bytes) -> None:
    assert read_headers(raw) == Headers()


def test_texts_are_bounded() -> None:
    assert len(read_headers(b"Subject: " + b"x" * 1_000_000).subject) == LONGEST
    assert len(read_headers(b"Subject: " + b"=?utf-8?Q?=C3=BC?= " * 100_000).subject) <= LONGEST


def test_a_hostile_header_takes_no_time() -> None:
    began = time.process_time()
    for nasty in (b"=?" * 500_000, b"\r\n " * 500_000, b"Subject" * 100_000, b"=?utf-8?Q?" + b"=" * 1_000_000):
        read_headers(b"Subject: " + nasty)
    assert time.process_time() - began < 10  # quadratic work would take minutes


@given(st.binary(max_size=2000))
def test_never_raises_and_can_always_be_stored(raw: bytes) -> None:
    for text in (read_headers(raw), read_headers(b"Subject: " + raw)):
        for value in (text.sender, text.to, text.subject, text.message_id, text.date):
            value.encode()


def test_generated_mails_have_their_subjects() -> None:
    subjects = [read_headers(raw).subject for raw in mails(300)]
    assert all(subjects)
    assert not any("=?" in subject for subject in subjects)


def test_generated_mails_are_always_the_same() -> None:
    assert make_mail(7) == make_mail(7)
    assert make_mail(7) != make_mail(8)
    assert make_mail(7) != make_mail(7, seed=2)
    assert max(len(line) for raw in mails(50, profile=REALISTIC) for line in raw.split(b"\r\n")) <= 998
    assert not any(b"\n" in raw.replace(b"\r\n", b"") for raw in mails(50))


def test_identity_is_the_same_for_a_mail_and_its_header() -> None:
    for raw in mails(300):
        header = raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        told = [identity(header=part, received=5, size=len(raw), object_id=b"") for part in (raw, header)]
        assert told[0] == told[1]


def test_identity_prefers_what_the_server_gives() -> None:
    raw = b"Message-ID: <1@x>\r\n\r\n"
    assert identity(header=raw, received=5, size=9, object_id=b"M123") == b"object M123"
    assert identity(header=raw, received=5, size=9, object_id=b"") == b"message-id <1@x> 5 9"
    assert identity(header=raw, received=None, size=9, object_id=b"") == b"message-id <1@x> -1 9"
    assert identity(header=b"Message-ID: \r\nX: 1\r\n\r\n", received=5, size=9, object_id=b"").startswith(b"header ")


def test_identity_bears_what_servers_do_to_headers() -> None:
    """GreenMail shows question marks in the header where the mail has other bytes; others fold anew."""
    for one, other in (
        (b"Message-ID: <\xef\xbf\xbd\xef\xbf\xbd@x>\r\n\r\n", b"Message-ID: <??@x>\r\n\r\n"),
        (b"Message-ID: <a\r\n\tb@x>\r\n\r\n", b"Message-ID: <a\r\n b@x>\r\n\r\n"),
        (b"Subject: \xe4 b\r\nX: 1\r\n\r\n", b"Subject: ?\r\n b\nX: 1\n\n"),
    ):
        told = [identity(header=header, received=5, size=9, object_id=b"") for header in (one, other)]
        assert told[0] == told[1]


def test_without_message_id_the_whole_header_counts() -> None:
    one, two = (identity(header=b"X: %d\r\n\r\n" % n, received=5, size=9, object_id=b"") for n in (1, 2))
    assert one != two


def test_raw_fields_stay_raw() -> None:
    assert raw_fields(b"Message-ID: <\xe4@x>\r\n\r\n") == {b"message-id": b"<\xe4@x>"}
