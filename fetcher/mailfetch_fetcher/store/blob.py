"""A large body on its way into Redis: parts appended to a string with a TTL, which the commit takes away.

Its id is new for each attempt, and after each part its length must be what was written so far. After any doubt the blob
is abandoned (its TTL removes it at the latest) and the mail is downloaded again under a new id.
"""

import contextlib
import secrets
from collections.abc import Callable
from typing import Any

import redis

from mailfetch_fetcher.contract.keys import StreamKeys
from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.model import Blob

TTL_MS = 600_000
"""Time from a part to the next one, and from the last to the commit."""


class BlobWriter:
    """One attempt; use from one thread, while nothing else uses the link."""

    def __init__(self, link: Link, *, stream: StreamKeys, make_room: Callable[[], bool]) -> None:
        """Writes nothing yet.

        Args:
            link: Link A.
            stream: The stream whose blob it is.
            make_room: Trims when memory is full; True if something went.
        """
        self._link = link
        self._make_room = make_room
        self._id = secrets.token_hex(16)
        self.key = stream.blob(self._id)
        self._size = 0

    def append(self, part: bytes) -> None:
        """Writes the next part.

        Raises:
            StoreError: the blob is abandoned.
        """
        if not part:
            return
        command = scripts.evaluate(scripts.APPEND, keys=[self.key], args=[part, TTL_MS])
        length = self._send(command, size=self._size + len(part))
        self._size += len(part)
        if length != self._size:
            self.discard()
            raise StoreError(
                "StoreUnavailable",
                f"a large mail of which {self._size} bytes were written has {length} bytes in Redis (a failover, "
                "or the mail took too long); it is downloaded again",
            )

    def _send(self, command: list[Any], *, size: int) -> int:
        room_made = False
        while True:
            try:
                return int(self._link.call(*command))
            except redis.ResponseError as e:
                error = refused(error_text(e), doing="a part of a large mail", size=size)
            if error.reason != "QueueFull" or room_made or not self._make_room():
                self.discard()
                raise error
            room_made = True

    def finish(self) -> Blob:
        """The whole body is written."""
        return Blob(blob_id=self._id, size=self._size)

    def discard(self) -> None:
        """Removes what was written, if Redis can be reached; otherwise its TTL does."""
        discard_blobs(self._link, [self.key])


def discard_blobs(link: Link, keys: list[str]) -> None:
    """Removes those that no commit has taken over, also if it is not known whether one has. Never raises."""
    if keys and not link.dead:
        with contextlib.suppress(StoreError, redis.ResponseError):
            link.call(*scripts.evaluate(scripts.DISCARD, keys=keys, args=[]))
