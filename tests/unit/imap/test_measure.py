"""A server without measure: it takes neither the memory of the process, which serves other mailboxes, nor ends it."""

import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.base import Unreadable
from mailfetch_fetcher.sources.imap import ImapSource
from mailfetch_fetcher.sources.imap_answers import items, uid_and_size
from tests.servers.imapfake import FakeImap
from tests.servers.imapfake_calls import download, messages, never

Make = Callable[..., ImapSource]
MOST = 100 << 20


@pytest.fixture(autouse=True)
def measured() -> Iterator[None]:
    """Everything here stays below a fixed amount of memory."""
    tracemalloc.start(1)
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST


@pytest.mark.parametrize(
    "answer",
    [
        b"* OK and so on\r\n" * 300_000,
        b"* 1 EXISTS\r\n" * 300_000,
        b"* LIST () " + (b"{1000000}\r\n" + b"a" * 1_000_000 + b" ") * 20 + b"\r\n",
    ],
    ids=["many answers", "many counts", "many literals"],
)
def test_answers_without_end(server: FakeImap, make_source: Make, answer: bytes) -> None:
    server.quirks.answers["CAPABILITY"] = answer + b"* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR\r\nTAG OK done\r\n"
    with pytest.raises(SourceError) as caught:
        make_source().open()
    assert caught.value.reason == "ConnectionFailed"


@pytest.mark.parametrize("piece", [b"a", rb"\""])
def test_a_long_body_as_a_quoted_string_is_not_taken(server: FakeImap, open_source: Make, piece: bytes) -> None:
    server.inbox.add(b"Subject: x\r\n\r\n")
    server.quirks.body = lambda mail: b'"' + piece * 4_000_000 + b'"'
    assert [type(item) for item in download(open_source())] == [Unreadable]


def test_numbers_that_are_none(server: FakeImap, make_source: Make) -> None:
    """Python refuses to read thousands of digits, which would be taken for a fault of ours."""
    digits = b"9" * 5000
    assert uid_and_size(b"* 1 FETCH (UID %b RFC822.SIZE %b)" % (digits, digits)) == (0, -1)
    assert uid_and_size(b"* 1 FETCH (UID 99999999999 RFC822.SIZE 5)") == (0, 5)
    assert items(b"* 1 FETCH (UID 1 EMAILID (%b))" % (b"m" * 256)).object_id == b""
    assert items(b"* 1 FETCH (UID 1 EMAILID (M6d99ac3275bb4e) X-GM-MSGID 1)").object_id == b"M6d99ac3275bb4e"
    server.inbox.add(b"Subject: x\r\n\r\n")
    server.quirks.select_codes = b"* OK [UIDNEXT %b] x\r\n* %b EXISTS\r\n" % (digits, digits)
    source = make_source()
    source.open()
    server.quirks.answers["UID SEARCH"] = b'* ESEARCH (TAG "TAG") UID COUNT %b\r\nTAG OK done\r\n' % digits
    assert source.snapshot("1:1", known=never).new == 0
    assert len(messages(source)) == 1
