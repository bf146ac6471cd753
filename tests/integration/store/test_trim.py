"""What leaves the queue, and what must not."""

from collections.abc import Sequence
from typing import Any

import pytest

from mailfetch_fetcher.errors import Fenced, StoreError
from mailfetch_fetcher.sources.base import Outcome
from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import LogLine, QueuePolicy
from mailfetch_fetcher.store.outbox import parse_member
from mailfetch_fetcher.store.target import parse_target
from mailfetch_fetcher.store.trim import trim_queue
from tests.integration.store.helpers import KEYS, STREAM, Store, batch, mail

AT_ONCE = QueuePolicy(consumer_groups=("tickets",), queue_seconds=0)
"""Acknowledged entries go whatever their age."""


def read(store: Store, count: int, *, group: str = "tickets", ack: bool = True) -> list[bytes]:
    """A consumer takes that many entries."""
    found = store.client.xreadgroup(group, "worker", {STREAM.queue: ">"}, count=count)
    ids = [entry for entry, _ in found[0][1]]
    if ack:
        store.client.xack(STREAM.queue, group, *ids)
    return ids


def filled(store: Store, uids: Sequence[int], *, policy: QueuePolicy = AT_ONCE) -> Mailbox:
    """A queue without pending actions; its groups are made by opening."""
    mailbox = store.opened(policy=policy)
    mailbox.commit(batch(*(mail(uid, action=None) for uid in uids)))
    return mailbox


def uids(store: Store) -> list[int]:
    return [int(e["uid"]) for e in store.entries()]


def test_without_a_named_group_nothing_goes(store: Store) -> None:
    mailbox = filled(store, range(1, 4), policy=QueuePolicy(queue_seconds=0))
    store.client.xgroup_create(STREAM.queue, "somebody", id="$")
    assert mailbox.trim() == 0
    assert uids(store) == [1, 2, 3]


def test_only_what_was_acknowledged_goes(store: Store) -> None:
    mailbox = filled(store, range(1, 11))
    read(store, 4)
    assert mailbox.trim() == 4
    assert uids(store) == [5, 6, 7, 8, 9, 10]
    assert mailbox.trim() == 0


def test_what_was_delivered_but_not_acknowledged_stays_with_all_behind_it(store: Store) -> None:
    mailbox = filled(store, range(1, 11))
    read(store, 2)
    pending = read(store, 1, ack=False)
    read(store, 4)
    assert mailbox.trim() == 2
    assert uids(store) == list(range(3, 11))
    store.client.xack(STREAM.queue, "tickets", *pending)
    assert mailbox.trim() == 5
    assert uids(store) == [8, 9, 10]


def test_the_slowest_group_decides(store: Store) -> None:
    mailbox = filled(store, range(1, 6), policy=QueuePolicy(consumer_groups=("tickets", "archive"), queue_seconds=0))
    read(store, 5)
    assert mailbox.trim() == 0
    read(store, 2, group="archive")
    assert mailbox.trim() == 2


def test_a_group_that_does_not_exist_yet_holds_everything(store: Store) -> None:
    mailbox = filled(store, range(1, 4))
    read(store, 3)
    store.client.xgroup_destroy(STREAM.queue, "tickets")
    assert mailbox.trim() == 0
    assert uids(store) == [1, 2, 3]


def test_young_entries_stay(store: Store) -> None:
    mailbox = filled(store, range(1, 4), policy=QueuePolicy(consumer_groups=("tickets",), queue_seconds=3600))
    read(store, 3)
    assert mailbox.trim() == 0
    assert len(store.entries()) == 3


def test_groups_and_outboxes_of_other_connections_of_the_stream_count(store: Store) -> None:
    mailbox = filled(store, range(1, 4))
    policy = QueuePolicy(consumer_groups=("archive",), queue_seconds=0)
    other = store.opened(keys=STREAM.connection("second"), policy=policy)
    other.commit(batch(mail(4)))  # with a pending action
    read(store, 4)
    assert mailbox.trim() == 0  # archive has not read
    read(store, 4, group="archive")
    assert mailbox.trim() == 3  # the fourth waits for its action
    assert uids(store) == [4]
    member = store.client.zrange(STREAM.connection("second").outbox, 0, 0)[0].decode()
    other.settle([Outcome(action=parse_member(member, same_session=True), result="done")])
    assert mailbox.trim() == 1


