"""Deleting: only what was downloaded, only with +OK to QUIT, and never a twin that nobody has read."""

import dataclasses
from collections.abc import Callable, Sequence

import pytest

from mailfetch_fetcher.errors import SourceError, StoreError
from mailfetch_fetcher.sources.base import Outcome
from mailfetch_fetcher.sources.pop3 import Pop3Source
from mailfetch_fetcher.sources.pop3_delete import GONE
from mailfetch_fetcher.sources.pop3_identity import identity
from tests.servers.ledger import Ledger, action, digest
from tests.servers.mailgen import mails
from tests.servers.pop3fake import CUT, SILENCE, FakePop3

Make = Callable[..., Pop3Source]
SAME = b"Subject: same\r\n\r\nsame\r\n"


def results(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.result for outcome in outcomes]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("other_session", [False, True])
def test_delete(server: FakePop3, open_source: Make, ledger: Ledger, pipelining: bool, other_session: bool) -> None:
    if not pipelining:
        server.quirks.before_login = ("USER",)
        server.quirks.after_login, server.quirks.pipelining = ("UIDL", "TOP"), False
    server.add(*mails(250))
    source = open_source()
    ledger.download(source)
    server.add(*mails(1, start=900))
    if other_session:
        source.rest(durable=lambda: True)
    outcomes = ledger.act(source)
    assert results(outcomes) == ["done"] * 250
    assert {outcome.detail for outcome in outcomes} == {""}
    assert len(server.left) == 1
    assert server.count("TOP") == (250 if other_session else 0)
    assert server.commands[-1] == "QUIT"
    assert ledger.events == ["confirmed"]
    assert len(ledger.download(source)) == 1


