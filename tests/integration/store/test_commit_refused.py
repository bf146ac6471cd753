"""Whatever Redis refuses in the middle of a commit, nothing half is left behind."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.store import hashes
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Batch, LogLine, Mail, QueuePolicy
from tests.integration.store.helpers import (
    KEYS,
    STREAM,
    Store,
    batch,
    mail,
    name,
    named,
    open_new,
    quarantined,
    store_on,
)
from tests.servers.proxy import FaultProxy
from tests.servers.redis import Kind, RedisServer

ABSENT = (LogLine(step="absent", result="Skipped", fields={"ref": "1700000000/9"}),)


@contextmanager
def nothing_changes(store: Store) -> Iterator[None]:
    before = store.snapshot()
    yield
    after = store.snapshot()
    assert after == before


def with_a_blob(mailbox: Mailbox) -> list[Mail]:
    """Mails that make a commit touch every key."""
    writer = mailbox.start_blob()
    writer.append(b"p" * 100_000)
    return [mail(11), mail(12, body=writer.finish()), mail(13)]


def first_bucket(mailbox: Mailbox, uid: int) -> str:
    number = hashes.ledger_number(f"<{uid}@example.com>".encode(), 1, key=mailbox.state.hash_key)
    return KEYS.known(hashes.bucket(number))


@pytest.mark.parametrize("seen_before", [False, True], ids=["new", "used"])
@pytest.mark.parametrize("victim", ["queue", "log", "outbox", "stats", "blobs", "bucket"])
def test_a_key_of_another_type_undoes_everything(store: Store, victim: str, seen_before: bool) -> None:
    mailbox = store.opened()
    if seen_before:
        mailbox.commit(batch(mail(1), mail(2)))
    mails = with_a_blob(mailbox)
    key = {
        "queue": STREAM.queue,
        "log": STREAM.log,
        "outbox": KEYS.outbox,
        "stats": KEYS.stats,
        "blobs": STREAM.blobs,
        "bucket": first_bucket(mailbox, 13),
    }[victim]
    store.client.delete(key)
    store.client.set(key, "not ours") if victim != "bucket" else store.client.lpush(key, "not ours")
    with nothing_changes(store), pytest.raises(StoreError, match="WRONGTYPE") as failure:
        mailbox.commit(batch(*mails, log=ABSENT))
    assert failure.value.reason == "StoreUnsafe"
    store.client.delete(key)
    again = store.mailbox()
    open_new(again)
    again.commit(batch(*mails, log=ABSENT))
    assert [e["uid"] for e in store.entries()][-3:] == ["11", "12", "13"]


# -- every other part ----------------------------------------------------------------------


def with_every_part(store: Store, mailbox: Mailbox) -> Batch:
    """Names, records that come, change and go, actions that are translated and dropped, fields of the state."""
    first, second = store.outbox()
    return Batch(
        mails=[named(21, action=None), mail(22, action=None)],
        cursor="1800000000/9",
        log=ABSENT,
        quarantine=[
            quarantined(3, attempts=7),
            quarantined(5),
            quarantined(6, with_name=True),
            quarantined(7, with_name=True, attempts=2),  # in the ledger already
        ],
        released=["1700000000/4", "1700000000/404"],
        phase="Steady",
        gate_epoch=9,
        refetch="r",
        group_seen="g",
        outbox={first: first.replace("1700000000/1 ", "1800000000/5 "), second: ""},
    )


def used(store: Store) -> Mailbox:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1), mail(2), quarantine=[quarantined(3), quarantined(4), quarantined(7, with_name=True)]))
    return mailbox


def bucket_of(mailbox: Mailbox, name: bytes) -> str:
    return KEYS.known(hashes.bucket(hashes.ledger_number(name, 1, key=mailbox.state.hash_key)))


@pytest.mark.parametrize("victim", ["quarantine", "bucket of a name", "bucket of a record", "stats"])
def test_a_key_of_another_type_undoes_every_part(store: Store, victim: str) -> None:
    mailbox = used(store)
    parts = with_every_part(store, mailbox)
    key = {
        "quarantine": KEYS.quarantine,
        "bucket of a name": bucket_of(mailbox, name(21)),
        "bucket of a record": bucket_of(mailbox, name(6)),
        "stats": KEYS.stats,
    }[victim]
    store.client.delete(key)
    store.client.lpush(key, "not ours")
    with nothing_changes(store), pytest.raises(StoreError, match="WRONGTYPE"):
        mailbox.commit(parts)


@pytest.mark.parametrize("command", ["xadd", "zrem", "hincrby", "hget", "zscore"])
def test_a_permission_taken_away_undoes_every_part(user: Store, command: str) -> None:
    mailbox = used(user)
    parts = with_every_part(user, mailbox)
    user.client.execute_command("ACL", "SETUSER", "fetcher", f"-{command}")
    with nothing_changes(user), pytest.raises(StoreError, match="ACL SETUSER"):
        mailbox.commit(parts)


def test_every_part_is_refused_when_memory_is_full(store: Store) -> None:
    mailbox = used(store)
    parts = with_every_part(store, mailbox)
    fill_memory(store)
    with nothing_changes(store), pytest.raises(StoreError) as failure:
        mailbox.commit(parts)
    assert failure.value.reason == "QueueFull"


SMALL = {
    "cursor": Batch(cursor="c"),
    "record": Batch(quarantine=[quarantined(5)]),
    "release": Batch(released=["1700000000/3"]),
    "phase": Batch(phase="Reset 5"),
    "group": Batch(group_seen="g"),
    "refetch": Batch(refetch="r"),
}


@pytest.mark.parametrize("part", SMALL)
@pytest.mark.parametrize("trouble", ["memory", "replica"])
def test_a_part_alone_is_refused_too(store: Store, part: str, trouble: str) -> None:
    mailbox = used(store)
    if trouble == "memory":
        fill_memory(store)
    else:
        store.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    with nothing_changes(store), pytest.raises(StoreError) as failure:
        mailbox.commit(SMALL[part])
    assert failure.value.reason == ("QueueFull" if trouble == "memory" else "StoreUnavailable")


def staged(store: Store, mailbox: Mailbox) -> Batch:
    """A commit that exchanges the ledger; both have buckets that the other lacks."""
    mailbox.stage().begin()
    mailbox.stage().add([name(uid) for uid in range(30, 60)])
    first, second = store.outbox()
    return Batch(
        cursor="c", phase="Steady", staged=True, outbox={first: second + "x", second: ""}, released=["1700000000/4"]
    )


@pytest.mark.parametrize("rule", ["-hset", "-rename", "-xadd"])
def test_an_exchange_of_the_ledger_is_undone(user: Store, rule: str) -> None:
    mailbox = used(user)
    parts = staged(user, mailbox)
    user.client.execute_command("ACL", "SETUSER", "fetcher", rule)
    with nothing_changes(user), pytest.raises(StoreError, match="ACL SETUSER") as failure:
        mailbox.commit(dataclasses.replace(parts, released=()))
    assert "undoing it failed" not in failure.value.message


@pytest.mark.parametrize("trouble", ["memory", "replica"])
def test_an_exchange_of_the_ledger_is_refused_whole(store: Store, trouble: str) -> None:
    mailbox = used(store)
    parts = staged(store, mailbox)
    if trouble == "memory":
        fill_memory(store)
    else:
        store.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    with nothing_changes(store), pytest.raises(StoreError):
        mailbox.commit(parts)


def test_a_staged_bucket_of_another_type_changes_nothing(store: Store) -> None:
    mailbox = used(store)
    parts = staged(store, mailbox)
    key = next(key for bucket in range(1024) if not store.client.exists(key := KEYS.stage(bucket)))
    store.client.lpush(key, "not ours")
    with nothing_changes(store), pytest.raises(StoreError, match="WRONGTYPE"):
        mailbox.commit(parts)


@pytest.fixture
def user(server: RedisServer, store: Store) -> Store:
    """The store as a user whose permissions a test takes away."""
    store.client.execute_command("ACL", "SETUSER", "fetcher", "on", ">secret", "~mail:*", "+@all")
    store.url = f"redis://fetcher:secret@127.0.0.1:{server.port}/0"
    return store


@pytest.mark.parametrize("seen_before", [False, True], ids=["new", "used"])
@pytest.mark.parametrize("command", ["xadd", "persist", "hset", "sadd", "zadd", "hincrby"])
def test_a_permission_taken_away_undoes_everything(user: Store, command: str, seen_before: bool) -> None:
    mailbox = user.opened()
    if seen_before:
        mailbox.commit(batch(mail(1), mail(2)))
    mails = with_a_blob(mailbox)
    user.client.execute_command("ACL", "SETUSER", "fetcher", f"-{command}")
    with nothing_changes(user), pytest.raises(StoreError, match="ACL SETUSER") as failure:
        mailbox.commit(batch(*mails, log=ABSENT))
    assert failure.value.reason == "StoreUnsafe"


def test_an_undoing_that_fails_is_said_and_the_state_stays(user: Store) -> None:
    mailbox = user.opened()
    before = user.state()
    user.client.execute_command("ACL", "SETUSER", "fetcher", "-zadd", "-srem")
    with pytest.raises(StoreError, match="undoing it failed too") as failure:
        mailbox.commit(batch(mail(1), mail(2)))
    assert failure.value.reason == "StoreUnsafe"
    assert user.state() == before
    assert not user.entries()


@pytest.mark.parametrize("rule", ["-xdel", "-persist", "-xinfo|groups", "-unlink"])
def test_opening_names_a_missing_permission(user: Store, rule: str) -> None:
    user.client.execute_command("ACL", "SETUSER", "fetcher", rule)
    with pytest.raises(StoreError, match=f'may not run "{rule[1:5].upper()}') as failure:
        user.opened()
    assert failure.value.reason == "StoreUnsafe"
    assert "secret" not in failure.value.message


def test_opening_names_keys_that_the_user_may_not_touch(user: Store) -> None:
    user.client.execute_command("ACL", "SETUSER", "fetcher", "resetkeys", "~mail:{helpdesk/support}:conn:*")
    with pytest.raises(StoreError, match="permission") as failure:
        user.opened()
    assert failure.value.reason == "StoreUnsafe"


@pytest.mark.parametrize(
    "key",
    [STREAM.queue, STREAM.log, STREAM.groups, KEYS.outbox, KEYS.stats, KEYS.lease, KEYS.gone, KEYS.returns],
)
def test_opening_names_a_key_of_another_type(store: Store, key: str) -> None:
    store.client.lpush(key, "not ours")
    with pytest.raises(StoreError, match="is a list and not a") as failure:
        store.opened()
    assert failure.value.reason == "StoreUnsafe"
    assert key in failure.value.message
    assert not store.state()


def test_an_exhausted_stream_is_unsafe(store: Store) -> None:
    mailbox = store.opened()
    store.client.xadd(STREAM.queue, {"f": "v"}, id="18446744073709551615-18446744073709551615")
    with nothing_changes(store), pytest.raises(StoreError, match="exhausted") as failure:
        mailbox.commit(batch(mail(1)))
    assert failure.value.reason == "StoreUnsafe"


# -- no room -------------------------------------------------------------------------------


def test_at_max_length_nothing_is_written(store: Store) -> None:
    mailbox = store.opened(policy=QueuePolicy(max_length=3))
    mailbox.commit(batch(mail(1), mail(2)))
    assert mailbox.queue_room() == 1
    with nothing_changes(store), pytest.raises(StoreError, match="maxLength is 3") as failure:
        mailbox.commit(batch(mail(3), mail(4)))
    assert failure.value.reason == "QueueFull"
    assert "consumerGroups" in failure.value.message  # why nothing can be trimmed
    again = store.mailbox(policy=QueuePolicy(max_length=3))
    open_new(again)
    again.commit(batch(mail(3)))
    again.commit(batch(cursor="1700000000/9"))  # a cursor needs no room
    assert again.queue_room() == 0


def fill_memory(store: Store) -> None:
    store.client.config_set("maxmemory", 100_000)  # less than an empty Redis needs


def test_out_of_memory_writes_nothing_and_says_what_is_needed(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    fill_memory(store)
    with nothing_changes(store), pytest.raises(StoreError, match="needs 5000 bytes") as failure:
        mailbox.commit(batch(mail(2, body=b"x" * 5000)))
    assert failure.value.reason == "QueueFull"
    store.client.config_set("maxmemory", 0)
    again = store.mailbox()
    open_new(again)
    again.commit(batch(mail(2)))
    assert [e["uid"] for e in store.entries()] == ["1", "2"]


def test_a_blob_does_not_slip_past_full_memory(store: Store) -> None:
    """PERSIST is allowed when memory is full, and after a script's first write nothing is refused any more."""
    mailbox = store.opened()
    mails = with_a_blob(mailbox)
    fill_memory(store)
    with nothing_changes(store), pytest.raises(StoreError) as failure:
        mailbox.commit(batch(mails[1]))
    assert failure.value.reason == "QueueFull"


