"""A consumer that keeps what it reads and acknowledges it, so that entries may be trimmed while a case runs."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import redis

from tests.servers import checker

GROUP = "readers"


class Consumer:
    """Reads from its start to `close`."""

    def __init__(self, client: Callable[[], Any], queue: str) -> None:
        self._client = client
        self._queue = queue
        self._kept: dict[str, checker.Entry] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def entries(self) -> list[checker.Entry]:
        """Everything that it read."""
        return [self._kept[key] for key in list(self._kept)]

    def close(self) -> None:
        """Stops reading."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            with contextlib.suppress(redis.RedisError, RuntimeError):  # the group is not there yet, or no Redis
                self._read()
            self._end.wait(0.02)

    def _read(self) -> None:
        client = self._client()
        for _, page in client.xreadgroup(GROUP, "one", {self._queue: ">"}, count=3) or ():
            for key, fields in page:
                entry = checker.read_entry(client, key.decode(), fields)
                self._kept[entry.entry] = entry
                client.xack(self._queue, GROUP, key)
