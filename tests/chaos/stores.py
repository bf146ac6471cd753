"""The Redis of a case: what the fetcher is told, what stands in between, and what was on disk when."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, Protocol

from tests.chaos import clocks
from tests.chaos.durability import AOF, Disk
from tests.chaos.framing import Resp
from tests.chaos.tap import Tap
from tests.chaos.trap import Trap
from tests.servers.redis import RedisServer
from tests.servers.sentinel import SentinelSetup

Kind = Literal["valkey9", "redis7", "sentinel", "clocked"]
"""`clocked` is a Valkey 9 whose clock can be made to jump."""
KINDS: tuple[Kind, ...] = ("valkey9", "redis7", "sentinel")
PROBE = "chaos:probe"
"""A key that shows that the record of a disk has begun."""


class Store(Protocol):
    """What a case needs of its Redis.

    Attributes:
        kind: Which.
        used: Cases that ran on it.
        directory: For what it is recorded in.
    """

    kind: Kind
    used: int
    directory: Path

    def stop(self) -> None:
        """Ends it and removes its data."""
        ...

    def client(self) -> Any:
        """Of the server that has the keys now, past the proxies."""
        ...

    def taps(self, trap: Trap) -> tuple[list[Tap], str]:
        """The proxies of one case and the URL that leads through them."""
        ...

    def durable(self, stream: str) -> dict[str, float]:
        """See `Disk.durable`."""
        ...


class Standalone:
    """One server, recorded. Valkey 9 answers WAITAOF; Redis 7.0 writes through (`appendfsync always`).

    Attributes:
        kind: Which.
        used: Cases that ran on it.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind
        self.used = 0
        self.directory = Path(tempfile.mkdtemp(prefix="chaos-store-"))
        valkey = kind != "redis7"
        self.server = RedisServer(
            kind="valkey" if valkey else "redis", appendfsync="everysec" if valkey else "always", config=AOF
        )
        self.disk = Disk(self.server, self.directory, write=lambda: self.client().set(PROBE, self.used))
        self._client: Any = None

    def start(self) -> "Standalone":
        with self._clock():
            self.server.start()
        self._client = self.server.client()
        self.disk.begin()
        return self

    def stop(self) -> None:
        self.server.stop()
        self.disk.end()
        shutil.rmtree(self.directory)

    def client(self) -> Any:
        """Past the proxies."""
        return self._client

    def taps(self, trap: Trap) -> tuple[list[Tap], str]:
        """The proxies of one case and the URL that leads through them."""
        tap = Tap(self.server.port, via="redis", framing=Resp, trap=trap)
        return [tap], f"redis://127.0.0.1:{tap.port}/0"

    def durable(self, stream: str) -> dict[str, float]:
        """See `Disk.durable`."""
        return self.disk.durable(stream)

    # -- what may happen to it --------------------------------------------------------------

    def kill(self) -> None:
        """kill -9 and a new process with the same data."""
        self.while_down(lambda _: None)

    def while_down(self, change: Callable[[Path], None]) -> None:
        """kill -9, then its files are changed, then a new process starts."""
        self.server.kill()
        self.disk.end()
        change(self.server.data)
        with self._clock():
            self.server.start()
        self.disk.begin()

    def _clock(self) -> AbstractContextManager[None]:
        return clocks.following(self.directory / "clock") if self.kind == "clocked" else nullcontext()


class Watched:
    """One master and one replica, both Redis 7.0 with `appendfsync always`, and three Sentinels.

    The Sentinels tell addresses of servers; on the way to the fetcher they are replaced by those of the proxies.
    """

    def __init__(self) -> None:
        self.kind: Kind = "sentinel"
        self.used = 0
        self.directory = Path(tempfile.mkdtemp(prefix="chaos-store-"))
        self.setup = SentinelSetup(kind="redis", replicas=1, appendfsync="always", config=AOF)
        self.disks = [
            Disk(node, self.directory, write=lambda: self.client().set(PROBE, self.used)) for node in self.setup.nodes
        ]
        self._clients: dict[int, Any] = {}

    def start(self) -> "Watched":
        self.setup.start()
        for disk in self.disks:
            disk.begin()
        return self

    def stop(self) -> None:
        self.setup.stop()
        for disk in self.disks:
            disk.end()
        shutil.rmtree(self.directory)

    def client(self) -> Any:
        """Of the master."""
        master = self.setup.master
        if master.port not in self._clients:
            self._clients[master.port] = master.client()
        return self._clients[master.port]

    def taps(self, trap: Trap) -> tuple[list[Tap], str]:
        """One proxy for each node and each Sentinel."""
        nodes = [Tap(node.port, via="redis", framing=Resp, trap=trap) for node in self.setup.nodes]
        names = {_bulk(node.target): _bulk(node.port) for node in nodes}
        told = [
            Tap(sentinel.port, via="sentinel", framing=lambda: Resp(lambda reply: _replaced(reply, names)), trap=trap)
            for sentinel in self.setup.sentinels
        ]
        url = self.setup.url
        for tap in told:
            url = url.replace(f":{tap.target}", f":{tap.port}")
        return [*nodes, *told], url

    def durable(self, stream: str) -> dict[str, float]:
        """From when on it was on the disk of both (of one, if the other took it over as a whole later)."""
        found: dict[str, float] = {}
        for disk in self.disks:
            for sha, at in disk.durable(stream).items():
                found[sha] = max(at, found.get(sha, 0.0))
        return found


def start(kind: Kind) -> "Standalone | Watched":
    """A store of this kind."""
    return Watched().start() if kind == "sentinel" else Standalone(kind).start()


def _bulk(port: int) -> bytes:
    return f"${len(str(port))}\r\n{port}\r\n".encode()


def _replaced(reply: bytes, names: Mapping[bytes, bytes]) -> bytes:
    for real, shown in names.items():
        reply = reply.replace(real, shown)
    return reply