class LateLink(Link):
    """While it asks who is on the stream, somebody else comes (or takes another's place)."""

    def call(self, *command: Any) -> Any:
        reply = super().call(*command)
        if command[0] == "HKEYS" and command[1] == STREAM.connections and b"late" not in reply:
            super().call("HSET", STREAM.connections, "late", '["tickets"]')
            super().call("HDEL", STREAM.connections, "leaving")
            super().call("ZADD", STREAM.connection("late").outbox, 1, f"1/1 ff Delete pending {self.oldest} ")
        return reply

    oldest = ""


@pytest.mark.parametrize("leaving", [False, True], ids=["joins", "replaces another"])
def test_a_connection_that_joins_in_the_very_moment_counts(store: Store, leaving: bool) -> None:
    filled(store, range(1, 4))
    read(store, 3)
    if leaving:
        store.client.hset(STREAM.connections, "leaving", "[]")
    link = LateLink(parse_target(store.url, ca_file=None))
    link.oldest = store.ids()[0]
    trimmed = trim_queue(link, keys=KEYS, owner=store.state()["owner"], policy=AT_ONCE)
    assert trimmed.removed == 0
    assert "connection late" in trimmed.why
    assert uids(store) == [1, 2, 3]
    link.close()


def test_a_marked_entry_stays_and_what_is_behind_it_goes(store: Store) -> None:
    mailbox = filled(store, range(1, 6))
    read(store, 5)
    store.client.hset(STREAM.marks, store.ids()[1], "Failed")
    assert mailbox.trim() == 4
    assert uids(store) == [2]


@pytest.mark.parametrize("marked", [1, 99, 100, 101, 250])
def test_a_marked_entry_whose_action_waits_does_not_hold_the_others(store: Store, marked: int) -> None:
    mailbox = store.opened(policy=AT_ONCE)
    mailbox.commit(batch(*(mail(uid) for uid in range(1, marked + 4))))
    entries = read(store, marked + 3)
    for entry in entries[:marked]:
        store.client.hset(STREAM.marks, entry, "Failed")
    actions = mailbox.due_actions(1000).actions
    mailbox.settle([Outcome(action=action, result="done") for action in actions if action.uid == marked + 1])
    assert mailbox.trim() == 1  # the last two wait for their own actions
    assert len(store.ids()) == marked + 2


def test_a_queue_of_marked_mails_says_whom_it_waits_for(store: Store) -> None:
    mailbox = filled(
        store, range(1, 51), policy=QueuePolicy(consumer_groups=("tickets",), queue_seconds=0, max_length=50)
    )
    for entry in read(store, 50):
        store.client.hset(STREAM.marks, entry, "Failed")
    with pytest.raises(StoreError, match="wait for people, as consumers marked them") as failure:
        mailbox.commit(batch(mail(51)))
    assert failure.value.reason == "QueueFull"


def mark_all(store: Store, count: int, *, ack: bool = True) -> None:
    """So many mails of another fetcher, which a consumer marked."""
    pipeline = store.client.pipeline()
    for i in range(count):
        pipeline.xadd(STREAM.queue, {"id": f"m{i}", "uid": "0", "connection": "inbox", "raw": "x"})
    for entry in pipeline.execute():
        pipeline.hset(STREAM.marks, entry, "Failed")
    pipeline.execute()
    read(store, count + 100, ack=ack)


@pytest.mark.parametrize("marked", [999, 1000, 1001, 10_500])
def test_any_number_of_marked_entries_holds_nothing(store: Store, marked: int) -> None:
    mailbox = filled(store, [1])
    mark_all(store, marked)
    mailbox.commit(batch(*(mail(uid, action=None) for uid in range(2, 60))))
    read(store, 58)
    mark = store.ids()[-30]
    store.client.hset(STREAM.marks, mark, "Filtered")
    assert mailbox.trim() == 58
    assert store.client.xlen(STREAM.queue) == marked + 1
    assert mailbox.trim() == 0


def test_any_number_of_marked_entries_makes_room(store: Store) -> None:
    policy = QueuePolicy(consumer_groups=("tickets",), max_length=10_510)  # kept for days otherwise
    mailbox = filled(store, [1], policy=policy)
    mark_all(store, 10_500)
    mailbox.commit(batch(*(mail(uid, action=None) for uid in range(2, 11))))
    mailbox.commit(batch(mail(11, action=None)))
    assert store.client.xlen(STREAM.queue) == 10_510
    with pytest.raises(StoreError, match=r"consumer group tickets, and what consumers marked waits for people"):
        mailbox.commit(batch(mail(12, action=None)))
    read(store, 10)
    mailbox = store.opened(policy=policy)
    mailbox.commit(batch(mail(12, action=None), mail(13, action=None)))
    assert store.client.xlen(STREAM.queue) == 10_502
    for entry in read(store, 2):
        store.client.hset(STREAM.marks, entry, "Failed")
    with pytest.raises(StoreError, match="the oldest entries still wait for people, as consumers marked them"):
        mailbox.commit(batch(*(mail(uid) for uid in range(14, 30))))


