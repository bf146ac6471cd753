"""Downloading from a server that answers oddly: every mail whole, in order, or an error; never a wrong one."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources import imap_fetch
from mailfetch_fetcher.sources.base import Absent, Message, Unreadable
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.imapfake import CUT, SILENCE, FakeImap, FakeMail
from tests.servers.imapfake_calls import bodies, download, never
from tests.servers.mailgen import large_mail

Open = Callable[..., ImapSource]


def test_mails_come_whole_and_in_order(raws: list[bytes], open_source: Open) -> None:
    results = download(open_source())
    assert bodies(results) == raws
    assert [item.ref.key for item in results] == [f"1/{n}" for n in range(1, 31)]
    assert [item.cursor for item in results if isinstance(item, Message)] == [f"1:{n}" for n in range(1, 31)]


def test_flags_and_dates_are_those_of_the_mail(server: FakeImap, open_source: Open) -> None:
    server.inbox.add(b"Subject: x\r\n\r\ny", flags=[r"\Seen", r"\Recent", "UID"], date="17-Jul-1996 02:44:25 -0700")
    [mail] = download(open_source())
    assert isinstance(mail, Message)
    assert set(mail.flags) == {r"\Seen", "UID"}
    assert mail.received == 837596665


def test_answers_in_reverse_order_are_put_in_order(server: FakeImap, raws: list[bytes], open_source: Open) -> None:
    server.quirks.descending = True
    assert bodies(download(open_source())) == raws


def test_answers_out_of_order_are_held_within_bounds(
    server: FakeImap, raws: list[bytes], open_source: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_fetch, "HELD", sum(map(len, raws)) // 5)
    server.quirks.descending = True
    assert bodies(download(open_source())) == raws
    fetches = [c for c in server.commands if "BODY.PEEK[]" in c]
    assert 2 < len(fetches) < 15  # some were dropped and asked for again, but each pass got on


def test_noise_and_doubled_answers_change_nothing(server: FakeImap, raws: list[bytes], open_source: Open) -> None:
    server.quirks.noise = True
    assert bodies(download(open_source())) == raws


def test_items_behind_the_body_are_read(server: FakeImap, raws: list[bytes], open_source: Open) -> None:
    server.quirks.uid_last = True
    results = download(open_source())
    assert bodies(results) == raws
    assert all(isinstance(m, Message) and m.received == 1704103200 for m in results)


def test_large_mails_come_in_parts(server: FakeImap, open_source: Open) -> None:
    raws = [b"Subject: small\r\n\r\nx\r\n", large_mail(300_000), b"Subject: small too\r\n\r\nx\r\n"]
    for raw in raws:
        server.inbox.add(raw)
    source = open_source(part_size=1000)
    [window] = source.discover("", known=never)
    results = source.fetch(window.refs)
    small = next(results)
    assert isinstance(small, Message)
    assert small.raw == raws[0]
    large = next(results)
    assert isinstance(large, Message)
    assert large.raw is None
    assert large.parts is not None
    parts = list(large.parts)
    assert b"".join(parts) == raws[1]
    assert max(map(len, parts)) == 1000
    last = next(results)
    assert isinstance(last, Message)
    assert last.raw == raws[2]


def test_a_large_mail_is_recognised_like_one_that_came_whole(server: FakeImap, open_source: Open) -> None:
    server.inbox.add(large_mail(300_000))
    [whole], [parts] = download(open_source()), download(open_source(part_size=1000))
    assert isinstance(whole, Message)
    assert isinstance(parts, Message)
    assert whole.identity == parts.identity == b"message-id <big.1.300000@gen.test> 1704103200 300000"


def test_a_large_mail_with_its_uid_behind_the_body(server: FakeImap, open_source: Open) -> None:
    server.quirks.uid_last = True
    raws = [large_mail(50_000), large_mail(60_000)]
    for raw in raws:
        server.inbox.add(raw, flags=[r"\Flagged"])
    results = download(open_source(part_size=1000))
    assert bodies(results) == raws
    assert all(isinstance(m, Message) and m.flags == (r"\Flagged",) and m.received for m in results)


def test_a_large_body_that_turns_out_to_be_of_another_mail(server: FakeImap, open_source: Open) -> None:
    server.quirks.uid_last = True
    server.quirks.body = lambda mail: b"{%d}\r\n" % len(mail.raw) + mail.raw + b" UID 99"
    server.inbox.add(large_mail(50_000))
    with pytest.raises(SourceError, match="is not IMAP"):
        download(open_source(part_size=1000))


def test_a_consumer_that_stops_early_ends_the_connection(
    server: FakeImap, raws: list[bytes], open_source: Open
) -> None:
    source = open_source()
    [window] = source.discover("", known=never)
    results = source.fetch(window.refs)
    next(results)
    del results
    with pytest.raises(SourceError, match="was closed"):
        source.snapshot("", known=never)
    assert len(window.refs) == len(raws)


@pytest.mark.parametrize("part_size", [1000, 1 << 20])
def test_a_consumer_that_stops_at_the_last_mail_can_go_on(server: FakeImap, open_source: Open, part_size: int) -> None:
    server.inbox.add(large_mail(50_000))
    source = open_source(part_size=part_size)
    [window] = source.discover("", known=never)
    mail = next(iter(source.fetch(window.refs)))
    assert isinstance(mail, Message)
    for _ in mail.parts or ():
        pass
    assert source.snapshot("", known=never).total == 1


@pytest.mark.parametrize("part_size", [1000, 1 << 20])
def test_a_cut_behind_the_last_mail_costs_no_mail(server: FakeImap, open_source: Open, part_size: int) -> None:
    server.inbox.add(large_mail(50_000))
    server.quirks.body = lambda mail: b"{%d}\r\n" % len(mail.raw) + mail.raw + b")\r\n" + CUT
    source = open_source(part_size=part_size)
    assert bodies(download(source)) == [large_mail(50_000)]
    with pytest.raises(SourceError):
        source.snapshot("", known=never)


@pytest.mark.parametrize("part_size", [1000, 1 << 20])
def test_a_body_that_does_not_end_where_the_server_said_is_no_mail(
    server: FakeImap, open_source: Open, part_size: int
) -> None:
    """The bytes that are missing would be those of the server's next words."""
    server.quirks.body = lambda mail: b"{%d}\r\n" % (len(mail.raw) + len(b")\r\nM6 OK done\r")) + mail.raw
    server.inbox.add(large_mail(50_000))
    source = open_source(part_size=part_size)

    def read() -> None:
        for mail in download(source):
            assert isinstance(mail, Message)
            for _ in mail.parts or ():
                pass

    with pytest.raises(SourceError, match="is not IMAP"):
        read()


