"""Where to begin, samples, and what a `refetch` request names."""

from collections.abc import Callable, Sequence

import pytest

from mailfetch_fetcher.sources.base import Message
from mailfetch_fetcher.sources.pop3 import Pop3Source
from tests.servers.ledger import Ledger, digest
from tests.servers.pop3fake import FakePop3

Make = Callable[..., Pop3Source]
DATES = (b"Fri, 31 Jan 2025 23:59:59 +0000", b"Sat, 01 Feb 2025 00:00:00 +0000", b"nonsense", b"1 Jan 2024 00:00 +0000")
FIRST_OF_FEBRUARY = 1738368000


def fill(server: FakePop3, count: int = 1) -> None:
    for n in range(count):
        for index, date in enumerate(DATES):
            server.add(b"Subject: %d\r\nDate: %s\r\n\r\nbody" % (n, date), uidl=b"%d.%d" % (index, n))


def every(names: Sequence[bytes]) -> list[bool]:
    return [True] * len(names)


def old_names(source: Pop3Source, since: int | None) -> list[bytes]:
    baseline = source.baseline(since=since)
    assert baseline.cursor
    return [name for piece in baseline.old for name in piece]


def test_now_makes_all_old(server: FakePop3, open_source: Make) -> None:
    fill(server, 2)
    source = open_source()
    assert old_names(source, None) == [m.name for piece in source.listing() for m in piece.mails]
    assert server.count("TOP") == 0


@pytest.mark.parametrize("count", [1, 80])
def test_since_goes_by_the_date_header(server: FakePop3, open_source: Make, count: int) -> None:
    fill(server, count)
    names = old_names(open_source(), FIRST_OF_FEBRUARY)
    assert sorted(names) == sorted(b"uidl 1 %d.%d" % (i, n) for n in range(count) for i in (0, 3))
    assert server.count("TOP") == 4 * count


def test_without_top_no_date_is_known_and_no_mail_is_old(server: FakePop3, open_source: Make) -> None:
    server.quirks.top = False
    fill(server)
    assert old_names(open_source(), FIRST_OF_FEBRUARY) == []
    assert server.count("RETR") == 0


def test_since_for_a_refetch(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    fill(server)
    source = open_source()
    ledger.download(source)
    for wanted in ("since:2025-02-01", "since:2025-02-01#again"):
        refs = [ref for window in source.select(wanted, after="", cursor="", known=ledger.known) for ref in window.refs]
        assert [ref.key for ref in refs] == ["1.0/1", "2.0/1"]
    items = list(source.fetch(refs))
    assert [item.cursor for item in items] == ["1.0/1", "2.0/1"]
    assert all(isinstance(item, Message) for item in items)


def test_a_refetch_goes_on_where_it_was_even_if_that_mail_is_gone(server: FakePop3, open_source: Make) -> None:
    fill(server, 3)
    source = open_source()
    (window,) = source.select("since:2025-02-01", after="", cursor="", known=every)
    assert window.cursor == window.refs[-1].key
    server.mails = [mail for mail in server.mails if mail.uidl != b"1.2"]
    source.rest(durable=lambda: True)
    (rest,) = source.select("since:2025-02-01", after=window.refs[2].key, cursor="", known=every)
    assert window.refs[2].key == "1.2/1"
    assert [ref.key for ref in rest.refs] == [ref.key for ref in window.refs[3:]]
    assert list(source.select("since:2025-02-01", after=window.cursor, cursor="", known=every)) == []


def test_new_mails_are_not_for_a_refetch(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    fill(server)
    source = open_source()
    ledger.download(source)
    source.rest(durable=lambda: True)
    server.add(b"Date: %s\r\n\r\nnew" % DATES[1], uidl=b"9.9")
    (window,) = source.select("since:2025-02-01", after="", cursor="", known=ledger.known)
    assert [ref.key for ref in window.refs] == ["1.0/1", "2.0/1"]
    assert ledger.download(source) == [b"Date: %s\r\n\r\nnew\r\n" % DATES[1]]


@pytest.mark.parametrize("wanted", ["uid:5,7-9", "since:yesterday", "since:2025-02-30", "", "since:2025-2-1"])
def test_what_cannot_be_selected(open_source: Make, wanted: str) -> None:
    with pytest.raises(ValueError, match="since:"):
        open_source().select(wanted, after="", cursor="", known=every)


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (3, 3), (8, 8), (20, 8)])
def test_a_sample_is_spread_over_all(server: FakePop3, open_source: Make, count: int, expected: int) -> None:
    fill(server, 2)
    source = open_source()
    names = [m.name for piece in source.listing() for m in piece.mails]
    sample = source.sample("", count)
    assert len(set(sample)) == expected
    assert set(sample) <= set(names)
    if expected == 8:
        assert sample == names


def test_a_sample_of_nothing(open_source: Make) -> None:
    assert open_source().sample("", 3) == []


def test_pieces_and_windows_are_bounded(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    for n in range(12_000):
        server.add(b"", uidl=b"%d" % n)
    source = open_source()
    assert [len(piece.mails) for piece in source.listing()] == [5000, 5000, 2000]
    assert [len(window.refs) for window in source.discover("", known=ledger.known)] == [5000, 5000, 2000]
    assert [len(piece) for piece in source.baseline(since=None).old] == [5000, 5000, 2000]


def test_the_cursor_never_fails(open_source: Make) -> None:
    assert open_source().changed("anything", anchor="x:y", digest=digest) == ""