def test_any_number_of_marked_entries_whose_actions_wait_holds_nothing(store: Store) -> None:
    mailbox = filled(store, [1])
    mark_all(store, 10_500)
    members = {f"1/{i} ff Delete pending {entry} ": i for i, entry in enumerate(store.ids())}
    store.client.zadd(KEYS.outbox, members)
    store.client.hset(STREAM.marks, store.ids()[0], "Failed")
    mailbox.commit(batch(mail(2, action=None), mail(3), mail(4, action=None)))
    read(store, 3)
    assert mailbox.trim() == 1  # the third waits for its own action
    assert store.client.xlen(STREAM.queue) == 10_503


def test_the_bodies_of_marked_entries_are_not_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each look of each round drags them through the script."""
    mailbox = filled(store, [1])
    mark_all(store, 300)
    mailbox.commit(batch(mail(2, action=None)))
    looks = count_looks(monkeypatch)
    assert mailbox.trim() == 1  # the first one: the second is not read yet
    assert len(looks) == 2


def count_looks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The commands with which the script is sent."""
    sent: list[tuple[Any, ...]] = []
    call = Link.call

    def spy(link: Link, *command: Any) -> Any:
        if command[0] == "EVAL" and command[1] == scripts.TRIM:
            sent.append(command)
        return call(link, *command)

    monkeypatch.setattr(Link, "call", spy)
    return sent


def test_marks_that_are_no_ids_are_passed_over(store: Store) -> None:
    mailbox = filled(store, range(1, 4))
    read(store, 3)
    most = str((1 << 64) - 1)
    for word in (b"\xff", b"no id", b"0-0", f"{most}-{most}", f"{most}0-1", "5"):
        store.client.hset(STREAM.marks, word, "Failed")
    assert mailbox.trim() == 3


def test_a_mark_that_goes_meanwhile_holds_until_the_next_call(store: Store) -> None:
    """What its action needs was not looked for in this call."""
    mailbox = filled(store, [1])
    mailbox.commit(batch(mail(2)))
    read(store, 2)
    store.client.hset(STREAM.marks, store.ids()[1], "Failed")
    link = ForgivingLink(parse_target(store.url, ca_file=None))
    assert trim_queue(link, keys=KEYS, owner=store.state()["owner"], policy=AT_ONCE).removed == 1
    assert uids(store) == [2]
    assert mailbox.trim() == 0  # it waits for its action
    link.close()


class ForgivingLink(Link):
    """Somebody removes the marks while it works."""

    def call(self, *command: Any) -> Any:
        reply = super().call(*command)
        if command[:2] == ("HKEYS", STREAM.connections):
            super().call("DEL", STREAM.marks)
        return reply


def test_hundreds_go_in_one_call(store: Store) -> None:
    mailbox = filled(store, range(1, 502))
    read(store, 500)
    assert mailbox.trim() == 500
    assert uids(store) == [501]


def test_a_blob_goes_with_its_entry_and_only_then(store: Store) -> None:
    mailbox = store.opened(policy=AT_ONCE)
    blobs = []
    for uid in (1, 2):
        writer = mailbox.start_blob()
        writer.append(b"x" * 70_000)
        blobs.append(writer.finish())
        mailbox.commit(batch(mail(uid, body=blobs[-1], action=None)))
    read(store, 1)
    assert mailbox.trim() == 1
    assert not store.client.exists(STREAM.blob(blobs[0].blob_id))
    assert store.client.strlen(STREAM.blob(blobs[1].blob_id)) == 70_000
    assert list(store.client.hgetall(STREAM.blobs)) == [blobs[1].blob_id.encode()]


