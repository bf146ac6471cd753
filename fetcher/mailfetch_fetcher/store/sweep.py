"""Blobs whose entry is gone: a consumer deleted the entry, or a crash came between entry and blob (hazard 31)."""

from typing import Any

from mailfetch_fetcher.contract.keys import StreamKeys
from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.link import Link

COUNT = 200
"""Blobs of one call, more or less (HSCAN)."""


class Sweeper:
    """Goes round the blobs that commits have taken over, some at each call. Blobs without an entry yet have a TTL.

    Attributes:
        went_round: The last call came to the end of them.
    """

    def __init__(self, keys: StreamKeys) -> None:
        self.went_round = False
        self._keys = keys
        self._cursor = 0

    def sweep(self, link: Link) -> int:
        """Removes what is orphaned among the next blobs; returns how many.

        Raises:
            redis.ResponseError: Redis refuses.
            StoreError: the link failed.
        """
        keys = self._keys
        cursor, flat = link.call("HSCAN", keys.blobs, self._cursor, "COUNT", COUNT)
        self._cursor = int(cursor)
        self.went_round = self._cursor == 0
        if not flat:
            return 0
        names = [keys.queue, keys.blobs, *(keys.blob(blob.decode()) for blob in flat[::2])]
        args: list[Any] = list(flat)
        return int(link.call(*scripts.evaluate(scripts.SWEEP, keys=names, args=args)))
