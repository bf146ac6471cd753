"""The tools and the script in a Redis Cluster, where each stream may be on another node."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailfetch_fetcher.store.model import Batch
from tests.integration.store.helpers import KEYS, STREAM, Store, store_on
from tests.integration.tools.helpers import DELETE, GROUP, POLICY, Tools, end, filled, large, letter, read
from tests.servers.redis_cluster import ClusterSetup


@pytest.fixture
def cluster() -> Iterator[ClusterSetup]:
    with ClusterSetup(replicas=0) as running:
        yield running


@pytest.fixture
def store(cluster: ClusterSetup) -> Iterator[Store]:
    with store_on(cluster.url, cluster.node_of(KEYS.state).client()) as made:
        yield made


@pytest.fixture
def tools(cluster: ClusterSetup, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Tools:
    return Tools(cluster.url, directory=tmp_path / "redis", output=capfdbinary)


def other_stream(cluster: ClusterSetup) -> str:
    """A stream on another node than `STREAM`."""
    here = cluster.node_of(KEYS.state)
    names = (f"sales-{n}" for n in range(100))
    return next(n for n in names if cluster.node_of(type(STREAM)(namespace="helpdesk", stream=n).queue) is not here)


def test_streams_of_several_nodes(cluster: ClusterSetup, store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1, action=DELETE)
    large(mailbox, 2, b"x" * 100_000, action=DELETE)
    mailbox.due_actions(group=GROUP)
    for entry in read(store):
        assert end(store.client, entry, "Failed", "?") == "Ended"
    name = other_stream(cluster)
    other = store.mailbox(keys=type(STREAM)(namespace="helpdesk", stream=name).connection("sales"), policy=POLICY)
    other.open(identity="sha256:sales", gate_epoch=1, create=True, state_id="", known_seq=0)
    other.commit(Batch(mails=[letter(3)], cursor="1700000000/3"))
    both = ("--stream", name)
    assert tools.states(*both) == {"subject 1": "Failed", "subject 2": "Failed", "subject 3": "New"}
    assert len(tools.json("requeue", *both, "1@example.com", "2@example.com")["requeued"]) == 2
    assert tools.states(*both) == {"subject 1": "New", "subject 2": "New", "subject 3": "New"}
    assert len(tools.json("log", *both, "--search", "requeued")["lines"]) == 4
    assert tools.run("show", "--stream", "support", "--raw", "3@example.com", *both)[1] == b"the body"
    assert tools.json("purge", *both, "--state", "New")["purged"] == 3