def test_at_max_length_acknowledged_entries_make_room(store: Store) -> None:
    policy = QueuePolicy(consumer_groups=("tickets",), max_length=5)  # kept for days otherwise
    mailbox = filled(store, range(1, 6), policy=policy)
    read(store, 2)
    mailbox.commit(batch(mail(6), mail(7)))
    assert uids(store) == [3, 4, 5, 6, 7]
    with pytest.raises(StoreError, match="wait for consumer group tickets") as failure:
        mailbox.commit(batch(mail(8)))
    assert failure.value.reason == "QueueFull"
    assert uids(store) == [3, 4, 5, 6, 7]


def test_at_max_length_a_missing_group_is_named(store: Store) -> None:
    mailbox = filled(store, range(1, 4), policy=QueuePolicy(consumer_groups=("tickets",), max_length=3))
    store.client.xgroup_destroy(STREAM.queue, "tickets")
    with pytest.raises(StoreError, match="consumer group tickets does not exist"):
        mailbox.commit(batch(mail(4)))


def test_at_max_length_pending_actions_are_named(store: Store) -> None:
    mailbox = store.opened(policy=QueuePolicy(consumer_groups=("tickets",), max_length=2))
    mailbox.commit(batch(mail(1), mail(2)))
    read(store, 2)
    with pytest.raises(StoreError, match="after-download actions of connection inbox"):
        mailbox.commit(batch(mail(3)))
    assert uids(store) == [1, 2]


def test_full_memory_trims_what_was_acknowledged(store: Store) -> None:
    mailbox = store.opened(policy=QueuePolicy(consumer_groups=("tickets",)))
    mailbox.commit(batch(*(mail(uid, body=b"x" * 60_000, action=None) for uid in range(1, 21))))
    store.client.xreadgroup("tickets", "worker", {STREAM.queue: ">"}, count=15, noack=True)
    store.client.config_set("maxmemory", store.client.info("memory")["used_memory"] - 300_000)
    mailbox.commit(batch(mail(21, action=None)))
    assert uids(store) == [16, 17, 18, 19, 20, 21]


def test_old_log_lines_go_even_without_a_group(store: Store) -> None:
    mailbox = store.opened(policy=QueuePolicy(log_seconds=3600))
    store.client.config_set("stream-node-max-entries", 1)
    store.client.xadd(STREAM.log, {"step": "old"}, id="1000-1")
    store.client.xadd(STREAM.log, {"step": "older than the new one"}, id="1001-1")
    mailbox.commit(batch(cursor="c", log=(LogLine(step="new"),)))
    mailbox.trim()
    assert [line["step"] for line in store.log()] == ["new"]


def test_another_owner_may_not_trim(store: Store) -> None:
    mailbox = filled(store, range(1, 4))
    read(store, 3)
    store.opened(policy=AT_ONCE)
    with pytest.raises(Fenced):
        mailbox.trim()
    assert len(store.entries()) == 3


def test_an_empty_queue_is_fine(store: Store) -> None:
    assert store.opened(policy=AT_ONCE).trim() == 0
    assert store.client.xlen(STREAM.queue) == 0
    assert store.client.hgetall(STREAM.connections) == {b"inbox": b'["tickets"]'}


def test_ids_of_a_clock_that_jumped_ahead_do_not_keep_entries_for_ever(store: Store) -> None:
    """Their ids say that they are of next year; `committed` says when they came."""
    mailbox = store.opened(policy=QueuePolicy(consumer_groups=("tickets",), queue_seconds=86_400))
    ahead = (int(store.client.time()[0]) + 365 * 86_400) * 1000
    for i, committed in enumerate(("2020-01-31T08:15:00Z", "2020-01-31T08:15:01Z", "2999-01-31T08:15:00Z")):
        store.client.xadd(STREAM.queue, {"uid": str(i), "committed": committed}, id=f"{ahead}-{i}")
    read(store, 3)
    assert mailbox.trim() == 2
    assert uids(store) == [2]


def test_a_young_entry_stays_though_it_is_acknowledged(store: Store) -> None:
    mailbox = filled(store, range(1, 4), policy=QueuePolicy(consumer_groups=("tickets",), queue_seconds=86_400))
    read(store, 3)
    assert mailbox.trim() == 0


def test_the_log_is_bounded_by_its_length_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailfetch_fetcher.store.trim.LOG_LINES", 100)
    mailbox = filled(store, [1])
    pipeline = store.client.pipeline()
    for i in range(2000):
        pipeline.xadd(STREAM.log, {"step": str(i)}, id=f"{10**15}-{i}")
    pipeline.execute()
    mailbox.trim()
    assert 100 <= store.client.xlen(STREAM.log) < 500  # whole blocks go
    assert store.log()[-1]["step"] == "1999"
