"""Downloading from a real Dovecot, byte for byte."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.base import Absent, Message, Unreadable, Window
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.dovecot import Dovecot
from tests.servers.imapfake_calls import bodies, never
from tests.servers.mailgen import REALISTIC, large_mail, mails
from tests.servers.proxy import FaultProxy

Make = Callable[..., ImapSource]


def download(source: ImapSource, cursor: str = "") -> tuple[list[Message], str]:
    """All mails beyond the cursor (parts joined) and the cursor behind them."""
    found: list[Message] = []
    for window in source.discover(cursor, known=never):
        for item in source.fetch(window.refs):
            assert isinstance(item, Message)
            if item.parts is not None:
                item = Message(**{**vars(item), "raw": b"".join(item.parts), "parts": None})
            found.append(item)
        cursor = window.cursor
    return found, cursor


def test_every_mail_read_or_unread_is_downloaded_and_not_touched(
    dovecot: Dovecot, user: str, open_source: Make
) -> None:
    raws = dovecot.fill(user, mails(400))
    with dovecot.client(user, folder="INBOX") as other:
        other.uid("STORE", "1:200", "+FLAGS", r"(\Seen \Flagged)")
    before = dovecot.flags(user)
    found, cursor = download(open_source(user))
    assert [m.raw for m in found] == raws
    assert found[0].flags == (r"\Flagged", r"\Seen") or set(found[0].flags) == {r"\Flagged", r"\Seen"}
    assert found[399].flags == ()
    assert dovecot.flags(user) == before
    assert cursor == f"{found[0].ref.key.split('/')[0]}:400"


def test_only_new_mail_is_downloaded_later(dovecot: Dovecot, user: str, open_source: Make) -> None:
    dovecot.fill(user, mails(20))
    _, cursor = download(open_source(user))
    new = dovecot.fill(user, mails(3, start=20))
    source = open_source(user)
    assert source.snapshot(cursor, known=never).new == 3
    found, later = download(source, cursor)
    assert [m.raw for m in found] == new
    assert source.snapshot(later, known=never).new == 0
    assert download(source, later) == ([], later)


def test_realistic_and_large_mails(dovecot: Dovecot, user: str, open_source: Make) -> None:
    raws = dovecot.fill(user, [*mails(60, profile=REALISTIC), large_mail(20_000_000), *mails(5)])
    found, _ = download(open_source(user))
    assert [m.raw for m in found] == raws


def test_dates_and_identities_last(dovecot: Dovecot, user: str, open_source: Make) -> None:
    dovecot.fill(user, mails(50), received=datetime(2023, 5, 6, 7, 8, 9, tzinfo=UTC))
    first, _ = download(open_source(user))
    again, _ = download(open_source(user, part_size=300))
    assert first[2].received == 1683356889 + 2
    assert [m.identity for m in first] == [m.identity for m in again]
    assert len({m.identity for m in first}) == len(first)


def test_uids_that_are_sparse_and_large(dovecot: Dovecot, user: str, open_source: Make) -> None:
    first = dovecot.fill(user, mails(3))
    assert len(dovecot.flags(user)) == 3
    dovecot.set_next_uid(user, 4_294_967_200)
    last = dovecot.fill(user, mails(3, start=3))
    found, cursor = download(open_source(user))
    assert [m.raw for m in found] == first + last
    assert found[-1].ref.uid == 4_294_967_202
    assert cursor.endswith(":4294967202")


def test_a_mail_expunged_between_discovery_and_download_is_absent(
    dovecot: Dovecot, user: str, open_source: Make
) -> None:
    raws = dovecot.fill(user, mails(5))
    source = open_source(user)
    [window] = source.discover("", known=never)
    dovecot.expunge(user, 3)
    results = list(source.fetch(window.refs))
    assert isinstance(results[2], Absent)
    assert [m.raw for m in results if isinstance(m, Message)] == raws[:2] + raws[3:]


def test_mail_that_comes_in_the_session_is_found(dovecot: Dovecot, user: str, open_source: Make) -> None:
    source = open_source(user)
    assert download(source) == ([], "")
    raws = dovecot.fill(user, mails(2))
    found, cursor = download(source)
    assert [m.raw for m in found] == raws
    more = dovecot.fill(user, mails(2, start=2))
    assert source.snapshot(cursor, known=never).new == 2
    assert [m.raw for m in download(source, cursor)[0]] == more


def test_mail_that_comes_while_asking_is_not_slept_through(dovecot: Dovecot, user: str, open_source: Make) -> None:
    """Dovecot looks into the Maildir at the end of a command: this one does not show the mail yet, but tells of it."""
    dovecot.fill(user, mails(1))
    source = open_source(user)
    _, cursor = download(source)
    more = dovecot.fill(user, mails(1, start=1))
    while not (found := download(source, cursor)[0]):
        assert source.wait(300.0)
    assert [m.raw for m in found] == more


def test_a_connection_cut_anywhere_gives_no_wrong_mail(dovecot: Dovecot, user: str, make_source: Make) -> None:
    raws = dovecot.fill(user, mails(40))
    whole = sum(map(len, raws))

    def collect(source: ImapSource, into: list[bytes]) -> None:
        source.open()
        for window in source.discover("", known=never):
            _collect_window(source, window, into)

    with FaultProxy(dovecot.imap_port) as proxy:
        for part_size in (200, 1 << 20):
            for k in range(12):
                proxy.cut_after(1_500 + k * whole // 12, "to_client")
                got: list[bytes] = []
                source = make_source(
                    user, encryption="None", allow_insecure_login=True, port=proxy.port, part_size=part_size
                )
                with pytest.raises(SourceError) as caught:
                    collect(source, got)
                assert caught.value.reason == "ConnectionFailed"
                assert got == raws[: len(got)]
        assert proxy.faults == 24


def _collect_window(source: ImapSource, window: Window, into: list[bytes]) -> None:
    for item in source.fetch(window.refs):
        assert isinstance(item, Message)
        into.append(b"".join(item.parts) if item.parts is not None else item.raw or b"")


def test_a_connection_that_falls_silent_is_noticed(dovecot: Dovecot, user: str, make_source: Make) -> None:
    dovecot.fill(user, mails(3))
    with FaultProxy(dovecot.imaps_port) as proxy:
        source = make_source(user, port=proxy.port, timeout=0.5)
        source.open()
        proxy.freeze()
        with pytest.raises(SourceError, match=r"did not answer within 0\.5 s"):
            list(source.discover("", known=never))


def test_a_mail_above_the_limit_is_not_read(dovecot: Dovecot, user: str, make_source: Make) -> None:
    raws = dovecot.fill(user, [*mails(2), large_mail(5_000_000), *mails(2, start=2)])
    with FaultProxy(dovecot.imap_port) as proxy:
        source = make_source(
            user, port=proxy.port, encryption="None", allow_insecure_login=True, max_message_size=1_000_000
        )
        source.open()
        [window] = source.discover("", known=never)
        first, second, large, *others = source.fetch(window.refs)
        assert isinstance(large, Unreadable)
        assert large.too_large == 5_000_000
        assert bodies([first, second, *others]) == [*raws[:2], *raws[3:]]
        assert source.snapshot("", known=never).total == 5  # the connection lives
        assert proxy.passed["to_client"] < 500_000