def test_what_went_in_before_memory_was_full_is_known(store: Store, proxy: FaultProxy) -> None:
    url = f"redis://127.0.0.1:{proxy.port}"
    mailbox = store.opened(url=url, wait=lambda _: fill_memory(store))  # waits only before sending it again
    proxy.lose_reply_to(b"cursor-behind-it")
    mailbox.commit(batch(mail(1), cursor="cursor-behind-it"))
    assert proxy.faults == 1
    assert len(store.entries()) == 1
    with pytest.raises(StoreError) as failure:
        mailbox.commit(batch(mail(2)))
    assert failure.value.reason == "QueueFull"


def test_leases_and_actions_go_on_when_memory_is_full(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    fill_memory(store)
    mailbox.confirm_lease()
    again = store.mailbox()
    open_new(again)
    assert [a.uid for a in again.due_actions(10).actions] == [1]


# -- not now -------------------------------------------------------------------------------


def test_a_replica_refuses_and_that_passes(server: RedisServer, store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    store.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    with nothing_changes(store), pytest.raises(StoreError, match="replica") as failure:
        mailbox.commit(batch(mail(2)))
    assert failure.value.reason == "StoreUnavailable"
    store.client.execute_command("REPLICAOF", "NO", "ONE")
    again = store.mailbox()
    open_new(again)
    again.commit(batch(mail(2)))
    assert [e["uid"] for e in store.entries()] == ["1", "2"]


def test_too_few_replicas_passes(store: Store) -> None:
    mailbox = store.opened()
    store.client.config_set("min-replicas-to-write", 1)
    with nothing_changes(store), pytest.raises(StoreError, match="too few replicas") as failure:
        mailbox.commit(batch(mail(1)))
    assert failure.value.reason == "StoreUnavailable"


def test_a_frozen_redis_is_waited_for(kind: Kind) -> None:
    with RedisServer(kind=kind) as server, store_on(server.url, server.client()) as store:
        mailbox = store.opened(wait=lambda _: server.thaw())
        writer = mailbox._writer  # a shorter timeout than ten seconds
        assert writer
        writer.link._connection._sock.settimeout(0.3)  # type: ignore[attr-defined]
        server.freeze()
        mailbox.commit(batch(mail(1)))  # the first one times out, but Redis finds both when it wakes
        assert len(store.entries()) == store.known() == 1
