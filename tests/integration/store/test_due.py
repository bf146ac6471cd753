"""What is due: by age, in which order, and what is checked right before a command (`store.md`, 9)."""

from collections.abc import Iterator

import pytest

from mailfetch_fetcher.errors import Fenced, StoreError
from mailfetch_fetcher.sources.base import Outcome
from mailfetch_fetcher.store.hashes import ledger_number, member
from mailfetch_fetcher.store.model import WantedAction
from tests.integration.store.helpers import KEYS, FakeClock, Store, batch, mail, name, named, open_new
from tests.servers.redis import Kind, RedisServer, wait_until

DELETE = WantedAction(kind="Delete")
MOVE = WantedAction(kind="Move", folder="Done")


@pytest.fixture
def server(kind: Kind) -> Iterator[RedisServer]:
    with RedisServer(kind=kind, appendfsync="always") as running:
        yield running


def test_only_what_is_old_enough_by_the_clock_of_redis(store: Store) -> None:
    """The fetcher's own clock stands still here; entries are told apart by their ids."""
    mailbox = store.opened(clock=FakeClock())
    mailbox.commit(batch(mail(1)))
    first = int(store.ids()[0].partition("-")[0])
    wait_until(lambda: redis_ms(store) >= first + 1500, what="time")
    mailbox.commit(batch(mail(2)))
    due = mailbox.due_actions(100, delay=1.2)
    assert ([a.uid for a in due.actions], due.unproven, due.waiting) == ([1], 0, 1)
    due = mailbox.due_actions(100, delay=3600)
    assert (due.actions, due.waiting) == ([], 2)
    due = mailbox.due_actions(1)
    assert ([a.uid for a in due.actions], due.waiting) == ([1], 0)


def test_what_waits_costs_no_barrier(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    mailbox.due_actions(100, delay=3600)
    assert store.client.get(KEYS.barrier) is None


def test_what_was_deleted_is_noted_for_pruning_where_mails_have_names(store: Store) -> None:
    mailbox = store.opened()
    mails = [
        named(1, action=DELETE),
        named(2, action=DELETE),
        named(3, action=DELETE),
        named(4),
        mail(5, action=DELETE),
    ]
    mailbox.commit(batch(*mails, cursor="c"))
    actions = mailbox.due_actions().actions
    assert [a.key for a in actions] == ["uidl-1/1", "uidl-2/1", "uidl-3/1", "uidl-4/1", "1700000000/5"]
    assert actions[0].fingerprint == mailbox.digest(mails[0].identity)
    results = ("done", "dropped", "failed", "done", "done")
    mailbox.settle([Outcome(action=a, result=r) for a, r in zip(actions, results, strict=True)])  # type: ignore[arg-type]
    number = member(ledger_number(name(1), 1, key=mailbox.state.hash_key))
    assert store.client.hgetall(KEYS.gone) == {str(number).encode(): b"d"}


def test_an_action_of_an_older_version_can_still_be_read(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    (now,) = store.outbox()
    assert now.split(" ")[1] == mailbox.digest(b"<1@example.com>")  # as every version has written it for IMAP
    (action,) = mailbox.due_actions().actions
    assert (action.key, action.uid_validity, action.uid) == ("1700000000/1", "1700000000", 1)


def test_many_phases_are_one_write_and_one_barrier(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(*(mail(uid, action=MOVE) for uid in range(1, 201))))
    actions = mailbox.due_actions(500).actions
    barrier = int(store.client.get(KEYS.barrier))
    copying = mailbox.advance(actions, "copying")
    assert int(store.client.get(KEYS.barrier)) == barrier + 1
    assert [(a.uid, a.phase) for a in copying] == [(uid, "copying") for uid in range(1, 201)]
    assert store.outbox() == [a.member for a in copying]
    assert mailbox.advance(actions, "copying") == copying  # as after a lost reply


def test_of_many_phases_all_are_replaced_or_none(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1, action=MOVE), mail(2, action=MOVE)))
    actions = mailbox.due_actions().actions
    store.client.zrem(KEYS.outbox, actions[1].member)
    with pytest.raises(Fenced):
        mailbox.advance(actions, "copying")
    assert store.outbox() == [actions[0].member]


# -- right before a command ----------------------------------------------------------------


def test_what_is_in_hand_must_still_be_in_the_outbox(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1, action=MOVE), mail(2, action=MOVE), mail(3, action=MOVE)))
    one, two, _ = mailbox.due_actions().actions
    mailbox.confirm_lease()
    (one,) = mailbox.advance([one], "copied")
    mailbox.confirm_lease()
    mailbox.settle([Outcome(action=one, result="done")])
    mailbox.confirm_lease()
    store.client.zrem(KEYS.outbox, two.member)
    with pytest.raises(Fenced, match="not in the outbox any more"):
        mailbox.confirm_lease()


def test_a_zombie_that_wakes_up_between_reading_and_acting_is_stopped(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    assert mailbox.due_actions().actions
    open_new(store.mailbox())
    with pytest.raises(Fenced, match="another fetcher"):
        mailbox.confirm_lease()


def test_a_process_that_stood_still_while_it_asked_is_stopped(store: Store) -> None:
    """SIGSTOP while the answer is on its way: by the clock that also runs then."""

    class Stopping(FakeClock):
        stops = False

        def boottime(self) -> float:
            if self.stops:
                self.seconds += 11.0
            return self.seconds

    clock = Stopping()
    mailbox = store.opened(clock=clock)
    mailbox.confirm_lease()
    clock.stops = True
    with pytest.raises(StoreError, match="took too long"):
        mailbox.confirm_lease()


# -- durable -------------------------------------------------------------------------------


def test_what_was_committed_is_durable(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1, action=None)))
    assert mailbox.durable()
    store.client.config_set("appendfsync", "no")
    assert not mailbox.durable()
    assert "appendfsync" in mailbox.safety().message


def test_a_commit_that_is_not_seen_is_not_durable(store: Store) -> None:
    """As after a failover that lost it: the state that link B reads is not the one that the writer made."""
    mailbox = store.opened()
    mailbox.commit(batch(mail(1, action=None)))
    store.client.hset(KEYS.state, "tip", "another")
    assert not mailbox.durable()
    store.client.delete(KEYS.state)
    assert not mailbox.durable()


def redis_ms(store: Store) -> int:
    seconds, micros = store.client.time()
    return int(seconds) * 1000 + int(micros) // 1000
