"""The durability barrier: everything that was read on a link before it is on the disk of Redis after it.

WAITAOF, and an fsync that was observed, speak of earlier writes; asked on a connection that wrote nothing they say yes
to everything. So the barrier makes a write of its own first, on the same link on which the outbox was read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.safety import SAMPLE, Safety, Sample, judge, read_sample, take_sample

WAITAOF = (7, 2)
"""First version with WAITAOF."""
WAIT_MS = 5000
"""Longest that WAITAOF may take; less than a link's timeout."""
OBSERVE_SECONDS = 2.1
"""Without WAITAOF: `everysec` starts an fsync each second, so one began and ended between two quiet samples."""
OBSERVATIONS = 5


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a barrier found.

    Attributes:
        durable: What was read before is on disk.
        owned: The lease was still ours.
        safety: The verdict on the settings.
    """

    durable: bool
    owned: bool
    safety: Safety


def run_barrier(link: Link, *, write: Sequence[Any], wait: Callable[[float], object]) -> Verdict:
    """Writes, waits for the disk, and looks at the settings before and after.

    Args:
        link: The link on which the outbox was read.
        write: The command that writes; it answers 1 if the lease is ours, else it wrote nothing.
        wait: Sleeps.

    Raises:
        StoreError: the link failed: then nothing is known.
    """
    n = len(SAMPLE)
    before = take_sample(link)
    safety = judge(before)
    with_waitaof = safety.ok and before.version >= WAITAOF
    commands = [write, *([("WAITAOF", 1, 0, WAIT_MS)] if with_waitaof else []), *SAMPLE]
    replies = link.pipeline(*commands)
    if isinstance(replies[0], redis.ResponseError):
        raise refused(error_text(replies[0]), doing="the write of the durability barrier")
    owned = replies[0] == 1
    after = read_sample(replies[-n:])
    if not safety.ok or not owned:
        return Verdict(durable=False, owned=owned, safety=safety)
    if not judge(after).ok or not same_server(before, after, link.run_id):
        return Verdict(durable=False, owned=True, safety=judge(after))
    if with_waitaof:
        return _verdict_of_waitaof(replies[1], safety)
    if before.appendfsync == after.appendfsync == "always":
        return Verdict(durable=True, owned=True, safety=safety)  # it answers a write only after its fsync
    return Verdict(durable=observe(lambda: take_sample(link), first=after, wait=wait), owned=True, safety=safety)


def observe(sample: Callable[[], Sample], *, first: Sample, wait: Callable[[float], object]) -> bool:
    """Whether an fsync that began after the write was seen to end (the rule without WAITAOF)."""
    earlier = first
    for _ in range(OBSERVATIONS):
        wait(OBSERVE_SECONDS)
        later = sample()
        if not judge(later).ok or not same_server(first, later, first.run_id):
            return False
        if fsync_between(earlier, later):
            return True
        earlier = later
    return False


def fsync_between(earlier: Sample, later: Sample) -> bool:
    """Two samples at least `OBSERVE_SECONDS` apart, both quiet, and nothing that suspends fsync."""
    suspended = any(s.no_fsync_on_rewrite and s.rewriting for s in (earlier, later))
    return earlier.quiet and later.quiet and not suspended


def same_server(one: Sample, other: Sample, run_id: str) -> bool:
    """Both samples are of the process that the link was connected to, and its role did not change."""
    return bool(run_id) and one.run_id == other.run_id == run_id and one.role == other.role == "master"


def _verdict_of_waitaof(reply: Any, safety: Safety) -> Verdict:
    if isinstance(reply, redis.ResponseError):
        text = error_text(reply)
        message = (
            f"Redis refuses WAITAOF ({text}), so after-download actions are held; allow it: ACL SETUSER … +waitaof"
        )
        return Verdict(durable=False, owned=True, safety=Safety(ok=False, message=message))
    return Verdict(durable=reply[0] >= 1, owned=True, safety=safety)
