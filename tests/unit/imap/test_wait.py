"""Waiting for news and being woken; a dead connection is noticed."""

import threading
from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.imap import ImapSource
from mailfetch_fetcher.sources.imap_idle import Idle
from tests.servers.imapfake import CUT, FakeImap
from tests.servers.imapfake_calls import never

Open = Callable[..., ImapSource]
LONG = 300.0
"""Seconds; longer than a test may take: only an early end lets it pass."""


def in_thread(do: Callable[[], object]) -> "list[object]":
    """Starts it; the list holds what it returned or raised, once `join`ed through the thread."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(do())
        except SourceError as e:
            results.append(e)

    thread = threading.Thread(target=run)
    results.append(thread)
    thread.start()
    return results


def outcome(results: "list[object]") -> object:
    thread = results[0]
    assert isinstance(thread, threading.Thread)
    thread.join(60)
    assert not thread.is_alive()
    return results[1]


def test_a_new_mail_ends_idle(server: FakeImap, open_source: Open) -> None:
    source = open_source()
    waiting = in_thread(lambda: source.wait(LONG))
    server.await_command("IDLE")
    server.push(b"* OK still here\r\n* 3 FETCH (FLAGS (\\Seen))\r\n")
    server.push(b"* 1 EXISTS\r\n")
    assert outcome(waiting) is True


def test_a_wake_up_ends_idle_and_the_connection_goes_on(server: FakeImap, open_source: Open) -> None:
    source = open_source()
    waiting = in_thread(lambda: source.wait(LONG))
    server.await_command("IDLE")
    source.wake()
    assert outcome(waiting) is True
    assert source.snapshot("", known=never).total == 0


def test_a_wake_up_before_the_wait_is_not_lost(open_source: Open) -> None:
    source = open_source()
    source.wake()
    assert source.wait(LONG) is True
    assert source.wait(0.01) is False


def test_the_time_ends_the_wait(open_source: Open) -> None:
    assert open_source().wait(0.05) is False
    assert open_source(push=False).wait(0.05) is False


def test_without_push_there_is_no_idle(server: FakeImap, open_source: Open) -> None:
    source = open_source(push=False)
    waiting = in_thread(lambda: source.wait(LONG))
    source.wake()
    assert outcome(waiting) is True
    assert "IDLE" not in server.commands


def test_a_mail_that_came_before_idle_is_not_slept_through(server: FakeImap, open_source: Open) -> None:
    source = open_source()
    list(source.discover("", known=never))
    server.inbox.add(b"Subject: x\r\n\r\n")
    server.quirks.answers["UID SEARCH"] = b"* 1 EXISTS\r\n* ESEARCH UID COUNT 0\r\nTAG OK done\r\n"
    source.snapshot("1:5", known=never)
    assert source.wait(LONG) is True
    assert "IDLE" not in server.commands


def test_idle_is_renewed(server: FakeImap, open_source: Open) -> None:
    source = open_source()
    idle = source._idle
    assert isinstance(idle, Idle)
    idle._longest = 0.05
    waiting = in_thread(lambda: source.wait(LONG))
    with server.told:
        assert server.told.wait_for(lambda: server.commands.count("IDLE") > 2, timeout=60)
    source.wake()
    assert outcome(waiting) is True


@pytest.mark.parametrize("last_words", [b"* BYE idle too long\r\n" + CUT, CUT])
def test_a_connection_that_ends_in_idle_is_noticed(server: FakeImap, open_source: Open, last_words: bytes) -> None:
    source = open_source()
    waiting = in_thread(lambda: source.wait(LONG))
    server.await_command("IDLE")
    with pytest.raises(OSError):
        server.push(last_words)
    error = outcome(waiting)
    assert isinstance(error, SourceError)
    assert error.reason == "ConnectionFailed"


def test_silence_after_done_is_a_dead_connection(server: FakeImap, open_source: Open) -> None:
    server.quirks.answers["IDLE"] = b"+ idling\r\n"
    with pytest.raises(SourceError, match="did not answer"):
        open_source(timeout=0.3).wait(0.05)


def test_a_server_that_refuses_idle_is_not_asked_again(server: FakeImap, open_source: Open) -> None:
    server.quirks.answers["IDLE"] = b"TAG BAD no idle\r\n"
    source = open_source()
    assert source.wait(0.05) is False
    assert source.wait(0.05) is False
    assert server.commands.count("IDLE") == 1


def test_close_from_another_thread_ends_a_wait(server: FakeImap, make_source: Open) -> None:
    source = make_source()
    waiting = in_thread(lambda: (source.open(), source.wait(LONG), source.wait(LONG)))
    server.await_command("IDLE")
    source.close()
    assert isinstance(outcome(waiting), SourceError)


def test_close_from_another_thread_ends_a_download(server: FakeImap, make_source: Open) -> None:
    server.inbox.add(b"Subject: x\r\n\r\n")
    server.quirks.body = lambda mail: b"{1000}\r\n"  # the body does not come
    source = make_source()

    def download() -> None:
        source.open()
        for window in source.discover("", known=never):
            list(source.fetch(window.refs))

    waiting = in_thread(download)
    server.await_command("UID FETCH 1 (UID FLAGS")
    source.close()
    assert isinstance(outcome(waiting), SourceError)


def test_close_changes_nothing_and_may_be_called_twice(server: FakeImap, open_source: Open) -> None:
    source = open_source(action="Delete")
    source.close()
    source.close()
    source.wake()
    assert not any(c.startswith(("CLOSE", "EXPUNGE", "UID EXPUNGE")) for c in server.commands)
