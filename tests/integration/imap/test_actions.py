"""After-download actions and waiting, at a real Dovecot."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.base import ActionKind, PendingAction
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.dovecot import Dovecot
from tests.servers.imapfake_calls import Outbox, action, digest, finish, messages, never
from tests.servers.mailgen import mails
from tests.servers.proxy import FaultProxy

Make = Callable[..., ImapSource]
NO_MOVE = "IMAP4rev1 UIDPLUS IDLE"
PLAIN = "IMAP4rev1"


def pending(source: ImapSource, kind: ActionKind, *, same_session: bool = True) -> list[PendingAction]:
    """Downloads everything; the actions that the outbox then holds."""
    return [
        action(
            mail.ref.uid,
            kind,
            uid_validity=mail.ref.key.split("/")[0],
            fingerprint=digest(mail.identity),
            same_session=same_session,
        )
        for mail in messages(source)
    ]


def results(source: ImapSource, actions: list[PendingAction]) -> set[str]:
    return {outcome.result for outcome in finish(source, *actions)}


def test_mark_seen(dovecot: Dovecot, user: str, open_source: Make) -> None:
    dovecot.fill(user, mails(100))
    source = open_source(user, action="MarkSeen")
    assert results(source, pending(source, "MarkSeen")) == {"done"}
    assert set(map(frozenset, dovecot.flags(user).values())) == {frozenset({"\\seen"})}


@pytest.mark.parametrize("same_session", [True, False])
def test_delete_removes_ours_and_nothing_else(
    dovecot: Dovecot, user: str, open_source: Make, same_session: bool
) -> None:
    dovecot.fill(user, mails(10))
    source = open_source(user, action="Delete")
    actions = pending(source, "Delete", same_session=same_session)
    with dovecot.client(user, folder="INBOX") as other:
        other.uid("STORE", "9", "+FLAGS", r"(\Deleted)")
    dovecot.deliver(user, next(mails(1, start=10)))
    if not same_session:
        source = open_source(user, action="Delete")
    assert results(source, actions[:8]) == {"done"}
    assert set(dovecot.flags(user)) == {9, 10, 11}
    assert results(source, actions[:8]) == {"done"}  # twice does no harm


@pytest.mark.parametrize("same_session", [True, False])
def test_move(dovecot: Dovecot, user: str, open_source: Make, same_session: bool) -> None:
    dovecot.fill(user, mails(10))
    dovecot.create_folder(user, "Done")
    source = open_source(user, action="Move", target="Done")
    actions = pending(source, "Move", same_session=same_session)
    if not same_session:
        source = open_source(user, action="Move", target="Done")
    assert results(source, actions[:8]) == {"done"}
    assert set(dovecot.flags(user)) == {9, 10}
    assert len(dovecot.flags(user, folder="Done")) == 8
    assert results(source, actions[:8]) == {"done"}
    assert len(dovecot.flags(user, folder="Done")) == 8


@pytest.mark.parametrize("command", [b"COPY", b"+FLAGS", b"EXPUNGE"])
def test_a_move_without_the_extension_that_is_cut_is_made_up_for(
    dovecot: Dovecot, user: str, make_source: Make, command: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply to each command in turn is lost after the server has carried it out."""
    dovecot.fill(user, mails(3))
    dovecot.create_folder(user, "Done")
    outbox = Outbox()
    with FaultProxy(dovecot.imap_port) as proxy:
        options = {"encryption": "None", "allow_insecure_login": True, "action": "Move", "target": "Done"}
        source = make_source(user, port=proxy.port, **options)
        source.open()
        source._actions._can_move = False  # Dovecot moves whatever it announces; a client need not know
        actions = pending(source, "Move")
        outbox.now = {a.uid: a for a in actions}
        proxy.lose_reply_to(command)
        with pytest.raises(SourceError):
            finish(source, *actions, outbox=outbox)
    assert proxy.faults == 1
    source = make_source(user, **options)
    source.open()
    source._actions._can_move = False
    outcomes = finish(source, *(replace(a, same_session=False) for a in outbox.now.values()), outbox=outbox)
    assert {o.result for o in outcomes} == {"done"}
    assert dovecot.flags(user) == {}
    assert len(dovecot.flags(user, folder="Done")) == 3


