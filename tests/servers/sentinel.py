"""A real Redis Sentinel set-up: one master, replicas, three Sentinels, on loopback at free ports.

    with SentinelSetup(kind="redis", replicas=2) as setup:
        setup.url                # redis+sentinel://:geheim@127.0.0.1:p1,127.0.0.1:p2,127.0.0.1:p3/mymaster
        setup.master             # the RedisServer that the Sentinels name now; setup.master.client() to look into it
        setup.failover()         # ordered (SENTINEL FAILOVER): returns when everybody agrees and replicas are in step;
                                 # at_once=False: the old master stays writable for ten more seconds, as in real life
        setup.kill_master()      # SIGKILL, then as above; returns the dead node: `start()` and `heal()` it
        setup.isolate_master()   # the partition that loses mails: clients still reach the old master and it takes
                                 # writes, while Sentinels and replicas do not, and promote another; returns the old one
        setup.heal(old)          # ends it: Sentinels make the old one a replica, which throws away what it took alone
        setup.master.freeze()    # SIGSTOP, like a host that hangs (then `await_master_other_than`, `thaw`)

Nothing is lost by the set-up's own fault: `start`, `failover` and `heal` return only when each replica that is
reachable reports `master_link_status:up`. Servers die with the test process. About 2 s to start, 3–6 s to fail over.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import redis as redis_py

from tests.servers.redis import ConfiguredServer, Kind, RedisServer, wait_until

NAME = "mymaster"
PEER, PEER_PASSWORD = "peer", "between-servers"
"""The user with which Sentinels and replicas log in at the servers: an isolation takes it away."""
DOWN_AFTER_MS = 1500


class SentinelSetup:
    """Use as a context manager."""

    def __init__(
        self,
        *,
        kind: Kind = "redis",
        replicas: int = 2,
        sentinels: int = 3,
        appendfsync: Literal["always", "everysec", "no"] = "everysec",
        password: str = "geheim",
        sentinel_password: str = "",
        tls: tuple[Path, Path, Path] | None = None,
        config: Mapping[str, str] | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            kind: Which server.
            replicas: Besides the master.
            sentinels: Their quorum is the majority.
            appendfsync: See `RedisServer`.
            password: Of the default user of the servers; without one an isolation has no effect.
            sentinel_password: Of the default user of the Sentinels.
            tls: Certificate, key and authority; then only TLS is spoken, by the Sentinels too (redis only).
            config: More settings of the servers.
        """
        self._tls = tls
        self._password = password
        self._sentinel_password = sentinel_password
        common: dict[str, Any] = {"kind": kind, "tls": tls[:2] if tls else None}
        tls_config = {"tls-ca-cert-file": str(tls[2]), "tls-replication": "yes"} if tls else {}
        settings = {
            "repl-diskless-sync-delay": "0",
            "repl-timeout": "10",
            "masteruser": PEER,
            "masterauth": PEER_PASSWORD,
            **tls_config,
            **(config or {}),
        }
        lines = (f"user {PEER} on >{PEER_PASSWORD} ~* &* +@all",)
        self.nodes: list[ConfiguredServer] = []
        for i in range(replicas + 1):
            replica = (f"replicaof 127.0.0.1 {self.nodes[0].port}",) if i else ()
            node = ConfiguredServer(
                appendfsync=appendfsync, password=password, config=settings, lines=lines + replica, **common
            )
            self.nodes.append(node)
        watched = (
            f"sentinel monitor {NAME} 127.0.0.1 {self.nodes[0].port} {sentinels // 2 + 1}",
            f"sentinel auth-user {NAME} {PEER}",
            f"sentinel auth-pass {NAME} {PEER_PASSWORD}",
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {NAME} 5000",
            f"sentinel parallel-syncs {NAME} 5",
            *((f"sentinel sentinel-pass {sentinel_password}",) if sentinel_password else ()),
        )
        self.sentinels = [
            ConfiguredServer(mode="--sentinel", password=sentinel_password, lines=watched, config=tls_config, **common)
            for _ in range(sentinels)
        ]

    def __enter__(self) -> "SentinelSetup":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- life ------------------------------------------------------------------------------

    def start(self) -> "SentinelSetup":
        """Starts everything; returns when replicas are in step and the Sentinels know each other and all replicas."""
        for server in (*self.nodes, *self.sentinels):
            server.start()
        self.await_in_step()
        return self

    def stop(self) -> None:
        """Ends everything and removes the data."""
        for server in (*self.sentinels, *self.nodes):
            server.stop()

    # -- use -------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """As in the Redis Secret."""
        login = f":{self._password}@" if self._password else ""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        options = f"?sentinel_password={self._sentinel_password}" if self._sentinel_password else ""
        return f"{'rediss' if self._tls else 'redis'}+sentinel://{login}{hosts}/{NAME}{options}"

    @property
    def master(self) -> ConfiguredServer:
        """The node that most Sentinels name."""
        votes = Counter(self._named(sentinel) for sentinel in self.sentinels)
        votes.pop(0, None)
        if not votes:
            raise RuntimeError("no Sentinel answers")
        return next(node for node in self.nodes if node.port == votes.most_common(1)[0][0])

    @property
    def replicas(self) -> list[ConfiguredServer]:
        """All nodes but the master, also dead ones."""
        master = self.master
        return [node for node in self.nodes if node is not master]

    # -- faults ----------------------------------------------------------------------------

    def failover(self, *, at_once: bool = True) -> ConfiguredServer:
        """An ordered failover; returns the old master.

        Args:
            at_once: The old master becomes a replica before this returns. Otherwise Sentinel lets it be a writable
                master for some ten seconds more, as it does in real life.
        """
        old = self.master
        self._order_failover()
        self.await_master_other_than(old)
        if at_once:
            self._demote(old)
        self.await_in_step(but=None if at_once else old)
        return old

    def kill_master(self) -> ConfiguredServer:
        """SIGKILL for the master; returns it when another one is the master."""
        old = self.master
        old.kill()
        self.await_master_other_than(old)
        self.await_in_step(but=old)
        return old

    def isolate_master(self) -> ConfiguredServer:
        """Cuts the master off from Sentinels and replicas, not from clients; returns it when another one is master."""
        old = self.master
        old.run("ACL", "SETUSER", PEER, "off")
        old.run("CLIENT", "KILL", "USER", PEER)
        self.await_master_other_than(old)
        self.await_in_step(but=old)
        return old

    def heal(self, old: ConfiguredServer) -> None:
        """Ends an isolation or a freeze (after a death: `start` first); returns when the old master is a replica."""
        old.thaw()
        old.run("ACL", "SETUSER", PEER, "on")
        self._demote(old)
        self.await_in_step()

    def _demote(self, old: RedisServer) -> None:
        """What Sentinel does itself after some ten seconds."""
        old.run("REPLICAOF", "127.0.0.1", self.master.port)

    # -- waiting ---------------------------------------------------------------------------

    def await_master_other_than(self, old: RedisServer) -> None:
        """All Sentinels name the same master, not this one, and it says that it is the master."""

        def done() -> bool:
            named = {self._named(sentinel) for sentinel in self.sentinels}
            return len(named) == 1 and not named & {0, old.port} and _role(self.master) == "master"

        wait_until(done, what="a new master", seconds=90, log=self.sentinels[0].data / "server.log")

    def await_in_step(self, *, but: RedisServer | None = None) -> None:
        """Each replica (but one that is dead or cut off) follows the master, and the Sentinels know all of them."""
        wait_until(
            lambda: self._in_step(but), what="replicas in step", seconds=90, log=self.sentinels[0].data / "server.log"
        )

    def _in_step(self, but: RedisServer | None) -> bool:
        master = self.master
        if _role(master) != "master" or {self._named(sentinel) for sentinel in self.sentinels} != {master.port}:
            return False
        for node in self.nodes:
            if node in (master, but):
                continue
            info = node.replication()
            up = info.get("role") == "slave" and info.get("master_link_status") == "up"
            if not up or info.get("master_port") != str(master.port):
                return False
        return all(self._knows_all(sentinel) for sentinel in self.sentinels)

    def _knows_all(self, sentinel: RedisServer) -> bool:
        flat = [item.decode() for item in sentinel.run("SENTINEL", "MASTER", NAME)]
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        others = int(fields["num-other-sentinels"]) == len(self.sentinels) - 1
        quiet = "failover_in_progress" not in fields["flags"]
        return others and quiet and int(fields["num-slaves"]) == len(self.nodes) - 1

    def _named(self, sentinel: RedisServer) -> int:
        """Port of the master that this Sentinel names; 0 if it does not answer."""
        try:
            named = sentinel.run("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
            return int(named[1]) if named else 0
        except (redis_py.RedisError, OSError):
            return 0

    def _order_failover(self) -> None:
        def ordered() -> bool:
            try:
                self.sentinels[0].run("SENTINEL", "FAILOVER", NAME)
            except redis_py.ResponseError:  # NOGOODSLAVE or INPROG: not yet
                return False
            return True

        wait_until(ordered, what="a failover that Sentinel accepts")


def _role(node: RedisServer) -> str:
    return node.replication().get("role", "")
