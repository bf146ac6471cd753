"""A TCP proxy that breaks connections at the byte where a test wants it."""

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Literal

Direction = Literal["to_server", "to_client"]


class _Pair:
    """One proxied connection."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.tail = b""
        self.swallow = False

    def close(self) -> None:
        for sock in (self.client, self.server):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


class FaultProxy:
    """Forwards `port` to a server on this machine; the faults below happen once and then are over.

    Attributes:
        port: Where clients connect.
        passed: Bytes that passed in each direction.
        faults: Faults that happened.
        delay: Seconds that each piece of data waits.
        refuse: New connections are closed at once.
    """

    def __init__(self, target_port: int, *, host: str = "127.0.0.1", listen: str = "127.0.0.1") -> None:
        self._target = (host, target_port)
        self._lock = threading.Lock()
        self._pairs: set[_Pair] = set()
        self._cut: dict[Direction, int] = {}
        self._pattern = b""
        self._open = threading.Event()
        self._open.set()
        self._listener = socket.create_server((listen, 0))
        self.port = int(self._listener.getsockname()[1])
        self.passed: dict[Direction, int] = {"to_server": 0, "to_client": 0}
        self.faults = 0
        self.delay = 0.0
        self.refuse = False
        threading.Thread(target=self._accept, daemon=True).start()

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

    def cut(self) -> None:
        """Cuts all connections now."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            pair.close()

    def freeze(self) -> None:
        """Nothing passes any more, but nothing is closed either; `thaw` lets it pass."""
        self._open.clear()

    def thaw(self) -> None:
        """Ends a freeze."""
        self._open.set()

    def close(self) -> None:
        """Ends the proxy."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.thaw()
        self.cut()

    # -- inside ----------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuse:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            pair = _Pair(client, server)
            with self._lock:
                self._pairs.add(pair)
            threading.Thread(target=self._pump, args=(pair, client, server, "to_server"), daemon=True).start()
            threading.Thread(target=self._pump, args=(pair, server, client, "to_client"), daemon=True).start()

    def _pump(self, pair: _Pair, source: socket.socket, sink: socket.socket, direction: Direction) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._open.wait()
                if self.delay:
                    time.sleep(self.delay)
                data, cut = self._admit(pair, data, direction)
                sink.sendall(data)
                if cut:
                    break
        with self._lock:
            self._pairs.discard(pair)
        pair.close()

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
