"""A TCP proxy that breaks connections at the byte where a test wants it."""

import socket
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from tests.servers.forwarder import Forwarder, Pair

Direction = Literal["to_server", "to_client"]


@dataclass(eq=False, kw_only=True)
class _Pair(Pair):
    tail: bytes = b""
    swallow: bool = False


class FaultProxy(Forwarder[_Pair]):
    """Forwards `port` to a server on this machine; the faults below happen once and then are over.

    Attributes:
        port: Where clients connect.
        passed: Bytes that passed in each direction.
        faults: Faults that happened.
        delay: Seconds that each piece of data waits.
        refuse: New connections are closed at once.
    """

    def __init__(self, target_port: int, *, host: str = "127.0.0.1", listen: str = "127.0.0.1") -> None:
        self._cut: dict[Direction, int] = {}
        self._pattern = b""
        self._open = threading.Event()
        self._open.set()
        self.passed: dict[Direction, int] = {"to_server": 0, "to_client": 0}
        self.faults = 0
        self.delay = 0.0
        super().__init__((host, target_port), listen=listen)

    def __enter__(self) -> "FaultProxy":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- faults ----------------------------------------------------------------------------

    def cut_after(self, count: int, direction: Direction) -> None:
        """Lets exactly so many more bytes pass in that direction, then cuts the connection that sent them."""
        with self._lock:
            self._cut[direction] = count

    def lose_reply_to(self, pattern: bytes) -> None:
        """The next request with these bytes reaches the server whole; its answer is lost and the connection cut."""
        with self._lock:
            self._pattern = pattern

    def call_off(self) -> None:
        """Cuts and lost replies that did not come until now do not come any more."""
        with self._lock:
            self._cut.clear()
            self._pattern = b""

    def freeze(self) -> None:
        """Nothing passes any more, but nothing is closed either; `thaw` lets it pass."""
        self._open.clear()

    def thaw(self) -> None:
        """Ends a freeze."""
        self._open.set()

    def close(self) -> None:
        """Ends the proxy, and a freeze."""
        self.thaw()
        super().close()

    # -- inside ----------------------------------------------------------------------------

    def _paired(self, client: socket.socket, server: socket.socket) -> _Pair:
        return _Pair(client=client, server=server)

    def _forward(self, pair: _Pair, *, upwards: bool) -> None:
        source, sink = (pair.client, pair.server) if upwards else (pair.server, pair.client)
        while data := source.recv(65536):
            self._open.wait()
            if self.delay:
                time.sleep(self.delay)
            data, cut = self._admit(pair, data, "to_server" if upwards else "to_client")
            sink.sendall(data)
            if cut:
                return

    def _admit(self, pair: _Pair, data: bytes, direction: Direction) -> tuple[bytes, bool]:
        """What may pass, and whether the connection ends then."""
        with self._lock:
            if direction == "to_client" and pair.swallow:
                self.faults += 1
                return b"", True
            left = self._cut.get(direction)
            cut = left is not None and len(data) >= left
            if left is not None and cut:
                data = data[:left]
                del self._cut[direction]
                self.faults += 1
            elif left is not None:
                self._cut[direction] = left - len(data)
            if direction == "to_server" and self._pattern:
                if self._pattern in pair.tail + data:
                    pair.swallow, self._pattern = True, b""
                pair.tail = (pair.tail + data)[-len(self._pattern) - 64 :]
            self.passed[direction] += len(data)
            return data, cut
