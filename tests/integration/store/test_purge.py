"""deletionPolicy Purge: all of one connection goes, nothing of another, and a crash leaves nothing half-alive."""

from typing import Any

import pytest

from mailfetch_fetcher.contract.keys import ConnectionKeys
from mailfetch_fetcher.errors import Fenced, GateClosed, StoreError
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.model import Owner, QueuePolicy
from mailfetch_fetcher.store.purge import Purge, purge
from mailfetch_fetcher.store.target import parse_target
from tests.integration.store.helpers import IDENTITY, KEYS, STREAM, Store, batch, mail, open_new, quarantined
from tests.servers.redis import RedisServer

OTHER = STREAM.connection("second")
POLICY = QueuePolicy(consumer_groups=("tickets",), queue_seconds=0)


def fill(store: Store, keys: ConnectionKeys, *, first: int = 1) -> None:
    """Something under every key of a connection."""
    mailbox = store.opened(keys=keys, policy=POLICY)
    mailbox.commit(batch(mail(first), mail(first + 1), cursor="c"))
    writer = mailbox.start_blob()
    writer.append(b"x" * 70_000)
    mailbox.commit(batch(mail(first + 2, body=writer.finish()), quarantine=[quarantined(9)]))
    mailbox.commit(batch(*(mail(first + 100 + n) for n in range(60)), cursor="d"))
    mailbox.stage().begin()
    mailbox.stage().add([b"uidl 1 x"])
    store.client.hset(keys.gone, "7", "d")
    store.client.hset(keys.returns, "7", 1)
    store.client.incr(keys.barrier)
    mailbox.close(release=True)


def put_aside(store: Store) -> None:
    """The connection meant another mailbox before."""
    made = store.mailbox(policy=POLICY)
    made.open(identity="sha256:other", gate_epoch=2, create=False, state_id="", known_seq=0)
    made.close(release=True)


def remove(store: Store, *, keys: ConnectionKeys = KEYS, pod: str = "purge", cluster: str = "cluster-1") -> int:
    target = parse_target(store.url, ca_file=None)
    return purge(target, keys, cluster_id=cluster, owner=Owner(pod_uid=pod))


def keys_of(store: Store, keys: ConnectionKeys) -> list[str]:
    return [key.decode() for key in store.client.scan_iter(keys.prefix + ":*")]


def test_with_its_last_connection_a_stream_is_gone(store: Store) -> None:
    fill(store, KEYS)
    put_aside(store)
    assert remove(store) == 63
    assert store.client.dbsize() == 0
    assert remove(store) == 0  # nothing is left to remove


def test_another_connection_of_the_stream_loses_nothing(store: Store) -> None:
    fill(store, OTHER, first=500)
    alone = store.snapshot()
    fill(store, KEYS)
    put_aside(store)
    for entry in store.ids():
        store.client.hset(STREAM.marks, entry, "Failed")
    assert remove(store) == 63
    assert keys_of(store, KEYS) == []
    left = store.snapshot()
    marks = left.pop(STREAM.marks)
    assert left == alone
    assert isinstance(marks, tuple)
    assert sorted(entry.decode() for entry in marks[1]) == sorted(store.ids())
    assert {e["connection"] for e in store.entries()} == {"second"}
    again = store.mailbox(keys=OTHER, policy=POLICY)
    assert open_new(again).cursor == "d"


def test_what_a_consumer_held_does_not_hold_the_others(store: Store) -> None:
    fill(store, KEYS)
    fill(store, OTHER, first=500)
    store.client.xreadgroup("tickets", "worker", {STREAM.queue: ">"}, count=10)
    remove(store)
    assert store.client.xpending(STREAM.queue, "tickets")["pending"] == 0
    store.client.xreadgroup("tickets", "worker", {STREAM.queue: ">"}, noack=True)
    store.client.delete(OTHER.outbox)
    other = store.mailbox(keys=OTHER, policy=POLICY)
    open_new(other)
    assert other.trim() == 63


class Crash(Exception):
    """The process ended."""


class CrashingLink(Link):
    """Ends after so many commands: before the next one, or with the reply to the last one unread."""

    left = 1 << 30

    def call(self, *command: Any) -> Any:
        if self.left == 0:
            raise Crash
        self.left -= 1
        return super().call(*command)


def attempt(store: Store, steps: int) -> bool:
    link = CrashingLink(parse_target(store.url, ca_file=None))
    link.left = steps
    try:
        Purge(link=link, keys=KEYS, cluster_id="cluster-1", owner=Owner(pod_uid="purge")).run()
    except Crash:
        return False
    finally:
        link.close()
    return True


def test_after_a_crash_at_any_step_it_goes_on_and_nobody_else_can(store: Store) -> None:
    steps, done = 0, False
    while not done:
        fill(store, OTHER, first=500)
        alone = store.snapshot()
        fill(store, KEYS)
        done = attempt(store, steps)
        if steps and not done:
            assert store.state()["phase"] == "Purge"
            with pytest.raises(GateClosed, match="Purge") as closed:
                store.mailbox(pod="purge", policy=POLICY).open(
                    identity=IDENTITY, gate_epoch=9, create=False, state_id="", known_seq=0
                )
            assert closed.value.gate == "StateLost"
        remove(store)
        assert keys_of(store, KEYS) == []
        assert store.snapshot() == alone
        store.client.flushall()
        steps += 1
    assert steps > 15


def test_a_connection_may_be_made_again_after_a_purge_that_did_not_end(store: Store) -> None:
    fill(store, KEYS)
    assert not attempt(store, 8)
    again = store.mailbox(pod="purge", policy=POLICY)
    state = open_new(again)  # with create: people approved anew
    assert (state.phase, state.cursor) == ("Steady", "")
    again.commit(batch(mail(1)))


def test_a_living_lease_of_another_pod_is_respected(store: Store) -> None:
    mailbox = store.opened(pod="pod-1")
    mailbox.commit(batch(mail(1)))
    before = store.snapshot()
    with pytest.raises(StoreError, match="lease") as failure:
        remove(store)
    assert failure.value.retry_after
    assert store.snapshot() == before
    mailbox.commit(batch(mail(2)))


def test_a_zombie_cannot_write_any_more(store: Store) -> None:
    mailbox = store.opened(pod="pod-1")
    store.client.delete(KEYS.lease)
    assert not attempt(store, 1)
    with pytest.raises(Fenced):
        mailbox.commit(batch(mail(1)))
    remove(store)
    with pytest.raises(Fenced):  # this life ended
        mailbox.commit(batch(mail(1)))
    assert store.client.dbsize() == 0


def test_the_state_of_another_cluster_is_respected(store: Store) -> None:
    fill(store, KEYS)
    before = store.snapshot()
    with pytest.raises(StoreError, match="another cluster") as failure:
        remove(store, cluster="cluster-2")
    assert failure.value.reason == "InvalidConfiguration"
    assert store.snapshot() == before


def test_what_a_lost_state_left_behind_goes_too(store: Store) -> None:
    fill(store, KEYS)
    store.client.delete(KEYS.state)
    assert remove(store) == 63
    assert store.client.dbsize() == 0


def test_full_memory_does_not_hinder_it(store: Store) -> None:
    fill(store, KEYS)
    store.client.config_set("maxmemory", 100_000)
    remove(store)
    assert store.client.dbsize() == 0


def test_a_replica_is_not_now(server: RedisServer, store: Store) -> None:
    fill(store, KEYS)
    store.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreError) as failure:
        remove(store)
    assert failure.value.reason == "StoreUnavailable"
