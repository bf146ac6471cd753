"""Retention of the queue: what every named group acknowledged goes; entries first, their blobs afterwards."""

import re
from bisect import bisect_right
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
from mailfetch_fetcher.store.outbox import parse_entry, queue_entry

COUNT = 20
"""Entries of one look: their bodies pass through the script."""
LOOKS = 500
"""Looks of one call, besides those that pass marked entries over; what is left waits for the next."""
MARKS = 1000
"""Marked entries that one look passes over."""
MEMBERS = 500
"""Actions of one look at an outbox."""
LOG_LINES = 1_000_000
"""Most lines of the log, more or less."""
_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
_NO_ID = (1 << 64) - 1


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
    marked = _read_marked(link, keys)
    removed, start, count, holder = 0, "-", 1, ""  # mostly the first entry says that there is nothing to do
    looks = LOOKS + len(marked.entries) // MARKS
    for _ in range(looks):
        reply = _look(link, keys, [owner, *bounds, max(forced - removed, 0), start, count], marked)
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
    return Trimmed(removed=removed, why=_why(holder, marked))


def _why(holder: str, marked: "_Marked") -> str:
    if not holder:
        return ""
    text = f"the oldest entries still wait for {holder}"
    if marked.entries and not holder.startswith("people"):
        text += ", and what consumers marked waits for people (kubectl mailfetch queue)"
    return text


@dataclass(frozen=True, kw_only=True)
class _Marked:
    """The marked entries at the beginning of a call, oldest first, and from which score on each outbox is about others.

    For the whole call they are left alone, so it does not matter whether a mark goes meanwhile.
    """

    entries: list[tuple[int, int]]
    scores: dict[str, str]

    def stops(self, start: str) -> list[str]:
        """Where the looks from a start on stop: at so many marked entries, or at the end."""
        first = 0 if start == "-" else bisect_right(self.entries, parse_entry(start.removeprefix("(")))
        some = [f"({ms}-{number}" for ms, number in self.entries[first : first + MARKS]]
        return some if first + MARKS < len(self.entries) else [*some, "+"]


def _read_marked(link: Link, keys: ConnectionKeys) -> _Marked:
    stream = keys.stream
    marks = set(link.call("HKEYS", stream.marks))
    words = (mark.decode(errors="replace") for mark in marks)
    entries = sorted(parse_entry(word) for word in words if _is_id(word))
    if not entries:
        return _Marked(entries=[], scores={})
    names = [name.decode() for name in link.call("HKEYS", stream.connections)]
    scores = {name: _first_needed(link, stream.connection(name).outbox, marks) for name in names}
    return _Marked(entries=entries, scores=scores)


def _is_id(word: str) -> bool:
    """An id that Redis takes as the start or the end of a range that leaves it out."""
    if not _ID.fullmatch(word):
        return False
    milliseconds, number = parse_entry(word)
    return max(milliseconds, number) < _NO_ID and milliseconds + number > 0


def _first_needed(link: Link, outbox: str, marks: set[bytes]) -> str:
    """Score of the first action whose entry is not marked, or of the last one. New ones enter behind it."""
    score = "-inf"
    while True:
        found = link.call("ZRANGE", outbox, score, "+inf", "BYSCORE", "LIMIT", 0, MEMBERS, "WITHSCORES")
        for member, raw in zip(found[::2], found[1::2], strict=True):
            last: str = raw.decode()
            if queue_entry(member.decode(errors="replace")).encode() not in marks:
                return last
        if len(found) < 2 * MEMBERS:
            return last if found else score.removeprefix("(")
        score = f"({last}"


def _look(link: Link, keys: ConnectionKeys, args: list[Any], marked: _Marked) -> list[bytes]:
    """One run of the script, over the outboxes of all connections that are registered now."""
    stream = keys.stream
    names = sorted(name.decode() for name in link.call("HKEYS", stream.connections))
    outboxes = [stream.connection(name).outbox for name in names]
    scores = [marked.scores.get(name, "-inf") for name in names]
    script_keys = [keys.state, stream.queue, stream.log, stream.connections, stream.marks, *outboxes]
    args = [*args, len(names), *names, *scores, *marked.stops(args[-2])]
    reply: list[bytes] = link.call(*scripts.evaluate(scripts.TRIM, keys=script_keys, args=args))
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
