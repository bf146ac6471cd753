"""Finding new mails: nothing passed over, nothing twice, never the whole mailbox in memory."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.sources import imap_discover, imap_walk
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.imapfake import FakeImap
from tests.servers.imapfake_calls import never

Open = Callable[..., ImapSource]


def uids(source: ImapSource, cursor: str = "") -> list[int]:
    return [ref.uid for window in source.discover(cursor, known=never) for ref in window.refs]


def fill(server: FakeImap, numbers: list[int]) -> list[int]:
    for number in numbers:
        server.inbox.add(b"Subject: %d\r\n\r\n" % number, uid=number)
    return numbers


def test_only_what_lies_beyond_the_cursor(server: FakeImap, open_source: Open) -> None:
    fill(server, [1, 2, 3, 7, 8])
    source = open_source()
    assert uids(source, "1:3") == [7, 8]
    assert uids(source, "1:8") == []


def test_windows_are_bounded_and_their_cursor_is_the_last_mail_seen(
    server: FakeImap, open_source: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_walk, "WINDOW", 10)
    numbers = fill(server, list(range(1, 96)))
    windows = list(open_source().discover("", known=never))
    assert [ref.uid for w in windows for ref in w.refs] == numbers
    assert max(len(w.refs) for w in windows) <= 10
    assert [w.cursor for w in windows] == [f"1:{w.refs[-1].uid}" for w in windows]
    assert len([c for c in server.commands if ":*" in c]) == 1  # only the last one may answer with more than a window


@pytest.mark.parametrize("uid_next", [True, False])
@pytest.mark.parametrize("descending", [True, False])
def test_sparse_uids(
    server: FakeImap, open_source: Open, monkeypatch: pytest.MonkeyPatch, uid_next: bool, descending: bool
) -> None:
    monkeypatch.setattr(imap_walk, "WINDOW", 10)
    server.quirks.uid_next = uid_next
    server.quirks.descending = descending
    far = 4_000_000_000
    numbers = fill(server, [1, 50, *range(1000, 1035), 70_000, far, far + 1])
    assert uids(open_source()) == numbers
    assert len([c for c in server.commands if c.startswith("UID FETCH")]) < 60


def test_more_than_a_window_since_select(server: FakeImap, open_source: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap_walk, "WINDOW", 10)
    fill(server, [1])
    source = open_source()
    assert uids(source) == [1]
    numbers = fill(server, list(range(2, 60)))
    assert uids(source, "1:1") == numbers


def test_mail_that_comes_while_walking_is_found(
    server: FakeImap, open_source: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_walk, "WINDOW", 10)
    fill(server, list(range(1, 31)))
    source = open_source()
    found: list[int] = []
    for window in source.discover("", known=never):
        found += [ref.uid for ref in window.refs]
        if len(found) == 10:
            fill(server, [31, 32])
    assert found == list(range(1, 33))


def test_news_about_a_mail_beyond_the_window_passes_over_none(
    server: FakeImap, open_source: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program flags a mail meanwhile: within a UID command the server tells its UID as well."""
    monkeypatch.setattr(imap_walk, "WINDOW", 10)
    numbers = fill(server, [n for n in range(1, 100) if n % 10 > 1])
    source = open_source()
    session = server.sessions[0]
    real = session._uid_fetch

    def with_news(rest: str) -> None:
        session.send(b"* 73 FETCH (UID 92 FLAGS (\\Seen))\r\n")
        real(rest)

    session._uid_fetch = with_news  # type: ignore[method-assign]
    assert uids(source) == numbers
    wanted = [
        ref.uid for window in source.select("uid:5-8", after="", cursor="1:99", known=never) for ref in window.refs
    ]
    assert wanted == [5, 6, 7, 8]


def test_a_frozen_uidnext_hides_nothing(server: FakeImap, open_source: Open) -> None:
    fill(server, [1, 2, 3])
    server.inbox.uid_next = 4
    source = open_source()
    assert uids(source, "1:3") == []
    fill(server, [4])
    assert uids(source, "1:3") == [4]


