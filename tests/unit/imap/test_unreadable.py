"""Mails that are there and cannot be had: each is a matter of its own, and the connection lives on."""

from collections.abc import Callable, Sequence

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.base import Absent, Message, Unreadable
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.imapfake import FakeImap
from tests.servers.imapfake_calls import Result, bodies, download, never
from tests.servers.mailgen import large_mail, make_mail

Open = Callable[..., ImapSource]


# ---- too large ----


def _sizes(found: Sequence[Result]) -> dict[int, int]:
    return {item.ref.uid: item.too_large for item in found if isinstance(item, Unreadable)}


@pytest.mark.parametrize("part_size", [1000, 1 << 20])
@pytest.mark.parametrize("partial", [True, False])
@pytest.mark.parametrize("hint", ["right", "none", "far too large"])
def test_a_mail_above_the_limit_is_told_and_the_connection_lives_on(
    server: FakeImap, open_source: Open, part_size: int, partial: bool, hint: str
) -> None:
    server.quirks.partial = partial
    raws = [make_mail(1), large_mail(50_000), make_mail(2), large_mail(60_000), make_mail(3)]
    for raw in raws:
        server.inbox.add(raw)
    if hint != "right":
        server.quirks.sizes = {2: 0 if hint == "none" else 1 << 40, 4: 0}
    source = open_source(part_size=part_size, max_message_size=40_000)
    found = download(source)
    assert [item.ref.uid for item in found] == [1, 2, 3, 4, 5]
    assert _sizes(found) == {2: 1 << 40 if hint == "far too large" else 50_000, 4: 60_000}
    assert [item.cursor for item in found] == [f"1:{n}" for n in range(1, 6)]
    assert bodies([item for item in found if isinstance(item, Message)]) == [raws[0], raws[2], raws[4]]
    assert download(source, "1:4") == found[4:]


def test_a_mail_that_is_too_large_by_its_hint_is_not_read(server: FakeImap, open_source: Open) -> None:
    server.inbox.add(large_mail(50_000))
    [result] = download(open_source(max_message_size=40_000))
    assert isinstance(result, Unreadable)
    assert result.too_large == 50_000
    assert "spec.queue.maxMessageSize" in result.detail
    assert [c for c in server.commands if "BODY.PEEK[]" in c] == [
        "UID FETCH 1 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[]<40000.1>)"
    ]


@pytest.mark.parametrize("size", [39_999, 40_000, 40_001])
@pytest.mark.parametrize("partial", ["taken notice of", "ignored", "refused"])
def test_a_wrong_hint_costs_no_mail(server: FakeImap, open_source: Open, size: int, partial: str) -> None:
    """Exchange tells the size of its storage: only the mail itself counts."""
    raw = large_mail(size)
    server.inbox.add(raw)
    server.quirks.sizes = {1: 90_000}
    server.quirks.partial = partial == "taken notice of"
    if partial == "refused":
        server.quirks.refused, server.quirks.refused_item = {1}, "BODY.PEEK[]<"
    found = download(open_source(max_message_size=40_000))
    if size > 40_000:
        assert _sizes(found)[1] >= size
    else:
        assert bodies(found) == [raw]


def test_a_mail_that_came_before_its_turn_is_measured_as_well(server: FakeImap, open_source: Open) -> None:
    server.quirks.descending = True
    for raw in (make_mail(1), large_mail(50_000), make_mail(2)):
        server.inbox.add(raw)
    server.quirks.sizes = {2: 10}
    found = download(open_source(max_message_size=40_000))
    assert _sizes(found) == {2: 50_000}
    assert len(found) == 3


def test_what_is_too_large_and_gone_is_absent(server: FakeImap, open_source: Open) -> None:
    server.inbox.add(large_mail(50_000))
    source = open_source(max_message_size=40_000)
    [window] = source.discover("", known=never)
    server.inbox.mails.clear()
    [result] = source.fetch(window.refs)
    assert isinstance(result, Absent)


def test_reading_away_what_is_too_large_shows_signs_of_life(server: FakeImap, make_source: Open) -> None:
    server.inbox.add(large_mail(50_000))
    server.quirks.sizes = {1: 10}
    signs: list[int] = []
    source = make_source(alive=lambda: signs.append(1), part_size=1000, max_message_size=40_000)
    source.open()
    assert len(download(source)) == 1
    assert len(signs) == 50


def test_a_session_that_ends_stops_reading_away(server: FakeImap, make_source: Open) -> None:
    class StopError(Exception):
        pass

    def stop() -> None:
        raise StopError

    server.inbox.add(large_mail(50_000))
    server.quirks.sizes = {1: 10}
    source = make_source(alive=stop, part_size=1000, max_message_size=40_000)
    source.open()
    with pytest.raises(StopError):
        download(source)
    with pytest.raises(SourceError):
        source.snapshot("", known=never)


# ---- what the server does not give out for now ----


@pytest.fixture
def unavailable(server: FakeImap) -> None:
    server.quirks.refusal = b"[UNAVAILABLE] temporarily not available, try again later"


@pytest.mark.usefixtures("unavailable")
def test_unavailable_is_a_matter_of_that_mail(server: FakeImap, raws: list[bytes], open_source: Open) -> None:
    server.quirks.refused = {3, 4, 9, 17, 28, 29}
    source = open_source()
    found = download(source)
    assert [item.ref.uid for item in found if isinstance(item, Unreadable)] == [3, 4, 9, 17, 28, 29]
    assert [item.cursor for item in found] == [f"1:{n}" for n in range(1, 31)]
    assert bodies([item for item in found if isinstance(item, Message)]) == [
        raw for uid, raw in enumerate(raws, start=1) if uid not in server.quirks.refused
    ]
    assert source.snapshot("", known=never).total == 30


@pytest.mark.usefixtures("unavailable")
def test_unavailable_for_everything_is_throttling(server: FakeImap, raws: list[bytes], open_source: Open) -> None:
    server.quirks.refused = set(range(1, len(raws) + 1))
    source = open_source()
    [window] = source.discover("", known=never)
    got: list[object] = []

    def read_all() -> None:
        got.extend(source.fetch(window.refs))

    with pytest.raises(SourceError) as caught:
        read_all()
    assert caught.value.reason == "Throttled"
    assert len([c for c in server.commands if "BODY.PEEK[]" in c]) <= 6


@pytest.mark.usefixtures("unavailable")
def test_a_mail_that_is_unavailable_again_and_again_is_no_throttling_while_others_come(
    server: FakeImap, raws: list[bytes], open_source: Open
) -> None:
    server.quirks.refused = {2}
    source = open_source()
    [window] = source.discover("", known=never)
    for _ in range(5):
        first, second = source.fetch(window.refs[:2])
        assert isinstance(first, Message)
        assert isinstance(second, Unreadable)
    assert raws
