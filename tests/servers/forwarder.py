"""What the proxies (proxy.py, tests/chaos/tap.py) have in common: pairs of connections that end together."""

import contextlib
import socket
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from tests.servers.listener import Listener


@dataclass(eq=False, kw_only=True)
class Pair:
    """One proxied connection."""

    client: socket.socket
    server: socket.socket

    def close(self) -> None:
        for sock in (self.client, self.server):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def cut(self) -> None:
        """Closes it from outside."""
        self.close()


AnyPair = TypeVar("AnyPair", bound=Pair)


class Forwarder(ABC, Generic[AnyPair]):
    """Forwards `port` to a server on this machine; `refuse` closes new connections at once."""

    def __init__(self, target: tuple[str, int], *, listen: str = "127.0.0.1") -> None:
        self.refuse = False
        self._target = target
        self._lock = threading.Lock()
        self._pairs: set[AnyPair] = set()
        self._listener = Listener(self._accepted, host=listen)
        self.port = self._listener.port

    @abstractmethod
    def _paired(self, client: socket.socket, server: socket.socket) -> AnyPair:
        """A new pair; an `OSError` ends both connections."""

    @abstractmethod
    def _forward(self, pair: AnyPair, *, upwards: bool) -> None:
        """Passes on what the client (`upwards`) or the server sends, until that ends; may raise `OSError`."""

    def cut(self) -> None:
        """Cuts all connections now."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            pair.cut()

    def close(self) -> None:
        """Ends the proxy."""
        self._listener.close()
        self.cut()

    def _accepted(self, client: socket.socket) -> None:
        if self.refuse:
            client.close()
            return
        server = None
        try:
            server = socket.create_connection(self._target)
            pair = self._paired(client, server)
        except OSError:
            for sock in (client, server):
                if sock:
                    sock.close()
            return
        with self._lock:
            self._pairs.add(pair)
        for upwards in (True, False):
            threading.Thread(target=self._pump, args=(pair, upwards), daemon=True).start()

    def _pump(self, pair: AnyPair, upwards: bool) -> None:
        with contextlib.suppress(OSError):
            self._forward(pair, upwards=upwards)
        with self._lock:
            self._pairs.discard(pair)
        pair.close()
