"""Names that outlive a session, with and without UIDL, and lists from which nothing may be concluded."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.pop3 import Pop3Source
from mailfetch_fetcher.sources.pop3_listing import Maildrop
from tests.servers.ledger import Ledger
from tests.servers.mailgen import mails
from tests.servers.pop3fake import CUT, FakePop3

Make = Callable[..., Pop3Source]


def names(source: Pop3Source) -> list[bytes]:
    return [mail.name for piece in source.listing() for mail in piece.mails]


def keys(source: Pop3Source) -> list[str]:
    return [mail.ref.key for piece in source.listing() for mail in piece.mails]


def test_a_name_is_uidl_and_occurrence(server: FakePop3, open_source: Make) -> None:
    for uidl in (b"a", b"b/1", b"a", b"a b", b"=x", b"\xff%", b"a"):
        server.add(b"Subject: x\r\n\r\n", uidl=uidl)
    source = open_source()
    assert names(source) == [
        b"uidl 1 a",
        b"uidl 1 b%2F1",
        b"uidl 2 a",
        b"uidl 1 a%20b",
        b"uidl 1 %3Dx",
        b"uidl 1 %FF%25",
        b"uidl 3 a",
    ]
    assert keys(source) == ["a/1", "b%2F1/1", "a/2", "a%20b/1", "%3Dx/1", "%FF%25/1", "a/3"]


def test_a_uidl_that_is_too_long_is_bounded(server: FakePop3, open_source: Make) -> None:
    server.add(b"Subject: x\r\n\r\n", uidl=b"/" * 5000)
    server.add(b"Subject: x\r\n\r\n", uidl=b"/" * 5001)
    first, second = keys(open_source())
    assert first != second
    assert len(first) < 200


def test_finding_by_key() -> None:
    maildrop = Maildrop([1, 2, 3, 7], [b"a", b"b", b"a", b"c"])
    assert [maildrop.find(key) for key in ("a/1", "b/1", "a/2", "c/1")] == [0, 1, 2, 3]
    strange = ("a/3", "a/0", "a/-1", "d/1", "a", "", "/", "a/x", "a/٢", "ä/1", "a/" + "9" * 50)
    assert [maildrop.find(key) for key in strange] == [None] * len(strange)
    assert list(maildrop.same(2)) == [0, 2]
    assert list(maildrop.same(1)) == [1]


@pytest.mark.parametrize("capabilities", [("TOP",), None])
def test_without_uidl_the_header_is_the_name(
    server: FakePop3, open_source: Make, ledger: Ledger, capabilities: tuple[str, ...] | None
) -> None:
    server.quirks.uidl = False
    server.quirks.after_login = server.quirks.before_login = capabilities
    server.quirks.pipelining = False
    server.add(*mails(3), *mails(1))
    source = open_source()
    assert len(set(names(source))) == 4
    assert ledger.download(source) == server.left
    source.rest(durable=lambda: True)
    server.add(*mails(1, start=9))
    server.quirks.header = lambda raw: b"Status: RO\r\nX-UIDL: 5\r\n" + raw  # as qpopper does after RETR
    assert len(ledger.download(source)) == 1


def test_without_uidl_and_top_the_mail_itself_is_read(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    server.quirks.uidl = server.quirks.top = False
    server.quirks.before_login = server.quirks.after_login = None
    server.quirks.pipelining = False
    server.add(*mails(3))
    source = open_source()
    assert ledger.download(source) == server.left
    source.rest(durable=lambda: True)
    assert ledger.download(source) == []


def test_some_mails_have_no_uidl(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    server.add(*mails(4))
    server.mails[1].uidl = server.mails[3].uidl = b""
    source = open_source()
    assert [name.startswith(b"uidl 1 =header-") for name in names(source)] == [False, True, False, True]
    assert ledger.download(source) == server.left
    assert server.count("TOP") == 2


def test_a_mail_without_uidl_whose_header_cannot_be_had_is_listed(server: FakePop3, open_source: Make) -> None:
    server.add(*mails(2))
    server.mails[1].uidl = b""
    server.quirks.answers["TOP"] = server.quirks.answers["RETR"] = b"-ERR unreadable\r\n"
    assert names(open_source())[1] == b"uidl 1 =unreadable"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("UIDL", b"+OK\r\n1 a\r\n2 b\r\n.\r\n"),
        ("UIDL", b"+OK\r\n.\r\n"),
        ("UIDL", b"+OK\r\n1 a\r\n2 b\r\n3 c\r\n" + CUT),
        ("UIDL", b"+OK\r\n1 a\r\n2 b\r\n2 c\r\n3 d\r\n.\r\n"),
        ("UIDL", b"+OK\r\n1 a\r\n2 b\r\nthree c\r\n.\r\n"),
        ("UIDL", b"-ERR not now\r\n"),  # announced, so it must work
        ("STAT", b"+OK\r\n"),
        ("STAT", b"+OK many\r\n"),
        ("STAT", b"-ERR\r\n"),
    ],
)
def test_a_list_that_is_not_complete_raises(server: FakePop3, make_source: Make, command: str, answer: bytes) -> None:
    server.add(*mails(3))
    server.quirks.answers[command] = answer
    with pytest.raises(SourceError) as caught:
        make_source().open()
    assert caught.value.reason == "ConnectionFailed"


@pytest.mark.parametrize("text", [b"[SYS/TEMP] away", b"server busy, try again later", b"[IN-USE] locked"])
def test_trouble_is_not_taken_for_a_server_without_uidl(server: FakePop3, make_source: Make, text: bytes) -> None:
    """Or every mail would have another name, and come again."""
    server.quirks.before_login = server.quirks.after_login = None
    server.quirks.pipelining = False
    server.quirks.answers["UIDL"] = b"-ERR " + text + b"\r\n"
    server.add(*mails(1))
    with pytest.raises(SourceError):
        make_source().open()


def test_more_mails_than_stat_said(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    server.quirks.answers["STAT"] = b"+OK 1 100\r\n"
    server.add(*mails(2))
    assert ledger.download(open_source()) == server.left


def test_numbers_with_gaps(server: FakePop3, open_source: Make) -> None:
    server.add(*mails(3))
    server.quirks.answers["UIDL"] = b"+OK\r\n1 a\r\n3 c\r\n.\r\n"
    server.quirks.answers["STAT"] = b"+OK 2 100\r\n"
    source = open_source()
    (item,) = source.fetch([mail.ref for piece in source.listing() for mail in piece.mails][1:])
    assert getattr(item, "raw", None) == server.left[2]


@pytest.mark.parametrize("count", [10, 200])
@pytest.mark.parametrize("pipelining", [True, False])
def test_sizes_are_asked_for_in_the_cheaper_way(
    server: FakePop3, open_source: Make, ledger: Ledger, count: int, pipelining: bool
) -> None:
    if not pipelining:
        server.quirks.after_login, server.quirks.pipelining = ("UIDL", "TOP"), False
    server.add(*mails(count))
    source = open_source()
    (window,) = source.discover("", known=ledger.known)
    assert [ref.size for ref in window.refs] == [len(raw) for raw in server.left]
    assert server.count("LIST") == (1 if count > 50 else count)


@pytest.mark.parametrize("answer", [b"-ERR no\r\n", b"+OK 1 -5\r\n", b"+OK 1\r\n", b"+OK 2 100\r\n", b"+OK x\r\n"])
def test_a_size_that_is_not_told_does_no_harm(
    server: FakePop3, open_source: Make, ledger: Ledger, answer: bytes
) -> None:
    server.add(*mails(1))
    server.quirks.answers["LIST"] = answer
    source = open_source()
    (window,) = source.discover("", known=ledger.known)
    assert window.refs[0].size == 0
    assert ledger.download(source) == server.left
