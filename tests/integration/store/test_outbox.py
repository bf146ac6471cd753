"""Pending actions: their phases, and how they end."""

from collections.abc import Iterator

import pytest

from mailfetch_fetcher.errors import Fenced, StoreError
from mailfetch_fetcher.sources.base import Outcome
from mailfetch_fetcher.store import writer
from mailfetch_fetcher.store.model import WantedAction
from tests.integration.store.helpers import KEYS, STREAM, Store, batch, mail, open_new
from tests.servers.redis import Kind, RedisServer

MOVE = WantedAction(kind="Move", folder="Done  things")


@pytest.fixture
def server(kind: Kind) -> Iterator[RedisServer]:
    with RedisServer(kind=kind, appendfsync="always") as running:
        yield running


def test_what_this_session_downloaded_is_marked_so(store: Store) -> None:
    first = store.opened()
    first.commit(batch(mail(1)))
    second = store.opened()
    second.commit(batch(mail(2), mail(3, action=None)))
    assert [(a.uid, a.same_session) for a in second.due_actions().actions] == [(1, False), (2, True)]


def test_of_many_not_all_are_remembered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Actions may wait for long; the mails that are forgotten are compared like those of another session."""
    monkeypatch.setattr(writer, "REMEMBERED", 2)
    mailbox = store.opened()
    for uid in range(1, 5):
        mailbox.commit(batch(mail(uid)))
    assert [a.same_session for a in mailbox.due_actions().actions] == [True, True, False, False]


def test_done_and_dropped_go_with_a_log_line_and_failed_stay(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1), mail(2), mail(3)))
    one, two, three = mailbox.due_actions().actions
    logged = len(store.log())
    outcomes = [
        Outcome(action=one, result="done"),
        Outcome(action=two, result="dropped", detail="another mail stands there"),
        Outcome(action=three, result="failed", detail="the server says no"),
    ]
    mailbox.settle(outcomes)
    assert [a.uid for a in mailbox.due_actions().actions] == [3]
    assert mailbox.outbox_size() == 1
    lines = store.log()[logged:]
    assert [(x["category"], x["result"], x["step"], x["entry"], x["detail"]) for x in lines] == [
        ("AfterDownload", "Succeeded", "MarkSeen", one.entry, ""),
        ("AfterDownload", "Dropped", "MarkSeen", two.entry, "another mail stands there"),
    ]
    mailbox.settle(outcomes)  # as after a lost reply
    assert len(store.log()) == logged + 2


def test_hundreds_are_settled(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(*(mail(uid) for uid in range(1, 251))))
    assert mailbox._writer
    assert len(mailbox._writer.committed) == 250
    mailbox.settle([Outcome(action=a, result="done") for a in mailbox.due_actions(1000).actions])
    assert mailbox.outbox_size() == 0
    assert not mailbox._writer.committed  # nothing grows for ever


def test_settling_changes_neither_state_nor_tip(store: Store) -> None:
    """A commit may be under way at the same time."""
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    before = store.state()
    mailbox.settle([Outcome(action=a, result="done") for a in mailbox.due_actions().actions])
    assert store.state() == before
    mailbox.commit(batch(mail(2)))


def test_a_phase_replaces_the_member_in_its_place(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1, action=MOVE), mail(2, action=MOVE)))
    first, second = mailbox.due_actions().actions
    barrier = int(store.client.get(KEYS.barrier))
    (copying,) = mailbox.advance([first], "copying")
    assert copying.phase == "copying"
    assert int(store.client.get(KEYS.barrier)) == barrier + 1  # durable before the copy
    assert store.outbox() == [copying.member, second.member]
    (copied,) = mailbox.advance([copying], "copied")
    assert mailbox.due_actions().actions == [copied, second]
    assert (copied.folder, copied.entry, copied.uid) == ("Done  things", first.entry, 1)
    mailbox.settle([Outcome(action=copied, result="done")])
    assert store.outbox() == [second.member]


def test_a_phase_survives_a_new_session(store: Store) -> None:
    first = store.opened()
    first.commit(batch(mail(1, action=MOVE)))
    first.advance(first.due_actions().actions, "copying")
    second = store.mailbox()
    open_new(second)
    (action,) = second.due_actions().actions
    assert (action.phase, action.same_session) == ("copying", False)


def test_a_phase_that_is_not_durable_stops_the_copy(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1, action=MOVE)))
    (action,) = mailbox.due_actions().actions
    store.client.config_set("appendfsync", "no")
    with pytest.raises(StoreError, match="appendfsync"):
        mailbox.advance([action], "copying")


def test_an_action_that_is_gone_cannot_advance(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1, action=MOVE)))
    (action,) = mailbox.due_actions().actions
    store.client.delete(KEYS.outbox)
    with pytest.raises(Fenced):
        mailbox.advance([action], "copying")
    assert not store.outbox()


def test_another_owner_can_neither_settle_nor_advance(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1, action=MOVE)))
    (action,) = mailbox.due_actions().actions
    other = store.opened()
    before = store.snapshot()
    with pytest.raises(Fenced):
        mailbox.settle([Outcome(action=action, result="done")])
    assert store.snapshot() == before
    third = store.opened()
    with pytest.raises(Fenced):
        other.advance([action], "copying")
    assert [a.phase for a in third.due_actions().actions] == ["pending"]


def test_an_action_that_cannot_be_read_is_never_carried_out(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    store.client.zadd(KEYS.outbox, {"1700000000/9 0123456789abcdef Burn pending 1-1 ": 1})
    with pytest.raises(StoreError, match="Burn") as failure:
        mailbox.due_actions()
    assert failure.value.reason == "StoreUnsafe"


def test_actions_survive_a_killed_redis(server: RedisServer, store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    server.kill()
    server.start()
    again = store.mailbox()
    open_new(again)
    assert [a.uid for a in again.due_actions().actions] == [1]
    assert store.client.xlen(STREAM.queue) == 1
