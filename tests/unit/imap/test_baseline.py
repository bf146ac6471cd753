"""Where a mailbox begins that is not downloaded from its beginning; the cursor that says so."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfetch_fetcher.sources import imap_walk
from mailfetch_fetcher.sources.imap import ImapSource
from mailfetch_fetcher.sources.imap_cursor import Cursor, read_cursor
from tests.servers.imapfake import FakeImap
from tests.servers.imapfake_calls import messages, never

Open = Callable[..., ImapSource]
DAY = 86400
JANUARY_10 = 1704844800
"""2024-01-10 00:00 UTC."""


def fill(server: FakeImap, *days: str) -> None:
    """A mail of each day of January 2024, 10:00 UTC; `NIL`: of a day that nobody knows."""
    for day in days:
        date = day if day == "NIL" else f"{day}-Jan-2024 10:00:00 +0000"
        server.inbox.add(b"Subject: %s\r\n\r\n" % day.encode(), date=date)


def walk(source: ImapSource, cursor: str) -> tuple[list[int], list[str]]:
    """UIDs beyond a cursor, and the cursors on the way."""
    windows = list(source.discover(cursor, known=never))
    return [ref.uid for w in windows for ref in w.refs], [w.cursor for w in windows]


def test_now(server: FakeImap, open_source: Open) -> None:
    fill(server, "01", "02")
    source = open_source()
    baseline = source.baseline(since=None)
    assert (baseline.cursor, list(baseline.old)) == ("1:2", [])
    fill(server, "03")
    assert walk(source, baseline.cursor)[0] == [3]


@pytest.mark.parametrize("uid_next", [True, False])
def test_now_in_a_folder_whose_last_mails_are_gone_or_that_tells_no_uidnext(
    server: FakeImap, open_source: Open, uid_next: bool
) -> None:
    server.quirks.uid_next = uid_next
    assert open_source().baseline(since=None).cursor == "1:0"
    fill(server, "01", "02", "03")
    del server.inbox.mails[2]
    assert open_source().baseline(since=None).cursor == ("1:3" if uid_next else "1:2")


def test_since_counts_below_the_baseline_only(server: FakeImap, open_source: Open) -> None:
    fill(server, "01", "12", "NIL", "09", "10", "02")
    source = open_source()
    cursor = source.baseline(since=JANUARY_10).cursor
    assert cursor == f"1:0;6;{JANUARY_10}"
    fill(server, "05")  # old, but it came later: somebody moved it here
    uids, cursors = walk(source, cursor)
    assert uids == [2, 3, 5, 7]
    assert cursors == ["1:6", "1:7"]


def test_since_in_a_folder_with_nothing_in_it(server: FakeImap, open_source: Open) -> None:
    cursor = open_source().baseline(since=JANUARY_10).cursor
    assert cursor == "1:0"
    fill(server, "01")
    assert walk(open_source(), cursor)[0] == [1]


def test_the_filter_stays_in_the_cursor_until_it_is_passed(
    server: FakeImap, open_source: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_walk, "WINDOW", 2)
    fill(server, "01", "02", "12", "03", "13", "14")
    source = open_source()
    cursor = source.baseline(since=JANUARY_10).cursor
    uids, cursors = walk(source, cursor)
    assert uids == [3, 5, 6]
    assert cursors == [f"1:2;6;{JANUARY_10}", f"1:4;6;{JANUARY_10}", "1:6"]
    for started_again in cursors:
        assert walk(open_source(), started_again)[0] == [u for u in uids if u > read_cursor(started_again).uid]
    assert [m.cursor for m in messages(open_source(), cursor)] == [f"1:3;6;{JANUARY_10}", f"1:5;6;{JANUARY_10}", "1:6"]


def test_the_filter_of_one_walk_is_not_that_of_the_next(server: FakeImap, open_source: Open) -> None:
    fill(server, "01", "12", "13")
    source = open_source()
    assert [m.cursor for m in messages(source, f"1:0;3;{JANUARY_10}")] == [f"1:2;3;{JANUARY_10}", "1:3"]
    assert [m.cursor for m in messages(source, "1:1")] == ["1:2", "1:3"]


@pytest.mark.parametrize("capabilities", ["IMAP4rev1 ESEARCH", "IMAP4rev1"])
def test_counting_below_the_baseline_is_not_exact(server: FakeImap, open_source: Open, capabilities: str) -> None:
    server.quirks.after_login = capabilities
    fill(server, "01", "12", "13", "02")
    look = open_source().snapshot(f"1:0;4;{JANUARY_10}", known=never)
    assert (look.new, look.exact) == (2 if "ESEARCH" in capabilities else 4, False)
    beyond = open_source().snapshot(f"1:3;3;{JANUARY_10}", known=never)
    assert (beyond.new, beyond.exact) == (1, True)


def test_a_cursor_of_before_this_version_can_be_read() -> None:
    assert read_cursor("77:12") == Cursor(uid_validity=77, uid=12)
    assert str(read_cursor("")) == ""


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**33))
def test_a_cursor_is_read_as_it_was_written(uid_validity: int, uid: int, bound: int, since: int) -> None:
    cursor = Cursor(uid_validity=uid_validity, uid=uid, bound=bound, since=since)
    again = read_cursor(str(cursor))
    assert str(again) == str(cursor)
    for number in (uid + 1, bound, bound + 1):
        for received in (None, since - 1, since):
            if number > uid:
                assert again.wants(number, received) == cursor.wants(number, received)