def test_parts_that_are_not_read_to_the_end_do_not_mix_with_the_next_mail(server: FakeImap, open_source: Open) -> None:
    for raw in (large_mail(50_000), large_mail(60_000)):
        server.inbox.add(raw)
    source = open_source(part_size=1000)
    [window] = source.discover("", known=never)
    first, second = source.fetch(window.refs)
    assert isinstance(second, Message)
    assert second.ref.uid == 2
    assert first.ref.uid == 1


@pytest.mark.parametrize("made", ['"Subject: a \\"b\\" \\\\"', "{0}\r\n", '""'])
def test_short_bodies_in_other_forms(server: FakeImap, open_source: Open, made: str) -> None:
    server.inbox.add(b"x")
    server.quirks.body = lambda _: made.encode()
    assert bodies(download(open_source())) == [b'Subject: a "b" \\' if "a" in made else b""]


def test_a_mail_left_out_and_gone_is_absent(server: FakeImap, raws: list[bytes], open_source: Open) -> None:
    source = open_source()
    [window] = source.discover("", known=never)
    del server.inbox.mails[4]
    results = list(source.fetch(window.refs))
    assert isinstance(results[4], Absent)
    assert results[4].cursor == "1:5"
    assert bodies(results[:4] + results[5:]) == raws[:4] + raws[5:]


