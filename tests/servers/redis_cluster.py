"""A small real Redis Cluster on loopback: masters that share the slots, each with its replicas.

with ClusterSetup(kind="redis", masters=3, replicas=1) as cluster:
    cluster.url                  # redis+cluster://127.0.0.1:p1,…
    cluster.node_of(key)         # the RedisServer that holds a key
    cluster.begin_move(key, to)  # a resharding that stands still: keys that are not there answer ASK
    cluster.move(key, to)        # a finished one: the old node answers MOVED
"""

from collections.abc import Callable
from types import TracebackType

from tests.servers.redis import ConfiguredServer, Kind, RedisServer, quiet_port, wait_until


class ClusterSetup:
    """A small real Redis Cluster: masters that share the slots, each with its replicas. Use as a context manager.

    `url` is as in the Redis Secret, `node_of(key)` the master of a key.
    """

    def __init__(self, *, kind: Kind = "redis", masters: int = 3, replicas: int = 0) -> None:
        self.masters = [_cluster_node(kind) for _ in range(masters)]
        self.replicas = {i: [_cluster_node(kind) for _ in range(replicas)] for i in range(masters)}

    def __enter__(self) -> "ClusterSetup":
        for node in self.nodes:
            node.start()
        bounds = [16384 * i // len(self.masters) for i in range(len(self.masters) + 1)]
        for i, node in enumerate(self.masters):
            node.run("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            node.run("CLUSTER", "ADDSLOTSRANGE", bounds[i], bounds[i + 1] - 1)
        for node in self.nodes[1:]:
            node.run("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, _bus_port(self.nodes[0]))
        self._await(lambda node: b"cluster_known_nodes:%d" % len(self.nodes) in node.run("CLUSTER", "INFO"))
        for i, replicas in self.replicas.items():
            for replica in replicas:
                replica.run("CLUSTER", "REPLICATE", self.id_of(self.masters[i]))
        self._await(lambda node: b"cluster_state:ok" in node.run("CLUSTER", "INFO"))
        wait_until(self._in_step, what="replicas in step, and known to their masters", seconds=90)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            node.stop()

    @property
    def nodes(self) -> list[ConfiguredServer]:
        """All of them, masters first."""
        return [*self.masters, *(replica for some in self.replicas.values() for replica in some)]

    @property
    def url(self) -> str:
        """As in the Redis Secret; the node of a key must be found by asking."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.masters)

    def id_of(self, node: RedisServer) -> str:
        """The node's name in the cluster."""
        return str(node.run("CLUSTER", "MYID").decode())

    def node_of(self, key: str) -> ConfiguredServer:
        """The master that holds a key now."""
        slot = self.masters[0].run("CLUSTER", "KEYSLOT", key)
        for first, last, master, *_ in self.masters[0].run("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == master[1])
        raise RuntimeError(f"nobody holds slot {slot}")

    def begin_move(self, key: str, to: RedisServer) -> None:
        """The slot of a key is on its way to another master: keys that are not there answer ASK."""
        slot, old = self.masters[0].run("CLUSTER", "KEYSLOT", key), self.node_of(key)
        to.run("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(old))
        old.run("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(to))

    def move(self, key: str, to: RedisServer) -> None:
        """The slot of a key goes to another master, with everything in it."""
        slot, old = self.masters[0].run("CLUSTER", "KEYSLOT", key), self.node_of(key)
        self.begin_move(key, to)
        while keys := old.run("CLUSTER", "GETKEYSINSLOT", slot, 100):
            old.run("MIGRATE", "127.0.0.1", to.port, "", 0, 10_000, "KEYS", *keys)
        for node in (to, *(node for node in self.masters if node is not to)):
            node.run("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(to))
        self._await(lambda _: self.node_of(key) is to)

    def _in_step(self) -> bool:
        known = (len(m.run("CLUSTER", "REPLICAS", self.id_of(m))) for m in self.masters)
        followers = (replica for some in self.replicas.values() for replica in some)
        up = all(replica.replication().get("master_link_status") == "up" for replica in followers)
        return up and list(known) == [len(some) for some in self.replicas.values()]

    def _await(self, condition: Callable[[RedisServer], bool]) -> None:
        wait_until(lambda: all(condition(node) for node in self.nodes), what="the cluster", seconds=90)


def _cluster_node(kind: Kind) -> ConfiguredServer:
    config = {
        "cluster-enabled": "yes",
        "cluster-port": str(quiet_port()),
        "cluster-node-timeout": "3000",
        "repl-diskless-sync-delay": "0",
    }
    return ConfiguredServer(kind=kind, config=config)


def _bus_port(node: ConfiguredServer) -> str:
    return node._settings()["cluster-port"]