def test_an_empty_folder_is_not_asked_for_a_range(server: FakeImap, open_source: Open) -> None:
    source = open_source()
    assert uids(source) == []
    assert not any(c.startswith("UID FETCH") for c in server.commands)
    fill(server, [1])
    assert uids(source) == [1]


def test_sizes_that_cannot_be_told_hide_no_mail(server: FakeImap, open_source: Open) -> None:
    fill(server, [1, 2])
    source = open_source()
    real = server.sessions[0]._uid_fetch

    def without_sizes(rest: str) -> None:
        if "RFC822.SIZE" in rest:
            server.sessions[0].send(server.sessions[0].tag + b" NO [SERVERBUG] size\r\n")
        else:
            real(rest)

    server.sessions[0]._uid_fetch = without_sizes  # type: ignore[method-assign]
    [window] = source.discover("", known=never)
    assert [(ref.uid, ref.size) for ref in window.refs] == [(1, 0), (2, 0)]


@pytest.mark.parametrize("capabilities", ["IMAP4rev1 ESEARCH", "IMAP4rev1"])
def test_counting(server: FakeImap, open_source: Open, capabilities: str) -> None:
    server.quirks.after_login = capabilities
    fill(server, [1, 2, 3, 9])
    server.inbox.mails[0].flags.add(r"\Seen")
    source = open_source()
    first = source.snapshot("", known=never, unseen=True)
    assert (first.new, first.total, first.unseen, first.exact) == (4, 4, 3, True)
    later = source.snapshot("1:2", known=never)
    assert (later.new, later.total, later.unseen, later.exact) == (2, 4, -1, True)
    assert source.snapshot("1:9", known=never).new == 0
    fill(server, [10])
    assert source.snapshot("1:9", known=never).new == 1


def test_counting_after_a_reset_is_not_exact(server: FakeImap, open_source: Open) -> None:
    fill(server, [1, 2])
    look = open_source().snapshot("77:1", known=never)
    assert (look.new, look.exact) == (2, False)


def test_a_large_backlog_is_estimated_where_the_server_cannot_count(
    server: FakeImap, open_source: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_discover, "_COUNTABLE", 3)
    server.quirks.after_login = "IMAP4rev1"
    fill(server, [1, 5, 9, 20])
    look = open_source().snapshot("1:5", known=never, unseen=True)
    assert (look.new, look.exact, look.unseen) == (4, False, -1)


@pytest.mark.parametrize("code", [b"* NO [UIDNOTSTICKY] not for ever\r\n", b"* OK [UIDVALIDITY 0] none\r\n"])
def test_uids_that_are_not_for_ever_are_refused(
    server: FakeImap, make_source: Callable[..., ImapSource], code: bytes
) -> None:
    server.quirks.select_codes = code
    with pytest.raises(Exception, match="UIDVALIDITY"):
        make_source().open()


def test_a_server_that_answers_nothing_to_what_lies_beyond_the_last_mail(server: FakeImap, open_source: Open) -> None:
    """`n:*` with n above the last UID: most servers answer with the last mail, Courier and GreenMail with nothing."""
    fill(server, [1, 2, 3])
    source = open_source()
    server.quirks.answers["UID FETCH"] = b"TAG OK nothing\r\n"
    assert uids(source, "1:3") == []


def test_the_highest_uid_that_there_can_be(server: FakeImap, open_source: Open) -> None:
    highest = 2**32 - 1
    fill(server, [highest - 1, highest])
    source = open_source()
    assert uids(source) == [highest - 1, highest]
    server.commands.clear()
    assert uids(source, f"1:{highest}") == []
    assert source.snapshot(f"1:{highest}", known=never).new == 0
    assert not any(str(highest + 1) in c for c in server.commands)


def test_expunges_that_are_told_while_walking(
    server: FakeImap, open_source: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_walk, "WINDOW", 10)
    fill(server, list(range(1, 31)))
    source = open_source()
    found: list[int] = []
    for window in source.discover("", known=never):
        found += [ref.uid for ref in window.refs]
        if len(found) == 10:
            del server.inbox.mails[:15]
            server.push(b"* 1 EXPUNGE\r\n" * 15)
    assert found == [*range(1, 11), *range(16, 31)]
    assert source.snapshot("1:30", known=never).total == 15
