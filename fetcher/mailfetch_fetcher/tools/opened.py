"""A stream that a tool looks at: its keys, and a link that is made on first use."""

from collections.abc import Iterator
from typing import Any

import redis

from mailfetch_fetcher.contract.keys import StreamKeys
from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.locate import locate
from mailfetch_fetcher.store.target import Target

LINES = 500
"""Log lines of one look."""
ENTRIES = 50
"""Queue entries of one look: their bodies, of at most 64 KiB each, pass through a script."""

Fields = dict[str, str]


class Opened:
    """A stream; use from one thread.

    Attributes:
        keys: Its keys.
    """

    def __init__(self, target: Target, keys: StreamKeys) -> None:
        """Connects to nothing yet."""
        self.keys = keys
        self._target = target
        self._link: Link | None = None

    @property
    def link(self) -> Link:
        """The link; a new one after a failure, so that what may be sent twice can be sent again.

        Raises:
            StoreError: Redis cannot be reached.
        """
        if self._link is None or self._link.dead:
            self._link = Link(locate(self._target, key=self.keys.queue))
        return self._link

    @property
    def lost(self) -> bool:
        """The link failed: the last command may or may not have been carried out."""
        return self._link is not None and self._link.dead

    def call(self, *command: Any) -> Any:
        """The reply to one command.

        Raises:
            StoreError: Redis refuses, or the link failed.
        """
        try:
            return self.link.call(*command)
        except redis.ResponseError as e:
            raise refused(error_text(e), doing=f"a look at stream {self.keys.stream}") from None

    def run(self, script: str, *, keys: list[str], args: list[Any]) -> Any:
        """The reply to a script; as `call`."""
        return self.call(*scripts.evaluate(script, keys=keys, args=args))

    def connections(self) -> dict[str, bytes]:
        """The stream's connections, with the JSON list of their named consumer groups."""
        flat = self.call("HGETALL", self.keys.connections)
        return {text(name): groups for name, groups in zip(flat[::2], flat[1::2], strict=True)}

    def pick(self, stream: str, *, start: str, values: list[tuple[str, str]]) -> Iterator[tuple[str, Fields]]:
        """Entries of queue or log, oldest first, in which a field has one of these values; without bodies.

        Args:
            stream: The key.
            start: Id of the first entry that is looked at, or `-`.
            values: Pairs of field and value; one of them has to match.
        """
        count = ENTRIES if stream == self.keys.queue else LINES
        flat = [item for pair in values for item in pair]
        following = start
        while following:
            head, *found = self.run(scripts.PICK, keys=[stream], args=[following, count, *flat])
            following = text(head)
            for entry, fields in found:
                yield text(entry), fields_of(fields)

    def close(self) -> None:
        """Closes the link. Never raises."""
        if self._link:
            self._link.close()


def text(raw: bytes) -> str:
    """What Redis holds as text: most of it came from strangers."""
    return raw.decode(errors="replace")


def fields_of(flat: list[bytes]) -> Fields:
    """Fields from a flat list of names and values."""
    return {text(name): text(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}
