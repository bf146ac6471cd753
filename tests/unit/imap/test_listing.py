"""Recognising mails by a listing: the same names as after a download, at little cost; samples and requests."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources import imap_walk
from mailfetch_fetcher.sources.base import Listed
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.imapfake import FakeImap
from tests.servers.imapfake_calls import messages, never
from tests.servers.mailgen import mails, make_mail

Open = Callable[..., ImapSource]
HARD = [
    b"",
    b"\r\nonly a body",
    b"Subject: no id\r\n\r\nbody",
    b"Subject: no end of the header",
    b"Message-ID:\r\n <folded@x.test>\r\nSubject: x\r\n\r\n",
    b"Message-ID: <two\r\n\tlines@x.test>\r\n\r\n",
    b"Message-ID: \r\nSubject: empty\r\n\r\n",
    b"Message-ID: <first@x.test>\r\nMessage-ID: <second@x.test>\r\n\r\n",
    b"MESSAGE-id :  <blank-before-colon@x.test> \r\n\r\n",
    b"Subject: in the body only\r\n\r\nMessage-ID: <body@x.test>\r\n",
    b"X-Message-ID: <other@x.test>\r\nIn-Reply-To: <a@x.test>\r\n\r\n",
    b"Message-ID: <\xe4\xf6@x.test>\r\n\r\n",
    b"Message-ID: <" + b"long" * 100 + b"@x.test>\r\n\r\n",
    b"Message-ID: <" + b"very long" * 1_000 + b"@x.test>\r\n\r\n",
    b"To: " + b"a@x.test,\r\n " * 10_000 + b"b@x.test\r\nMessage-ID: <late@x.test>\r\n\r\n",
    b"Subject: {5}\r\nMessage-ID: {3}\r\n\r\n",
]


def listed(source: ImapSource) -> list[Listed]:
    return [mail for piece in source.listing() for mail in piece.mails]


def fill(server: FakeImap, raws: list[bytes]) -> list[bytes]:
    for index, raw in enumerate(raws):
        server.inbox.add(raw, date="NIL" if index % 40 == 7 else "")
    return raws


@pytest.mark.parametrize("capabilities", ["IMAP4rev1", "IMAP4rev1 OBJECTID", "IMAP4rev1 X-GM-EXT-1"])
@pytest.mark.parametrize("quirk", ["", "uid_last", "descending", "noise", "no sizes"])
def test_a_listing_has_the_names_of_the_download(
    server: FakeImap, open_source: Open, capabilities: str, quirk: str
) -> None:
    server.quirks.after_login = capabilities
    raws = fill(server, [*HARD, *mails(200)])
    if quirk == "no sizes":
        server.quirks.sizes = dict.fromkeys(range(1, len(raws) + 1), 0)
    elif quirk:
        setattr(server.quirks, quirk, True)
    server.quirks.unnamed = {3, 20, 30}
    found = listed(open_source())
    downloaded = messages(open_source(part_size=1000))
    assert [mail.ref for mail in found] == [mail.ref for mail in downloaded]
    assert [mail.name for mail in found] == [mail.identity for mail in downloaded]
    assert [mail.received for mail in found] == [mail.received for mail in downloaded]
    assert all(mail.name for mail in found)
    assert max(len(mail.name) for mail in found) < 300  # a million of them, in pieces, fit into memory


def test_a_listing_asks_for_whole_headers_only_where_it_must(server: FakeImap, open_source: Open) -> None:
    fill(server, [b"Message-ID: <%d@x.test>\r\n\r\n" % n for n in range(30)])
    server.inbox.add(b"Subject: no id\r\n\r\n")
    source = open_source()
    server.commands.clear()
    listed(source)
    assert [c for c in server.commands if "BODY.PEEK[HEADER]" in c] == [
        "UID FETCH 8,31 (UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER])"  # 8: its date is unknown
    ]
    assert len(server.commands) == 2


def test_a_server_that_names_its_mails_shows_no_header(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = "IMAP4rev1 X-GM-EXT-1"
    fill(server, list(mails(10)))
    found = listed(open_source())
    assert found[0].name == b"object 1278455344230334866"
    assert not any("HEADER" in c for c in server.commands)


def test_pieces_are_bounded_and_tell_how_far_they_go(
    server: FakeImap, open_source: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_walk, "WINDOW", 10)
    fill(server, list(mails(35)))
    pieces = list(open_source().listing())
    assert [len(piece.mails) for piece in pieces] == [10, 10, 10, 5]
    assert [piece.cursor for piece in pieces] == ["1:10", "1:20", "1:30", "1:35"]


def test_an_empty_folder_has_an_end_all_the_same(server: FakeImap, open_source: Open) -> None:
    server.inbox.uid_validity = 7
    [piece] = open_source().listing()
    assert (piece.mails, piece.cursor) == ((), "7:0")


@pytest.mark.parametrize("refusal", [b"[SERVERBUG] cannot read it", b"[UNAVAILABLE] try again later"])
def test_a_header_that_is_not_shown_hides_no_other(server: FakeImap, open_source: Open, refusal: bytes) -> None:
    fill(server, [make_mail(n) for n in range(40)])
    server.quirks.refused, server.quirks.refused_item, server.quirks.refusal = {5, 6, 33}, "BODY.PEEK[H", refusal
    found = listed(open_source())
    server.quirks.refused = set()
    wanted = [mail.identity for mail in messages(open_source())]
    assert [mail.ref.uid for mail in found] == list(range(1, 41))
    assert {mail.ref.uid: mail.name for mail in found if mail.name not in wanted} == {
        5: b"unseen 1/5",
        6: b"unseen 1/6",
        33: b"unseen 1/33",
    }
    assert found[0].received == 1704103200


@pytest.mark.parametrize(
    ("refusal", "reason"), [(b"[SERVERBUG] disk", "ConnectionFailed"), (b"[UNAVAILABLE] disk", "Throttled")]
)
def test_a_server_that_shows_no_header_at_all_is_not_asked_for_each(
    server: FakeImap, open_source: Open, refusal: bytes, reason: str
) -> None:
    fill(server, [make_mail(n) for n in range(200)])
    server.quirks.refused, server.quirks.refused_item, server.quirks.refusal = set(range(201)), "BODY.PEEK[H", refusal
    with pytest.raises(SourceError) as caught:
        listed(open_source())
    assert caught.value.reason == reason
    assert len([c for c in server.commands if "BODY.PEEK[H" in c]) < 20


def test_a_limit_ends_the_listing(server: FakeImap, open_source: Open) -> None:
    fill(server, [b"Subject: no id\r\n\r\n"])
    server.quirks.refused, server.quirks.refused_item, server.quirks.refusal = {1}, "BODY.PEEK[HEADER]", b"[LIMIT] slow"
    with pytest.raises(SourceError) as caught:
        listed(open_source())
    assert caught.value.reason == "Throttled"


# ---- samples ----


@pytest.mark.parametrize("step", [1, 40_000_000])
def test_a_sample_is_spread_over_what_the_cursor_has_passed(server: FakeImap, open_source: Open, step: int) -> None:
    for place, raw in enumerate(mails(100), start=1):
        server.inbox.add(raw, uid=place * step)
    names = {mail.identity: mail.ref.uid // step for mail in messages(open_source())}
    source = open_source()
    server.commands.clear()
    chosen = sorted(names[name] for name in source.sample(f"1:{60 * step}", 5))
    assert len(server.commands) == 2
    assert len(chosen) == 5
    assert chosen[0] <= 5
    assert 50 <= chosen[-1] <= 60


def test_a_sample_of_little(server: FakeImap, open_source: Open) -> None:
    assert open_source().sample("1:9", 5) == []
    fill(server, [make_mail(n) for n in range(100)])
    names = [mail.identity for mail in messages(open_source())]
    source = open_source()
    assert source.sample("", 5) == []
    assert sorted(source.sample("9:2", 5)) == sorted(names[:2])  # of another UIDVALIDITY: it is a guess anyway
    assert source.sample("1:50", 0) == []
    assert len(source.sample("1:50", 1)) == 1


# ---- what a request names ----


def selected(source: ImapSource, wanted: str, after: str = "", *, cursor: str = "1:99") -> list[int]:
    windows = source.select(wanted, after=after, cursor=cursor, known=never)
    return [ref.uid for window in windows for ref in window.refs]


def test_uids_of_a_request(server: FakeImap, open_source: Open) -> None:
    fill(server, [make_mail(n) for n in range(20)])
    del server.inbox.mails[7]
    source = open_source()
    assert selected(source, "uid:7-9,5,8,3-4") == [3, 4, 5, 7, 9]
    assert selected(source, "uid:5, 18-4294967295") == [5, 18, 19, 20]
    assert selected(source, "uid:3-9", after="1:5") == [6, 7, 9]
    assert selected(source, "uid:3-9", after="1:9") == []
    assert selected(source, "uid:99") == []


def test_days_of_a_request(server: FakeImap, open_source: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap_walk, "WINDOW", 2)
    for date in ("01-Jan-2024 10:00:00 +0000", "NIL", "02-Jan-2024 00:30:00 +0100", "02-Jan-2024 00:00:00 +0000"):
        server.inbox.add(b"Subject: x\r\n\r\n", date=date)
    source = open_source()
    assert selected(source, "since:2024-01-02") == [2, 4]
    windows = list(source.select("since:2024-01-02", after="", cursor="1:4", known=never))
    assert [w.cursor for w in windows] == ["1:2", "1:4"]
    assert selected(source, "since:2024-01-02", after=windows[0].cursor) == [4]


@pytest.mark.parametrize("wanted", ["uid:1-9", "uid:4-5", "since:2024-01-01"])
def test_mails_beyond_the_cursor_are_new_and_not_for_a_request(
    server: FakeImap, open_source: Open, wanted: str
) -> None:
    fill(server, [make_mail(n) for n in range(3)])
    source = open_source()
    fill(server, [make_mail(n) for n in range(3, 5)])
    assert max(selected(source, wanted, cursor="1:4"), default=0) == 4
    assert max(selected(source, wanted, cursor="1:3"), default=3) == 3
    assert selected(source, wanted, cursor="") == []


@pytest.mark.parametrize(
    "wanted",
    ["", "uid:", "uid:0", "uid:9-5", "uid:1-", "uid:x", "uid:99999999999", "since:yesterday", "all", "uid:4294967296"],
)
def test_requests_that_are_not_understood(server: FakeImap, open_source: Open, wanted: str) -> None:
    fill(server, [b"x"])
    with pytest.raises(ValueError, match="write uid:5,7-9 or since:2026-01-31"):
        open_source().select(wanted, after="", cursor="1:1", known=never)


def test_a_request_does_not_go_on_in_another_numbering(open_source: Open) -> None:
    with pytest.raises(ValueError, match="make a new request"):
        open_source().select("uid:5-9", after="9:7", cursor="", known=never)
