"""A listening socket with a thread that takes the connections."""

import contextlib
import socket
import threading
from collections.abc import Callable


class Listener:
    """Listens on a free port and gives each connection to `accepted`, until it is closed.

    What `accepted` needs must be there when this is made: the first connection may come at once.
    """

    def __init__(self, accepted: Callable[[socket.socket], None], *, host: str = "127.0.0.1") -> None:
        self._accepted = accepted
        self._socket = socket.create_server((host, 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections; those that there are go on."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                taken, _ = self._socket.accept()
            except OSError:
                return
            self._accepted(taken)
