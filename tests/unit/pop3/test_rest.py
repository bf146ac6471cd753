"""Rounds: each has a session of its own, and QUIT is sent only when nothing can be lost by it."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.pop3 import Pop3Source
from tests.servers.ledger import Ledger
from tests.servers.mailgen import mails
from tests.servers.pop3fake import CUT, SILENCE, FakePop3

Make = Callable[..., Pop3Source]


def never() -> bool:
    raise AssertionError("not asked")


def test_a_look_ends_with_quit(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    server.add(*mails(2))
    source = open_source()
    source.snapshot("", known=ledger.known)
    source.rest(durable=never)
    assert server.commands[-1] == "QUIT"
    source.rest(durable=never)
    assert server.count("QUIT") == 1


@pytest.mark.parametrize("durable", [True, False])
def test_what_was_downloaded_must_be_durable(
    server: FakePop3, open_source: Make, ledger: Ledger, durable: bool
) -> None:
    server.quirks.pops = True
    server.add(*mails(2))
    source = open_source()
    assert len(ledger.download(source)) == 2
    source.rest(durable=lambda: durable)
    assert server.count("QUIT") == durable
    assert ledger.download(source) == []
    assert len(server.left) == (0 if durable else 2)


def test_what_was_not_handed_out_forbids_quit(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    """Here every mail is retrieved for its name."""
    server.quirks.uidl = server.quirks.top = False
    server.quirks.before_login = server.quirks.after_login = None
    server.quirks.pipelining = False
    server.quirks.pops = True
    server.add(*mails(3))
    source = open_source()
    source.snapshot("", known=ledger.known)
    source.rest(durable=lambda: True)
    assert server.count("QUIT") == 0
    assert len(ledger.download(source)) == 3
    source.rest(durable=lambda: True)
    assert server.count("QUIT") == 1
    assert server.left == []


def test_known_mails_that_were_read_for_their_names_need_the_barrier_as_well(
    server: FakePop3, open_source: Make, ledger: Ledger
) -> None:
    server.quirks.uidl = server.quirks.top = False
    server.quirks.before_login = server.quirks.after_login = None
    server.quirks.pipelining = False
    server.add(*mails(2))
    source = open_source()
    ledger.download(source)
    source.rest(durable=lambda: False)
    source.snapshot("", known=ledger.known)
    source.rest(durable=lambda: False)
    assert server.count("QUIT") == 0
    source.snapshot("", known=ledger.known)
    source.rest(durable=lambda: True)
    assert server.count("QUIT") == 1


@pytest.mark.parametrize("answer", [b"-ERR no\r\n", CUT, SILENCE])
def test_a_quit_that_fails_does_no_harm(server: FakePop3, open_source: Make, ledger: Ledger, answer: bytes) -> None:
    server.add(*mails(1))
    source = open_source(timeout=0.5)
    ledger.download(source)
    server.quirks.answers["QUIT"] = answer
    source.rest(durable=lambda: True)
    assert ledger.download(source) == []


def test_close_never_quits(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    server.add(*mails(1))
    source = open_source()
    ledger.download(source)
    source.close()
    with pytest.raises(SourceError):
        source.snapshot("", known=ledger.known)
    assert server.count("QUIT") == 0
    assert len(server.sessions) == 1


def test_each_round_sees_what_came_and_went(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    source = open_source()
    assert ledger.download(source) == []
    for n in range(3):
        source.rest(durable=lambda: True)
        server.add(*mails(2, start=2 * n))
        assert ledger.download(source) == server.left[-2:]
        look = source.snapshot("", known=ledger.known)
        assert (look.new, look.known, look.total, look.exact, look.unseen) == (0, 2 * n + 2, 2 * n + 2, True, -1)
    assert len(server.sessions) == 4


def test_a_uidl_that_is_used_again_is_asked_for_again(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    """What this source knows of the ledger ends when a mail leaves the list, as the ledger may forget it then."""
    server.add(*mails(1), uidl=b"u")
    source = open_source()
    ledger.download(source)
    source.rest(durable=lambda: True)
    assert ledger.download(source) == []
    server.mails.clear()
    source.rest(durable=lambda: True)
    assert ledger.download(source) == []
    ledger.names.clear()  # pruned
    server.add(*mails(1, start=5), uidl=b"u")
    source.rest(durable=lambda: True)
    assert ledger.download(source) == server.left


@pytest.mark.parametrize("code", [True, False])
def test_a_mailbox_in_use_at_the_next_round(server: FakePop3, open_source: Make, ledger: Ledger, code: bool) -> None:
    source = open_source()
    source.rest(durable=lambda: True)
    server.quirks.answers["AUTH"] = b"-ERR [IN-USE] locked\r\n" if code else b"-ERR mailbox is locked\r\n"
    with pytest.raises(SourceError) as caught:
        source.snapshot("", known=ledger.known)
    assert caught.value.reason == "ConnectionFailed"


def test_more_only_where_a_list_is_a_window(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    """Gmail lists the oldest mails only, and the next ones when these were read."""
    server.add(*mails(5))
    source = open_source()
    assert not source.more
    ledger.download(source)
    assert not source.more
    source.rest(durable=lambda: True)
    server.quirks.after_login = ("UIDL", "TOP", "X-GOOGLE-RICO")
    server.quirks.pipelining = True
    server.add(*mails(1, start=9))
    ledger.download(source)
    assert source.more
    source.rest(durable=lambda: True)
    ledger.download(source)
    assert not source.more


def test_actions_in_the_middle_of_a_walk(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    """They end the session; the walk goes on in another one."""
    server.add(*mails(30))
    expected = server.left
    source = open_source()
    got = []
    for window in source.discover("", known=ledger.known):
        for start in range(0, len(window.refs), 10):
            got += ledger.take(source, window.refs[start : start + 10])
            assert {outcome.result for outcome in ledger.act(source)} == {"done"}
    assert got == expected
    assert server.left == []
    assert server.count("QUIT") == 3


def test_a_walk_outlives_its_session(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    for n in range(6000):
        server.add(b"Subject: x\r\n\r\n", uidl=b"%d" % n)
    source = open_source()
    windows = source.discover("", known=ledger.known)
    next(windows)
    source.rest(durable=never)
    refs = next(windows).refs
    assert len(ledger.take(source, refs)) == len(refs) == 1000
    assert list(windows) == []


# ---- cost ----


def test_a_round_over_100_000_known_mails_is_cheap(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    for n in range(100_000):
        server.add(b"Subject: x\r\n\r\n", uidl=b"%08x5f3a2b1c" % n)
    ledger.names = {b"uidl 1 %08x5f3a2b1c" % n for n in range(100_000)}
    source = open_source()
    assert source.snapshot("", known=ledger.known).new == 0
    assert sum(ledger.asked) == 100_000
    assert len(ledger.asked) == 5
    source.rest(durable=never)
    server.add(*mails(1))
    ledger.asked.clear()
    server.sent = 0
    assert len(ledger.download(source)) == 1
    assert ledger.asked == [1, 1]  # snapshot and discover: only what is new
    assert server.sent < 24 * 100_001
    assert server.count("LIST") == 1  # of that one mail


def test_long_work_gives_signs_of_life_and_can_be_given_up(server: FakePop3, make_source: Make, ledger: Ledger) -> None:
    class GivenUpError(Exception):
        pass

    signs = 0

    def alive() -> None:
        nonlocal signs
        signs += 1
        if given_up:
            raise GivenUpError

    given_up = False
    server.quirks.uidl = False
    server.quirks.before_login = server.quirks.after_login = ("USER", "TOP", "PIPELINING")
    server.add(*mails(1000))
    source = make_source()
    source._alive = alive
    source.open()
    assert signs > 10
    given_up = True
    with pytest.raises(GivenUpError):
        ledger.download(source)
    source.rest(durable=lambda: True)
    assert server.count("QUIT") == 0