def test_the_lease_is_confirmed_before_quit(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    server.add(*mails(2))
    source = open_source()
    ledger.download(source)

    def confirm() -> None:
        assert server.commands[-2:] == ["DELE 1", "DELE 2"]
        raise StoreError("StoreUnavailable", "no lease")

    with pytest.raises(StoreError):
        source.finish(ledger.pending, digest=digest, advance=lambda a, _: a, confirm=confirm)
    source.rest(durable=lambda: True)
    assert server.count("QUIT") == 0
    assert len(server.left) == 2


def test_mark_seen_costs_nothing(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    server.add(*mails(2))
    source = open_source()
    ledger.download(source)
    ledger.pending = [dataclasses.replace(pending, kind="MarkSeen") for pending in ledger.pending]
    before = list(server.commands)
    assert results(ledger.act(source)) == ["done", "done"]
    assert server.commands == before


def test_move_is_not_possible(open_source: Make, ledger: Ledger) -> None:
    ledger.pending = [action("a/1", b"x", kind="Move")]
    assert results(ledger.act(open_source())) == ["dropped"]


@pytest.mark.parametrize("answer", [b"-ERR some deleted messages not removed\r\n", CUT, SILENCE, b"bye\r\n"])
def test_only_ok_to_quit_makes_it_true(server: FakePop3, open_source: Make, ledger: Ledger, answer: bytes) -> None:
    server.add(*mails(2))
    source = open_source(timeout=0.5)
    ledger.download(source)
    server.quirks.answers["QUIT"] = answer
    assert results(ledger.act(source)) == ["failed", "failed"]
    assert len(server.left) == 2
    del server.quirks.answers["QUIT"]
    server.mails.pop(0)  # one of them was deleted after all
    outcomes = ledger.act(source)
    assert results(outcomes) == ["done", "done"]
    assert [(outcome.detail, outcome.was_gone) for outcome in outcomes] == [(GONE, True), ("", False)]
    assert server.left == []


def test_a_cut_before_quit_deletes_nothing(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    server.add(*mails(3))
    source = open_source()
    ledger.download(source)
    server.quirks.answers["DELE 2"] = CUT
    with pytest.raises(SourceError):
        ledger.act(source)
    assert len(server.left) == 3


def test_a_refused_deletion_fails_alone(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    server.add(*mails(3))
    source = open_source()
    ledger.download(source)
    server.quirks.answers["DELE 2"] = b"-ERR permission denied\r\n"
    outcomes = ledger.act(source)
    assert results(outcomes) == ["done", "failed", "done"]
    assert "permission denied" in outcomes[1].detail
    assert len(server.left) == 1


def test_if_every_deletion_is_refused_there_is_no_quit(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    server.add(*mails(2))
    source = open_source()
    ledger.download(source)
    server.quirks.answers["DELE"] = b"-ERR read only\r\n"
    assert results(ledger.act(source)) == ["failed", "failed"]
    assert server.count("QUIT") == 0
    assert ledger.events == []


def test_another_mail_under_the_uidl_is_not_deleted(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    server.add(*mails(2))
    source = open_source()
    ledger.download(source)
    source.rest(durable=lambda: True)
    server.mails[0].raw = b"Subject: another one\r\n\r\n"
    assert results(ledger.act(source)) == ["dropped", "done"]
    assert server.left == [b"Subject: another one\r\n\r\n"]


def test_the_session_that_downloaded_it_is_one_of_pop3(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    """`same_session` says the same life of the source, which may hold many POP3 sessions."""
    server.add(*mails(1))
    source = open_source()
    ledger.download(source)
    ledger.pending = [dataclasses.replace(pending, same_session=True) for pending in ledger.pending]
    source.rest(durable=lambda: True)
    server.mails[0].raw = b"Subject: another one\r\n\r\n"
    assert results(ledger.act(source)) == ["dropped"]


@pytest.mark.parametrize("top", [b"-ERR no\r\n", None])
def test_a_header_that_is_not_shown(server: FakePop3, open_source: Make, ledger: Ledger, top: bytes | None) -> None:
    server.add(*mails(1))
    source = open_source()
    ledger.download(source)
    source.rest(durable=lambda: True)
    if top:
        server.quirks.answers["TOP"] = top
        server.quirks.answers["RETR"] = b"-ERR no\r\n"
        assert results(ledger.act(source)) == ["failed"]
    else:
        server.quirks.top = False  # then the mail itself is read
        assert results(ledger.act(source)) == ["done"]


def test_a_stranger_that_was_read_for_its_header_forbids_quit(
    server: FakePop3, open_source: Make, ledger: Ledger
) -> None:
    server.add(*mails(2))
    source = open_source()
    ledger.download(source)
    source.rest(durable=lambda: True)
    server.quirks.top, server.quirks.pops = False, True
    server.mails[0].raw = b"Subject: another one\r\n\r\n"
    assert results(ledger.act(source)) == ["dropped", "failed"]
    source.rest(durable=lambda: True)
    assert server.count("QUIT") == 1
    assert len(server.left) == 2
    assert results(ledger.act(source)) == ["done"]
    assert server.left == [b"Subject: another one\r\n\r\n"]


def test_two_actions_for_one_mail(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    """As after a `refetch`."""
    server.add(*mails(1))
    source = open_source()
    ledger.download(source)
    ledger.pending.append(dataclasses.replace(ledger.pending[0], member="again"))
    assert results(ledger.act(source)) == ["done", "done"]
    assert server.count("DELE") == 1


# ---- twins ----


def twins(server: FakePop3, source: Pop3Source, ledger: Ledger, count: int = 2) -> None:
    for _ in range(count):
        server.add(SAME, uidl=b"same")
    server.add(b"Subject: other\r\n\r\n")
    source.open()
    assert len(ledger.download(source)) == count + 1


def test_twins_are_deleted_together(server: FakePop3, make_source: Make, ledger: Ledger) -> None:
    source = make_source()
    twins(server, source, ledger, 3)
    assert results(ledger.act(source)) == ["done"] * 4
    assert server.left == []


def test_a_twin_is_not_deleted_before_the_other_is_known(server: FakePop3, make_source: Make, ledger: Ledger) -> None:
    source = make_source()
    twins(server, source, ledger)
    source.rest(durable=lambda: True)
    server.add(SAME, uidl=b"same")
    source.snapshot("", known=ledger.known)
    assert results(ledger.act(source)) == ["failed", "failed", "done"]
    assert server.left == [SAME] * 3
    assert ledger.download(source) == [SAME]
    assert results(ledger.act(source)) == ["done"] * 3
    assert server.left == []


def test_a_twin_is_not_deleted_before_one_that_stays(server: FakePop3, make_source: Make, ledger: Ledger) -> None:
    """The one that stays would be the first then, and a new one the second, which the ledger knows already."""
    source = make_source()
    twins(server, source, ledger)
    first, second, _ = ledger.pending
    ledger.pending = [first]
    outcomes = ledger.act(source)
    assert results(outcomes) == ["failed"]
    assert "has to be deleted first" in outcomes[0].detail
    ledger.pending = [second]
    assert results(ledger.act(source)) == ["done"]
    server.add(SAME, uidl=b"same")
    ledger.names.discard(b"uidl 2 same")  # pruned: we deleted it, and it was absent
    assert ledger.download(source) == [SAME]


def test_a_twin_that_cannot_be_deleted_keeps_the_earlier_ones(
    server: FakePop3, make_source: Make, ledger: Ledger
) -> None:
    source = make_source()
    twins(server, source, ledger)
    server.quirks.answers["DELE 2"] = b"-ERR no\r\n"
    assert results(ledger.act(source)) == ["failed", "failed", "done"]
    assert server.left == [SAME, SAME]


def test_twins_without_a_ledger_stay(server: FakePop3, open_source: Make, ledger: Ledger) -> None:
    """Actions that are carried out before the first look at the mailbox."""
    server.add(SAME, SAME, uidl=b"same")
    ledger.pending = [action("same/2", identity(SAME))]
    assert results(ledger.act(open_source())) == ["failed"]


# ---- the QUIT of a session that read something else ----


def test_a_session_that_read_what_it_did_not_keep_does_not_delete(
    server: FakePop3, open_source: Make, ledger: Ledger
) -> None:
    server.quirks.pops = True
    server.add(*mails(1))
    source = open_source(max_message_size=20_000)
    ledger.download(source)
    source.rest(durable=lambda: False)
    server.add(b"Subject: x\r\n\r\n" + b"line\r\n" * 10_000, size=10)
    source.snapshot("", known=ledger.known)
    (window,) = source.discover("", known=ledger.known)
    list(source.fetch(window.refs))  # too large after all
    assert results(ledger.act(source)) == ["done"]
    assert len(server.left) == 1
    assert len(server.sessions) == 3
