"""The Redis of a case: what the fetcher is told, what stands in between, and what was on disk when."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from tests.chaos.durability import AOF, Disk
from tests.chaos.framing import Resp
from tests.chaos.tap import Tap
from tests.chaos.trap import Trap
from tests.servers.redis import RedisServer

Kind = Literal["valkey9", "redis7", "sentinel"]
KINDS: tuple[Kind, ...] = ("valkey9", "redis7", "sentinel")


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
        valkey = kind == "valkey9"
        self.server = RedisServer(
            kind="valkey" if valkey else "redis", appendfsync="everysec" if valkey else "always", config=AOF
        )
        self.disk = Disk(self.server, self.directory)

    def start(self) -> "Standalone":
        self.server.start()
        self.disk.begin()
        return self

    def stop(self) -> None:
        self.server.stop()
        self.disk.end()

    def client(self) -> Any:
        """Past the proxies."""
        return self.server.client()

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
        self.server.kill()
        self.disk.end()
        self.server.start()
        self.disk.begin()

    def while_down(self, change: Callable[[Path], None]) -> None:
        """Ends it in good order, changes its files, starts it; what was on disk when is not known any more."""
        self.server.kill()
        self.disk.end()
        change(self.server.data)
        self.server.start()
        self.disk.begin()
