"""Retention of the queue: what every named group acknowledged goes; entries first, their blobs afterwards."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis

from mailfetch_fetcher.clock import rfc3339
from mailfetch_fetcher.contract.keys import ConnectionKeys
from mailfetch_fetcher.errors import Fenced
from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.model import QueuePolicy

COUNT = 20
"""Entries of one look: their bodies pass through the script."""
LOOKS = 500
"""Looks of one call; what is left waits for the next."""
LOG_LINES = 1_000_000
"""Most lines of the log, more or less."""


@dataclass(frozen=True, kw_only=True)
class Trimmed:
    """What was removed, and what keeps the rest (for messages)."""

    removed: int
    why: str = ""


def trim_queue(link: Link, *, keys: ConnectionKeys, owner: str, policy: QueuePolicy, forced: int = 0) -> Trimmed:
    """Removes acknowledged entries older than the retention.

    Args:
        link: Any link.
        keys: The connection in whose name it happens.
        owner: Its owner; another one may not trim.
        policy: Its policy. The named groups of all connections stand in Redis.
        forced: So many go whatever their age (only acknowledged ones even so).

    Raises:
        Fenced: another owner.
        StoreError: Redis refuses.
    """
    try:
        return _trim(link, keys, owner, _bounds(policy, read_time(link.call("TIME"))), forced)
    except redis.ResponseError as e:
        raise refused(error_text(e), doing="trimming the queue") from None


def _bounds(policy: QueuePolicy, now: int) -> list[Any]:
    """What is old, for all looks of one call: what grows old while they last waits for the next one."""
    old = now - policy.queue_seconds * 1000
    return [old, rfc3339(datetime.fromtimestamp(old / 1000, UTC)), now - policy.log_seconds * 1000, LOG_LINES]


def _trim(link: Link, keys: ConnectionKeys, owner: str, bounds: list[Any], forced: int) -> Trimmed:
    removed, start, count, holder = 0, "-", 1, ""  # mostly the first entry says that there is nothing to do
    for _ in range(LOOKS):
        reply = _look(link, keys, [owner, *bounds, max(forced - removed, 0), start, count])
        kind, *rest = (item.decode() for item in reply)
        if kind == "FENCED":
            raise Fenced("another fetcher has taken over the mailbox")
        if kind == "CHANGED":
            continue  # a connection joined the stream meanwhile
        if kind == "NOGROUP":
            return Trimmed(removed=0, why="nothing is ever removed, as spec.queue.consumerGroups names no group")
        if kind == "MISSING":
            return Trimmed(removed=0, why=f"nothing is removed, as consumer group {rest[0]} does not exist")
        start, holder, gone = rest[0], rest[1], rest[2:]
        _remove_blobs(link, keys, [blob for blob in gone[1::2] if blob])
        removed += len(gone) // 2
        count = COUNT
        if not start:
            break
    return Trimmed(removed=removed, why=f"the oldest entries still wait for {holder}" if holder else "")


def _look(link: Link, keys: ConnectionKeys, args: list[Any]) -> list[bytes]:
    """One run of the script, over the outboxes of all connections that are registered now."""
    stream = keys.stream
    names = sorted(name.decode() for name in link.call("HKEYS", stream.connections))
    outboxes = [stream.connection(name).outbox for name in names]
    script_keys = [keys.state, stream.queue, stream.log, stream.connections, stream.marks, *outboxes]
    reply: list[bytes] = link.call(*scripts.evaluate(scripts.TRIM, keys=script_keys, args=[*args, *names]))
    return reply


def read_time(reply: list[bytes]) -> int:
    """Milliseconds since 1970 from the reply to TIME."""
    return int(reply[0]) * 1000 + int(reply[1]) // 1000


def _remove_blobs(link: Link, keys: ConnectionKeys, blobs: list[str]) -> None:
    """After the entries: an entry never names a blob that is gone. What a crash leaves here, `blobs` still lists."""
    if not blobs:
        return
    prefix = keys.stream.blob("")
    link.pipeline(("UNLINK", *blobs), ("HDEL", keys.stream.blobs, *(blob.removeprefix(prefix) for blob in blobs)))
