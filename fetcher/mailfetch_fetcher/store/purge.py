"""`deletionPolicy: Purge`: everything that Redis holds of a connection goes, its state last.

It may be cut anywhere and begun again: each step removes what is still there. From the first step on the state says
that it is being removed, so that no fetcher goes on from what is left of it.
"""

import secrets
from typing import Any

import redis

from mailfetch_fetcher.contract.keys import BUCKETS, ConnectionKeys
from mailfetch_fetcher.errors import Fenced, Pace, StoreError
from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.lease import TTL
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.locate import locate
from mailfetch_fetcher.store.model import Owner
from mailfetch_fetcher.store.opening import raise_if_held
from mailfetch_fetcher.store.state import aside_pairs
from mailfetch_fetcher.store.sweep import Sweeper
from mailfetch_fetcher.store.target import Target

ENTRIES = 20
"""Queue entries of one look: their bodies pass through the script."""
LINES = 500
"""Log lines or keys of one step."""


def purge(target: Target, keys: ConnectionKeys, *, cluster_id: str, owner: Owner) -> int:
    """Removes all of a connection; other connections of its stream lose nothing.

    Args:
        target: Where Redis is.
        keys: The connection.
        cluster_id: The cluster; the state of another one is refused.
        owner: Whoever purges; a live lease of another pod is refused.

    Returns:
        How many mails were taken from the queue.

    Raises:
        StoreError: it did not come to its end; begin again.
    """
    link = Link(locate(target, key=keys.state))
    try:
        return Purge(link=link, keys=keys, cluster_id=cluster_id, owner=owner).run()
    except redis.ResponseError as e:
        raise refused(error_text(e), doing="removing what belongs to the connection") from None
    finally:
        link.close()


class Purge:
    """One attempt."""

    def __init__(self, *, link: Link, keys: ConnectionKeys, cluster_id: str, owner: Owner) -> None:
        self._link = link
        self._keys = keys
        self._cluster_id = cluster_id
        self._owner = owner

    def run(self) -> int:
        """All steps; returns how many mails were taken from the queue."""
        stream = self._keys.stream
        removed = self._remove_entries(stream.queue, ENTRIES)
        self._remove_entries(stream.log, LINES)
        self._remove_orphans()
        names = owned_keys(self._keys)
        for i in range(0, len(names), LINES):
            self._hold()
            self._link.call("UNLINK", *names[i : i + LINES])
        self._hold()
        shared = [stream.connections, stream.queue, stream.log, stream.marks, stream.blobs, stream.groups]
        self._run(scripts.PURGE_STREAM, shared, [self._keys.name])
        if self._run(scripts.PURGE_END, [self._keys.state, self._keys.lease], [str(self._owner)]) != b"OK":
            raise Fenced("somebody else has taken the mailbox whose keys were being removed")
        return removed

    def _hold(self) -> None:
        """Takes the lease and the state, or keeps them."""
        args = [str(self._owner), self._owner.pod_uid, round(TTL * 1000), self._cluster_id, secrets.token_hex(8)]
        reply = self._run(scripts.PURGE_HOLD, [self._keys.state, self._keys.lease], args)
        raise_if_held(reply, self._keys)
        if reply[0] == b"CLUSTER":
            raise StoreError(
                "InvalidConfiguration",
                f"the state in Redis belongs to another cluster ({reply[1].decode()}, this one is {self._cluster_id}), "
                "so nothing is removed; set spec.deletionPolicy to Retain to let the MailConnection go",
                pace=Pace.CONFIGURATION,
            )

    def _remove_entries(self, stream: str, count: int) -> int:
        """The connection's entries of queue or log, with their marks and blobs."""
        removed, start = 0, "-"
        while start:
            self._hold()
            reply = self._run(scripts.PURGE_LOOK, [stream], [self._keys.name, start, count])
            start, *found = (item.decode() for item in reply)
            if found:
                removed += self._remove(stream, ids=found[::2], blobs=[blob for blob in found[1::2] if blob])
        return removed

    def _remove(self, stream: str, *, ids: list[str], blobs: list[str]) -> int:
        shared, prefix = self._keys.stream, self._keys.stream.blob("")
        names = [stream, shared.marks, shared.blobs, *blobs]
        args = [len(blobs), *(blob.removeprefix(prefix) for blob in blobs), *ids]
        return int(self._run(scripts.PURGE_ENTRIES, names, args))

    def _remove_orphans(self) -> None:
        """Blobs whose entry a consumer deleted, whosever they were."""
        sweeper = Sweeper(self._keys.stream)
        while not sweeper.went_round:
            self._hold()
            sweeper.sweep(self._link)

    def _run(self, script: str, keys: list[str], args: list[Any]) -> Any:
        return self._link.call(*scripts.evaluate(script, keys=keys, args=args))


def owned_keys(keys: ConnectionKeys) -> list[str]:
    """Every key of a connection except its state and lease."""
    owned = [key for key in aside_pairs(keys) if key != keys.state]
    owned += (keys.stats, keys.barrier, keys.token)
    return owned + [name(bucket) for name in (keys.stage, keys.swap) for bucket in range(BUCKETS)]
