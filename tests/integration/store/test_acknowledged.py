"""After-download actions that wait for a consumer group: what counts as an acknowledgement, on real servers.

Each trick of `store.md` hazard 26 makes "delivered and not pending" true without anybody having read the mail.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.store import actions as actions_module
from mailfetch_fetcher.store.groups import PAGE, PAGES, SENTINEL
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import QueuePolicy, WantedAction
from tests.integration.store.helpers import KEYS, STREAM, FakeClock, Store, batch, mail, open_new
from tests.servers.redis import Kind, RedisServer

GROUP = "tickets"
POLICY = QueuePolicy(consumer_groups=(GROUP,))
DELETE = WantedAction(kind="Delete")
QUEUE = STREAM.queue


class SteppingClock(FakeClock):
    """Each look comes long after the last one."""

    def monotonic(self) -> float:
        self.seconds += 60
        return self.seconds

    def boottime(self) -> float:
        return Clock.boottime(self)


@pytest.fixture
def server(kind: Kind) -> Iterator[RedisServer]:
    with RedisServer(kind=kind, appendfsync="always") as running:
        yield running


def opened(store: Store) -> Mailbox:
    return store.opened(policy=POLICY, clock=SteppingClock())


def reopened(store: Store) -> Mailbox:
    again = store.mailbox(policy=POLICY, clock=SteppingClock())
    open_new(again)
    return again


def filled(store: Store, *uids: int) -> Mailbox:
    mailbox = opened(store)
    commit(mailbox, *uids)
    return mailbox


def commit(mailbox: Mailbox, *uids: int) -> None:
    mailbox.commit(batch(*(mail(uid, action=DELETE) for uid in uids)))


def consume(store: Store, count: int = 1000, *, ack: bool = True, noack: bool = False) -> list[bytes]:
    found = store.client.xreadgroup(GROUP, "worker", {QUEUE: ">"}, count=count, noack=noack)
    ids = [entry for entry, _ in found[0][1]] if found else []
    if ids and ack and not noack:
        store.client.xack(QUEUE, GROUP, *ids)
    return ids


def ready(mailbox: Mailbox) -> list[int]:
    return [action.uid for action in mailbox.due_actions(100, delay=0, group=GROUP).actions]


def unproven(store: Store) -> list[str]:
    return [line["entry"] for line in store.log() if line.get("result") == "Unproven"]


# -- what counts ---------------------------------------------------------------------------


def test_only_what_was_acknowledged_is_due(store: Store) -> None:
    mailbox = filled(store, 1, 2, 3, 4)
    due = mailbox.due_actions(100, delay=0, group=GROUP)
    assert (due.actions, due.unproven, due.waiting) == ([], 0, 4)
    consume(store, 1)
    (pending,) = consume(store, 1, ack=False)
    consume(store, 1)
    assert ready(mailbox) == [1, 3]
    store.client.xack(QUEUE, GROUP, pending)
    assert ready(mailbox) == [1, 2, 3]
    assert not unproven(store)


def test_the_group_is_made_at_the_beginning_before_anything_is_committed(store: Store) -> None:
    opened(store)
    (group,) = store.client.xinfo_groups(QUEUE)
    assert (group["name"], group["last-delivered-id"]) == (GROUP.encode(), b"0-0")
    (consumer,) = store.client.xinfo_consumers(QUEUE, GROUP)
    assert consumer["name"] == SENTINEL.encode()
    assert store.client.xlen(QUEUE) == 0


def test_what_was_read_before_the_first_look_counts(store: Store) -> None:
    mailbox = filled(store, 1, 2)
    consume(store)
    assert ready(mailbox) == [1, 2]


def test_what_is_relied_on_stands_in_the_state_first(store: Store) -> None:
    mailbox = filled(store, 1)
    (entry,) = consume(store)
    assert ready(mailbox) == [1]
    seen = json.loads(store.state()["groupSeen"])
    assert (seen["group"], seen["from"], seen["last"]) == (GROUP, "0-0", entry.decode())
    assert mailbox.state.group_seen == store.state()["groupSeen"]
    seq = store.state()["seq"]
    assert ready(mailbox) == [1]
    assert store.state()["seq"] == seq  # nothing changed, so nothing is written


def test_a_marked_entry_is_not_acknowledged(store: Store) -> None:
    mailbox = filled(store, 1, 2)
    first, _ = consume(store)
    store.client.hset(STREAM.marks, first, "Failed")
    assert ready(mailbox) == [2]
    store.client.hdel(STREAM.marks, first)
    assert ready(mailbox) == [1, 2]


def test_a_new_session_goes_on_where_the_last_one_was(store: Store) -> None:
    filled(store, 1, 2)
    consume(store, 1)
    assert ready(reopened(store)) == [1]
    consume(store, 1)
    again = reopened(store)
    assert ready(again) == [1, 2]
    assert not unproven(store)


def test_two_connections_of_a_stream_share_a_group(store: Store) -> None:
    one = filled(store, 1)
    other = store.opened(policy=POLICY, clock=SteppingClock(), keys=STREAM.connection("second"))
    commit(other, 2)
    consume(store)
    assert (ready(one), ready(other)) == ([1], [2])


def test_delay_and_acknowledgement_are_both_needed(store: Store) -> None:
    mailbox = filled(store, 1)
    consume(store)
    due = mailbox.due_actions(100, delay=3600, group=GROUP)
    assert (due.actions, due.unproven, due.waiting) == ([], 0, 1)
    assert ready(mailbox) == [1]


# -- tricks --------------------------------------------------------------------------------


def group_at_the_end(client: Any) -> None:
    """A consumer makes the group anew, at `$`."""
    client.xgroup_destroy(QUEUE, GROUP)
    client.xgroup_create(QUEUE, GROUP, id="$")


def group_at_the_end_and_reads_on(client: Any) -> None:
    """After the next read `entries-read` looks as if everything had been read."""
    group_at_the_end(client)
    client.xadd(QUEUE, {"id": "somebody"})
    ((_, ((entry, _),)),) = client.xreadgroup(GROUP, "worker", {QUEUE: ">"})
    client.xack(QUEUE, GROUP, entry)


def moved_to_the_end(client: Any) -> None:
    """XGROUP SETID."""
    client.xgroup_setid(QUEUE, GROUP, "$")


def destroyed(client: Any) -> None:
    """Nobody makes it again."""
    client.xgroup_destroy(QUEUE, GROUP)


def sentinel_taken_away(client: Any) -> None:
    client.xgroup_setid(QUEUE, GROUP, "$")
    client.xgroup_delconsumer(QUEUE, GROUP, SENTINEL)


def record_taken_away(client: Any) -> None:
    client.xgroup_setid(QUEUE, GROUP, "$")
    client.delete(STREAM.groups)


TRICKS = [
    group_at_the_end,
    group_at_the_end_and_reads_on,
    moved_to_the_end,
    destroyed,
    sentinel_taken_away,
    record_taken_away,
]


@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_makes_what_is_there_unproven_and_nothing_else(store: Store, trick: Callable[[Any], None]) -> None:
    mailbox = filled(store, 1, 2, 3)
    consume(store, 1)
    assert ready(mailbox) == [1]
    entries = store.ids()
    trick(store.client)
    due = mailbox.due_actions(100, delay=0, group=GROUP)
    assert (due.actions, due.unproven, due.waiting) == ([], 3, 0)
    assert unproven(store) == entries
    assert store.outbox() == []
    commit(mailbox, 4)  # from now on it is worth something again
    assert ready(mailbox) == []
    consume(store)
    assert ready(mailbox) == [4]
    assert mailbox.due_actions(100, delay=0, group=GROUP).unproven == 0


@pytest.mark.parametrize("trick", [group_at_the_end, group_at_the_end_and_reads_on, destroyed, record_taken_away])
def test_a_trick_between_two_sessions_is_noticed_too(store: Store, trick: Callable[[Any], None]) -> None:
    """Opening puts the sentinel back: that must not wipe out the trace."""
    mailbox = filled(store, 1, 2)
    consume(store, 1)
    assert ready(mailbox) == [1]
    mailbox.close(release=True)
    trick(store.client)
    assert ready(reopened(store)) == []
    assert len(unproven(store)) == 2


def test_another_connection_that_repairs_the_group_does_not_hide_what_happened(store: Store) -> None:
    one, other = filled(store, 1, 2), store.opened(policy=POLICY, clock=SteppingClock(), keys=STREAM.connection("b"))
    consume(store, 1)
    assert ready(one) == [1]
    group_at_the_end_and_reads_on(store.client)
    commit(other, 7)
    assert ready(other) == []
    assert ready(one) == []
    assert len(unproven(store)) == 2 + 1


def test_what_one_connection_noticed_counts_for_all(store: Store) -> None:
    """When the second one looks for the first time the group looks healthy again."""
    one, other = filled(store, 1), store.opened(policy=POLICY, clock=SteppingClock(), keys=STREAM.connection("b"))
    commit(other, 7)
    moved_to_the_end(store.client)
    assert ready(one) == []
    store.client.xadd(QUEUE, {"id": "somebody"})
    consume(store)
    assert ready(other) == []
    assert len(unproven(store)) == 1 + 1
    commit(other, 8)
    commit(one, 2)
    consume(store)
    assert (ready(one), ready(other)) == ([2], [8])


def test_a_group_that_a_consumer_made_at_the_end_before_the_connection_proves_nothing_of_older_mails(
    store: Store,
) -> None:
    plain = store.opened()
    commit(plain, 1, 2)
    store.client.xgroup_create(QUEUE, GROUP, id="$")
    mailbox = reopened(store)
    commit(mailbox, 3)
    consume(store)
    assert ready(mailbox) == [3]
    assert len(unproven(store)) == 2


def test_a_group_that_a_consumer_made_on_an_empty_queue_is_as_good_as_ours(store: Store) -> None:
    store.client.xgroup_create(QUEUE, GROUP, id="$", mkstream=True)
    mailbox = filled(store, 1)
    consume(store)
    assert ready(mailbox) == [1]


def test_entries_that_were_thrown_away_unread_are_never_touched(store: Store) -> None:
    """XTRIM and XDEL before delivery: afterwards the group seems to have passed them."""
    mailbox = filled(store, 1, 2, 3, 4)
    ids = store.ids()
    store.client.xtrim(QUEUE, maxlen=2, approximate=False)
    store.client.xdel(QUEUE, ids[2])
    consume(store)
    assert ready(mailbox) == [4]
    assert unproven(store) == ids[:3]


def test_the_group_was_set_back(store: Store) -> None:
    mailbox = filled(store, 1, 2)
    (_, pending) = consume(store, ack=False)
    store.client.xack(QUEUE, GROUP, store.ids()[0])
    assert ready(mailbox) == [1]
    store.client.xgroup_setid(QUEUE, GROUP, "0")
    due = mailbox.due_actions(100, delay=0, group=GROUP)
    assert (due.actions, due.unproven) == ([], 2)
    assert pending.decode() in unproven(store)


def test_what_the_documentation_calls_an_acknowledgement(store: Store) -> None:
    """NOACK, and a consumer that is removed with what it had not acknowledged: the group wanted it so."""
    mailbox = filled(store, 1, 2)
    consume(store, 1, noack=True)
    assert ready(mailbox) == [1]
    consume(store, 1, ack=False)
    assert ready(mailbox) == [1]
    store.client.xgroup_delconsumer(QUEUE, GROUP, "worker")
    assert ready(mailbox) == [1, 2]


def test_another_group_in_the_spec_says_nothing_of_older_mails(store: Store) -> None:
    mailbox = filled(store, 1)
    assert ready(mailbox) == []
    store.client.xgroup_create(QUEUE, "archive", id="0")
    store.client.xreadgroup("archive", "worker", {QUEUE: ">"}, noack=True)
    due = mailbox.due_actions(100, delay=0, group="archive")
    assert (due.actions, due.unproven) == ([], 1)


# -- cost ----------------------------------------------------------------------------------


def test_looks_are_rare(store: Store) -> None:
    clock = FakeClock()
    mailbox = store.opened(policy=POLICY, clock=clock)
    commit(mailbox, 1, 2)
    assert ready(mailbox) == []
    consume(store)
    assert mailbox.due_actions(100, delay=0, group=GROUP).waiting == 2
    clock.seconds += actions_module.LOOK_SECONDS
    assert ready(mailbox) == [1, 2]


def test_what_waits_in_front_does_not_hide_what_is_acknowledged_behind_it(store: Store) -> None:
    """A look is bounded; the next one goes on behind it."""
    mailbox = opened(store)
    many = PAGE * PAGES + 150
    for start in range(1, many, 500):
        commit(mailbox, *range(start, min(start + 500, many)))
    ids = consume(store, many, ack=False)
    store.client.xack(QUEUE, GROUP, *ids[-10:])
    found: list[int] = []
    for _ in range(2):
        found += ready(mailbox)
    assert found == list(range(many - 10, many))
    assert mailbox.outbox_size() == many - 1


def test_many_at_once_come_in_portions(store: Store) -> None:
    clock = FakeClock()
    mailbox = store.opened(policy=POLICY, clock=clock)
    commit(mailbox, *range(1, 301))
    consume(store)
    found = []
    while due := mailbox.due_actions(100, delay=0, group=GROUP).actions:
        found += [action.uid for action in due]
        store.client.zrem(KEYS.outbox, *(action.member for action in due))
    assert found == list(range(1, 301))  # without any time passing: only a look that found too little waits