def test_delete_without_uidplus(dovecot: Dovecot, user: str, open_source: Make) -> None:
    dovecot.fill(user, mails(4))
    source = open_source(user, action="Delete")
    source._actions._can_expunge = False
    actions = pending(source, "Delete")
    with dovecot.client(user, folder="INBOX") as other:
        other.uid("STORE", "4", "+FLAGS", r"(\Deleted)")
    [outcome, _] = finish(source, *actions[:2])
    assert outcome.result == "failed"
    assert "UID 4" in outcome.detail
    with dovecot.client(user, folder="INBOX") as other:
        other.uid("STORE", "4", "-FLAGS", r"(\Deleted)")
    assert results(source, actions[:2]) == {"done"}
    assert set(dovecot.flags(user)) == {3, 4}


def test_another_mail_under_the_uid_is_spared(dovecot: Dovecot, user: str, open_source: Make) -> None:
    dovecot.fill(user, mails(2))
    [first, second] = pending(open_source(user), "Delete", same_session=False)
    source = open_source(user, action="Delete")
    swapped = replace(first, fingerprint=second.fingerprint)
    [outcome] = finish(source, swapped)
    assert outcome.result == "dropped"
    assert set(dovecot.flags(user)) == {1, 2}


def test_another_uidvalidity_is_dropped(dovecot: Dovecot, user: str, open_source: Make) -> None:
    dovecot.fill(user, mails(2))
    actions = pending(open_source(user), "Delete", same_session=False)
    dovecot.set_uid_validity(user, 4711)
    assert results(open_source(user, action="Delete"), actions) == {"dropped"}
    assert set(dovecot.flags(user)) == {1, 2}


def test_moving_into_the_folder_itself_is_refused(dovecot: Dovecot, user: str, make_source: Make) -> None:
    dovecot.create_folder(user, "Box")
    with pytest.raises(SourceError, match="itself"):
        make_source(user, folder="Box", action="Move", target="Box").open()
    with pytest.raises(SourceError, match="itself"):
        make_source(user, folder="INBOX", action="Move", target="inbox").open()


def test_a_missing_target_and_its_making(dovecot: Dovecot, user: str, make_source: Make) -> None:
    with pytest.raises(SourceError) as caught:
        make_source(user, action="Move", target="Done").open()
    assert caught.value.reason == "FolderNotFound"
    dovecot.create_folder(user, "Done")
    make_source(user, action="Move", target="Done").open()


def test_idle_tells_of_a_new_mail_and_a_wake_up_ends_it(dovecot: Dovecot, user: str, open_source: Make) -> None:
    source = open_source(user)
    deliver = threading.Timer(0.5, dovecot.deliver, (user, next(mails(1))))
    deliver.start()
    assert source.wait(300.0) is True
    deliver.join()
    assert source.snapshot("", known=never).new == 1
    list(source.discover("", known=never))
    wake = threading.Timer(0.5, source.wake)
    wake.start()
    assert source.wait(300.0) is True
    wake.join()
    assert source.wait(0.1) is False
    assert source.snapshot("", known=never).new == 1


def test_a_server_that_stops_ends_idle(dovecot: Dovecot, user: str, make_source: Make) -> None:
    with FaultProxy(dovecot.imaps_port) as proxy:
        source = make_source(user, port=proxy.port)
        source.open()
        cut = threading.Timer(0.5, proxy.cut)
        cut.start()
        with pytest.raises(SourceError):
            source.wait(300.0)
        cut.join()


def test_two_connections_delete_the_same_mails(dovecot: Dovecot, user: str, open_source: Make) -> None:
    dovecot.fill(user, mails(6))
    one, two = open_source(user, action="Delete"), open_source(user, action="Delete")
    first, second = pending(one, "Delete"), pending(two, "Delete", same_session=False)
    assert results(one, first[:4]) == {"done"}
    assert results(two, second[2:]) == {"done"}
    assert dovecot.flags(user) == {}


def test_a_hundred_mails_are_copied_with_one_command(dovecot: Dovecot, user: str, open_source: Make) -> None:
    dovecot.fill(user, mails(100))
    dovecot.create_folder(user, "Done")
    source = open_source(user, action="Move", target="Done")
    source._actions._can_move = False
    outbox = Outbox()
    outcomes = finish(source, *pending(source, "Move"), outbox=outbox)
    assert {outcome.result for outcome in outcomes} == {"done"}
    assert [phase for _, phase in outbox.phases] == ["copying", "copied"]
    assert outbox.confirmed == 3  # COPY, STORE, EXPUNGE
    assert len(dovecot.flags(user, folder="Done")) == 100
    assert dovecot.flags(user) == {}
