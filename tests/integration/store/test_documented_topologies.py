"""The Redis users of docs/operations.md suffice behind Sentinel and in a Cluster too."""

import shlex
from pathlib import Path

from mailfetch_fetcher.sources.base import Outcome
from mailfetch_fetcher.store.model import Owner, QueuePolicy
from mailfetch_fetcher.store.purge import purge
from mailfetch_fetcher.store.target import parse_target
from tests.integration.store.helpers import KEYS, STREAM, Store, batch, mail, open_new, store_on
from tests.servers.redis import RedisServer
from tests.servers.redis_cluster import ClusterSetup
from tests.servers.sentinel import SentinelSetup

LINES = (Path(__file__).parents[3] / "docs" / "operations.md").read_text().splitlines()
POLICY = QueuePolicy(consumer_groups=("tickets",), queue_seconds=0)


def make_user(server: RedisServer) -> None:
    """At one server (of a replicated set each has users of its own)."""
    for line in LINES:
        if line.startswith("ACL SETUSER mailfetch-helpdesk"):
            server.run(*line.partition("#")[0].replace("PASSWORD", "geheim").split())


def make_sentinel_user(sentinel: RedisServer) -> None:
    (line,) = (line for line in LINES if line.startswith("redis-cli -h SENTINEL"))
    words = shlex.split(line.replace("PASSWORD", "auchgeheim"))
    sentinel.run(*words[words.index("ACL") :])


def use_everything(store: Store) -> None:
    mailbox = store.mailbox(policy=POLICY)
    open_new(mailbox)
    mailbox.commit(batch(mail(1), mail(2)))
    store.client.xreadgroup("tickets", "worker", {STREAM.queue: ">"}, noack=True)
    actions = mailbox.due_actions(group="tickets").actions
    assert [action.uid for action in actions] == [1, 2], mailbox.safety()
    mailbox.confirm_lease()
    mailbox.settle([Outcome(action=action, result="done") for action in actions])
    store.leases.renew_all()
    assert mailbox.durable()
    assert mailbox.trim() == 2
    mailbox.close(release=True)
    assert store.mailbox().peek()
    purge(parse_target(store.url, ca_file=None), KEYS, cluster_id="cluster-1", owner=Owner(pod_uid="purge"))
    assert store.client.dbsize() == 0


def test_behind_sentinel() -> None:
    with SentinelSetup(replicas=1, appendfsync="always", sentinel_password="nurdererselbst") as setup:
        for node in setup.nodes:
            make_user(node)
        for sentinel in setup.sentinels:
            make_sentinel_user(sentinel)
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in setup.sentinels)
        url = f"redis+sentinel://mailfetch-helpdesk:geheim@{hosts}/mymaster"
        url += "?sentinel_username=mailfetch&sentinel_password=auchgeheim"
        with store_on(url, setup.master.client()) as store:
            use_everything(store)


def test_in_a_cluster() -> None:
    with ClusterSetup(replicas=1) as cluster:
        for node in cluster.nodes:
            node.run("CONFIG", "SET", "appendfsync", "always")
            make_user(node)
        url = cluster.url.replace("://", "://mailfetch-helpdesk:geheim@")
        with store_on(url, cluster.node_of(KEYS.state).client()) as store:
            use_everything(store)