def test_a_mail_left_out_but_there_is_unreadable(server: FakeImap, raws: list[bytes], open_source: Open) -> None:
    server.quirks.left_out = {5, 6, 30}
    results = download(open_source())
    assert [item.ref.uid for item in results if isinstance(item, Unreadable)] == [5, 6, 30]
    assert len(results) == len(raws)
    assert not any(isinstance(item, Absent) for item in results)


def test_a_mail_left_out_once_is_fetched_alone(server: FakeImap, raws: list[bytes], open_source: Open) -> None:
    source = open_source()
    [window] = source.discover("", known=never)
    server.quirks.left_out = {5}
    results = source.fetch(window.refs)
    got = [next(results) for _ in range(4)]
    server.quirks.left_out = set()  # before it is asked for alone
    assert bodies(got + list(results)) == raws


def test_a_refused_body_does_not_hide_the_others(server: FakeImap, raws: list[bytes], open_source: Open) -> None:
    server.quirks.refused = {7}
    results = download(open_source())
    assert isinstance(results[6], Unreadable)
    assert "cannot read it" in results[6].detail
    assert bodies(results[:6] + results[7:]) == raws[:6] + raws[7:]


def _short(mail: FakeMail) -> bytes:
    return b"{%d}\r\n" % (len(mail.raw) + 3) + mail.raw + b")\r\nM1 OK\r\n" + CUT


def _cut(mail: FakeMail) -> bytes:
    return b"{%d}\r\n" % len(mail.raw) + mail.raw[:100] + CUT


def _lying(mail: FakeMail) -> bytes:
    return b"{%d}\r\n" % (len(mail.raw) - 5) + mail.raw


def _bye(_: FakeMail) -> bytes:
    return b"NIL)\r\n* BYE shutting down\r\n" + CUT


@pytest.mark.parametrize("body", [_short, _cut, _lying, _bye])
@pytest.mark.parametrize("part_size", [50, 1 << 20])
def test_a_broken_body_is_an_error_never_a_mail(
    server: FakeImap, raws: list[bytes], open_source: Open, body: Callable[[FakeMail], bytes], part_size: int
) -> None:
    def third(mail: FakeMail) -> bytes:
        return body(mail) if mail.uid == 3 else b"{%d}\r\n" % len(mail.raw) + mail.raw

    server.quirks.body = third
    source = open_source(part_size=part_size)
    [window] = source.discover("", known=never)
    got: list[bytes] = []

    def read_all() -> None:
        for item in source.fetch(window.refs):
            assert isinstance(item, Message)
            got.append(b"".join(item.parts) if item.parts is not None else item.raw or b"")

    with pytest.raises(SourceError) as caught:
        read_all()
    assert caught.value.reason == "ConnectionFailed"
    assert got == raws[:2]
    with pytest.raises(SourceError):
        next(source.discover("", known=never))  # the connection is dead for ever


def test_silence_is_an_error(server: FakeImap, raws: list[bytes], open_source: Open) -> None:
    source = open_source(timeout=0.3)
    [window] = source.discover("", known=never)
    server.quirks.answers["UID FETCH"] = SILENCE
    with pytest.raises(SourceError, match=r"did not answer within 0\.3 s"):
        list(source.fetch(window.refs))
    assert len(window.refs) == len(raws)


def test_a_limit_of_the_server_is_throttling(server: FakeImap, raws: list[bytes], open_source: Open) -> None:
    source = open_source()
    [window] = source.discover("", known=never)
    server.quirks.answers["UID FETCH"] = b"TAG NO [LIMIT] download limit, wait 120 seconds\r\n"
    with pytest.raises(SourceError) as caught:
        list(source.fetch(window.refs))
    assert (caught.value.reason, caught.value.retry_after) == ("Throttled", 120.0)
    assert raws


def test_nothing_is_marked_by_reading(server: FakeImap, raws: list[bytes], open_source: Open) -> None:
    assert len(download(open_source())) == len(raws)
    assert not any(mail.flags for mail in server.inbox.mails)
    assert any(c.startswith("EXAMINE") for c in server.commands)
