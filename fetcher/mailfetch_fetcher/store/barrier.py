"""The durability barrier: everything that was read on a link before it is on the disk of Redis after it.

What Redis says of its disk speaks of earlier writes. So the barrier makes a write of its own first, on the same link on
which the outbox was read.

WAITAOF is not used: with `appendfsync everysec` Valkey 8.1 to 9.1 and Redis 7.4.0 to 7.4.2 answer it at once when the
last fsync is less than a second old, up to a second before the write is on disk (seen with strace; redis/redis#13793).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.lease import BEHIND, OURS
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.peers import Alone, Peers, Replicas
from mailfetch_fetcher.store.safety import SAMPLE, Safety, Sample, judge, read_sample, take_sample
from mailfetch_fetcher.store.sentinel import Named

WAIT_MS = 4000
"""Longest that WAIT may take; less than a link's timeout."""
OBSERVE_SECONDS = 2.1
"""`everysec` starts an fsync each second, so one began and ended between two quiet samples."""
OBSERVATIONS = 5

_CLOCK = (
    "the clock of Redis was set back, and with appendfsync everysec it forces nothing to disk until that time has come "
    "again; after-download actions are held (downloading goes on). Remedy: set appendfsync always, or restart Redis"
)

Wait = tuple[Any, ...]
"""A command that waits."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a barrier found.

    Attributes:
        durable: What was read before is on disk, and with all replicas where the topology asks for it.
        owned: The lease was still ours.
        safety: The verdict on the settings.
        named: Whether the server is still the master for those who decide about it; `no` is final.
    """

    durable: bool
    owned: bool
    safety: Safety
    named: Named = "yes"


def run_barrier(
    link: Link, *, write: Sequence[Any], wait: Callable[[float], object], peers: Peers | None = None
) -> Verdict:
    """Writes, waits for disk and replicas, and looks at the settings and the topology before and after.

    Args:
        link: The link on which the outbox was read.
        write: The command that writes; it answers `OURS` or `BEHIND` if the lease is ours, else it wrote nothing.
        wait: Sleeps.
        peers: What the topology demands.

    Raises:
        StoreError: the link failed: then nothing is known.
    """
    peers = peers or Alone()
    before = take_sample(link)
    replicas = peers.replicas(link)
    safety = judge(before)
    if safety.ok and replicas.problem:
        safety = Safety(ok=False, message=replicas.problem)
    waits = _waits(replicas) if safety.ok else []
    replies = link.pipeline(write, *waits, *SAMPLE)
    if isinstance(replies[0], redis.ResponseError):
        raise refused(error_text(replies[0]), doing="the write of the durability barrier")
    owned = replies[0] in (OURS, BEHIND)
    answers, after = replies[1 : 1 + len(waits)], read_sample(replies[1 + len(waits) :])
    durable = False
    if safety.ok and owned:
        safety = judge(after)
        safety = _judge_waits(answers, waits, replicas) if safety.ok else safety
        if replies[0] == BEHIND and after.appendfsync != "always":
            safety = Safety(ok=False, message=_CLOCK)
        same = same_server(before, after, link.run_id) and before.appendfsync == after.appendfsync
        durable = safety.ok and same and _on_disk(link, after, wait)
    named = peers.named()
    if named == "unknown" and safety.ok:
        safety = Safety(ok=False, message=peers.why())
    return Verdict(durable=durable and named == "yes", owned=owned, safety=safety, named=named)


def observe(sample: Callable[[], Sample], *, first: Sample, wait: Callable[[float], object]) -> bool:
    """Whether an fsync that began after the write was seen to end (the rule for `everysec`)."""
    earlier = first
    for _ in range(OBSERVATIONS):
        wait(OBSERVE_SECONDS)
        later = sample()
        if not judge(later).ok or not same_server(first, later, first.run_id):
            return False
        if fsync_between(earlier, later) and _settled(sample(), first):
            return True
        earlier = later
    return False


def _settled(last: Sample, first: Sample) -> bool:
    """A third look, right behind the second one, is quiet too.

    A server that stood still between two looks has begun no fsync by the second one, only before it answered that.
    """
    return judge(last).ok and same_server(first, last, first.run_id) and last.quiet


def fsync_between(earlier: Sample, later: Sample) -> bool:
    """Two samples at least `OBSERVE_SECONDS` apart, both quiet, and nothing that suspends fsync."""
    suspended = any(s.no_fsync_on_rewrite and s.rewriting for s in (earlier, later))
    return earlier.quiet and later.quiet and not suspended


def same_server(one: Sample, other: Sample, run_id: str) -> bool:
    """Both samples are of the process that the link was connected to, and its role did not change."""
    return bool(run_id) and one.run_id == other.run_id == run_id and one.role == other.role == "master"


def _waits(replicas: Replicas) -> list[Wait]:
    return [("WAIT", replicas.count, WAIT_MS)] if replicas.count else []


def _judge_waits(replies: Sequence[Any], waits: Sequence[Wait], replicas: Replicas) -> Safety:
    """Whether the waits were allowed, and all replicas answered."""
    for reply, (command, *_) in zip(replies, waits, strict=True):
        if isinstance(reply, redis.ResponseError):
            message = (
                f"Redis refuses {command} ({error_text(reply)}), so after-download actions are held; allow it: "
                f"ACL SETUSER … +{command.lower()}"
            )
            return Safety(ok=False, message=message)
        if command == "WAIT" and reply < replicas.count:
            message = (
                f"only {reply} of {replicas.count} replicas of Redis have what was stored, so a failover could lose "
                f"mails; after-download actions are held (downloading goes on). Remedy: {replicas.remedy}"
            )
            return Safety(ok=False, message=message)
    return Safety(ok=True)


def _on_disk(link: Link, after: Sample, wait: Callable[[float], object]) -> bool:
    if after.appendfsync == "always":
        return True  # it answers a write only after its fsync
    return observe(lambda: take_sample(link), first=after, wait=wait)
