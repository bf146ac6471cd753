"""Redis Cluster: a smoke test of everything, and what resharding must not do."""

from collections.abc import Iterator
from typing import cast

import pytest

from mailfetch_fetcher.errors import Pace, StoreError
from mailfetch_fetcher.sources.base import Outcome
from mailfetch_fetcher.store.locate import locate
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Owner, QueuePolicy, WantedAction
from mailfetch_fetcher.store.purge import purge
from mailfetch_fetcher.store.target import parse_target
from tests.integration.store.helpers import KEYS, STREAM, Store, batch, mail, open_new, store_on
from tests.servers.redis import Kind, RedisServer, free_port
from tests.servers.redis_cluster import ClusterSetup

MOVE = WantedAction(kind="Move", folder="Done")
GROUPS = QueuePolicy(consumer_groups=("tickets",), queue_seconds=0)


@pytest.fixture(params=["redis", "valkey"])
def cluster(request: pytest.FixtureRequest) -> Iterator[ClusterSetup]:
    with ClusterSetup(kind=cast("Kind", request.param), replicas=1) as made:
        for node in made.nodes:
            node.run("CONFIG", "SET", "appendfsync", "always")
        yield made


@pytest.fixture
def store(cluster: ClusterSetup) -> Iterator[Store]:
    with store_on(cluster.url, cluster.node_of(KEYS.state).client()) as made:
        yield made


def reopened(store: Store) -> Mailbox:
    again = store.mailbox(policy=GROUPS)
    open_new(again)
    return again


def test_everything_works_on_the_node_that_holds_the_keys(cluster: ClusterSetup, store: Store) -> None:
    mailbox = store.opened(policy=GROUPS)
    blob = mailbox.start_blob()
    blob.append(b"x" * 70_000)
    mailbox.commit(batch(mail(1, body=blob.finish(), action=MOVE), mail(2, action=MOVE)))
    store.client.xreadgroup("tickets", "worker", {STREAM.queue: ">"}, noack=True)
    actions = mailbox.due_actions(group="tickets").actions
    assert [action.uid for action in actions] == [1, 2], mailbox.safety()
    actions = mailbox.advance(actions, "copying")
    mailbox.confirm_lease()
    mailbox.settle([Outcome(action=action, result="done") for action in actions])
    store.leases.renew_all()
    assert mailbox.durable()
    assert mailbox.trim() == 2
    mailbox.close(release=True)
    target = parse_target(cluster.url, ca_file=None)
    assert purge(target, KEYS, cluster_id="cluster-1", owner=Owner(pod_uid="cleaner")) == 0
    assert list(store.client.scan_iter("*")) == []


def test_a_slot_that_moved_is_looked_for_by_the_next_life(cluster: ClusterSetup, store: Store) -> None:
    mailbox = store.opened(policy=GROUPS)
    mailbox.commit(batch(mail(1)))
    old = cluster.node_of(KEYS.state)
    cluster.move(KEYS.state, next(node for node in cluster.masters if node is not old))
    with pytest.raises(StoreError, match="MOVED") as failure:
        mailbox.commit(batch(mail(2)))
    assert failure.value.reason == "StoreUnavailable"
    again = reopened(store)
    assert again.state.cursor == "1700000000/1"
    again.commit(batch(mail(2)))
    assert [action.uid for action in again.due_actions().actions] == [1, 2], again.safety()


def test_while_a_slot_is_moving_nothing_is_committed_and_no_ask_is_followed(
    cluster: ClusterSetup, store: Store
) -> None:
    mailbox = store.opened(policy=GROUPS)
    mailbox.commit(batch(mail(1)))
    old = cluster.node_of(KEYS.state)
    new = next(node for node in cluster.masters if node is not old)
    cluster.begin_move(KEYS.state, new)
    with pytest.raises(StoreError, match=r"ASK|TRYAGAIN") as failure:
        mailbox.commit(batch(mail(2)))  # the ledger's bucket of the new mail does not exist here
    assert failure.value.reason == "StoreUnavailable"
    assert new.run("DBSIZE") == 0
    assert store.client.xlen(STREAM.queue) == 1
    cluster.move(KEYS.state, new)
    again = reopened(store)
    again.commit(batch(mail(2)))
    assert int(new.run("XLEN", STREAM.queue)) == 2


def test_a_dead_replica_holds_what_is_to_be_done(cluster: ClusterSetup, store: Store) -> None:
    mailbox = store.opened(policy=GROUPS)
    mailbox.commit(batch(mail(1)))
    (replica,) = cluster.replicas[cluster.masters.index(cluster.node_of(KEYS.state))]
    replica.kill()
    assert mailbox.due_actions().actions == []
    assert "only 0 of 1 replicas" in mailbox.safety().message
    assert "CLUSTER FORGET" in mailbox.safety().message


def test_a_master_without_replicas_holds_everything() -> None:
    with ClusterSetup(replicas=0) as cluster, store_on(cluster.url, cluster.node_of(KEYS.state).client()) as store:
        mailbox = store.opened()
        mailbox.commit(batch(mail(1)))
        assert mailbox.due_actions().actions == []
        assert "at least one replica" in mailbox.safety().message


def test_the_way_there(cluster: ClusterSetup) -> None:
    """Any node that answers says where the keys are, also one that holds others."""
    for node in cluster.nodes:
        url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{node.port}"
        assert locate(parse_target(url, ca_file=None), key=KEYS.state).port == cluster.node_of(KEYS.state).port
    with pytest.raises(StoreError, match="no node of the Redis Cluster") as failure:
        locate(parse_target(f"redis+cluster://:geheim@127.0.0.1:{free_port()}", ca_file=None), key=KEYS.state)
    assert "geheim" not in failure.value.message


def test_the_wrong_form_of_the_url_is_told(cluster: ClusterSetup) -> None:
    other = next(node for node in cluster.masters if node is not cluster.node_of(KEYS.state))
    with store_on(other.url, other.client()) as store, pytest.raises(StoreError, match=r"redis\+cluster://"):
        store.opened()
    with RedisServer() as single, pytest.raises(StoreError, match="not part of a Redis Cluster") as failure:
        locate(parse_target(f"redis+cluster://127.0.0.1:{single.port}", ca_file=None), key=KEYS.state)
    assert failure.value.pace is Pace.CONFIGURATION
