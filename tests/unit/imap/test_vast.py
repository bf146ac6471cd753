"""A mailbox of a million mails: no more memory than one of a few thousand."""

import tracemalloc
from collections.abc import Callable

import pytest

from mailfetch_fetcher.sources import imap_walk
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.imapfake import FakeImap, VastFolder
from tests.servers.imapfake_calls import never

Open = Callable[..., ImapSource]
MILLION = 1_000_000


def found(source: ImapSource) -> int:
    return sum(len(window.refs) for window in source.discover("", known=never))


def listed(source: ImapSource) -> int:
    return sum(len(piece.mails) for piece in source.listing())


def peak(do: Callable[[ImapSource], int], source: ImapSource, *, count: int) -> int:
    """Most bytes that are in use at a time, those of the scripted server included."""
    tracemalloc.start(1)
    try:
        assert do(source) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("walk", [found, listed])
def test_memory_does_not_grow_with_the_mailbox(
    server: FakeImap, open_source: Open, walk: Callable[[ImapSource], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_walk, "WINDOW", 1000)
    few, many = 3_000, 30_000
    server.folders["INBOX"] = VastFolder(count=few)
    small = peak(walk, open_source(), count=few)
    server.folders["INBOX"] = VastFolder(count=many)
    assert peak(walk, open_source(), count=many) < 1.5 * small


def test_a_million_mails(server: FakeImap, open_source: Open) -> None:
    server.folders["INBOX"] = VastFolder(count=MILLION, step=4294)
    source = open_source()
    largest = total = last = 0
    for window in source.discover("", known=never):
        largest, total, last = max(largest, len(window.refs)), total + len(window.refs), window.refs[-1].uid
    assert (total, last) == (MILLION, MILLION * 4294)
    assert largest <= imap_walk.WINDOW
    assert len([c for c in server.commands if c.startswith("UID FETCH")]) < 1_000  # sparse, but not one by one
