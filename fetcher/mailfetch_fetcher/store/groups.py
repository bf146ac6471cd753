"""Named consumer groups: made before the first commit, and looked at for `Acknowledged` actions (hazard 26)."""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import redis

from mailfetch_fetcher.contract.keys import StreamKeys
from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.sources.base import PendingAction
from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.acks import Look, Seen, Verdict, decode_seen, is_proven, judge_group, must_begin_anew
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.outbox import parse_entry

SENTINEL = "mailfetch-sentinel"
"""Consumer that nobody uses: a group without it was not made, or was made anew, by somebody else."""
PAGE = 200
"""Actions of one look."""
PAGES = 10
"""Looks of one walk."""


def ensure_groups(link: Link, keys: StreamKeys, groups: Sequence[str]) -> None:
    """Makes each group that does not exist, at 0, and puts the sentinel into each that lacks it.

    A group that existed without the sentinel proves nothing about the entries that are there now.

    Raises:
        StoreError: Redis refuses, or the link failed.
    """
    for group in groups:
        look_at_group(link, keys, group)


def look_at_group(link: Link, keys: StreamKeys, group: str, entries: Sequence[str] = (), *, anew: bool = False) -> Look:
    """The group and these entries at one moment; makes the group if need be.

    Args:
        link: Any link.
        keys: The stream.
        group: The group.
        entries: Ids of entries.
        anew: Something strange happened to the group: proof begins anew, for all connections of the stream.

    Raises:
        StoreError: Redis refuses, or the link failed.
    """
    args: list[Any] = [group, SENTINEL, secrets.token_hex(8), "again" if anew else "", *entries]
    try:
        reply = link.call(*scripts.evaluate(scripts.ACKS, keys=[keys.queue, keys.groups, keys.marks], args=args))
    except redis.ResponseError as e:
        raise refused(error_text(e), doing=f"the look at consumer group {group}") from None
    record, last, read, newest, *verdicts = (item.decode() for item in reply)
    noted = decode_seen(record, group=group)
    if noted is None:
        raise StoreError(
            "StoreUnsafe",
            f"what Redis holds of consumer group {group} cannot be read ({json.dumps(record)}); remove it: "
            f"HDEL {keys.groups} {group}",
        )
    return Look(
        record=noted,
        last=last,
        read=int(read) if read else None,
        newest=newest,
        verdicts=cast("tuple[Verdict, ...]", tuple(verdicts)),
    )


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a walk through the outbox found.

    Attributes:
        ready: Provably acknowledged and old enough.
        unproven: Never to be carried out: nobody can say whether they were acknowledged.
        seen: What is known of the group now; to be kept before anything above is relied on.
    """

    ready: list[PendingAction]
    unproven: list[PendingAction]
    seen: Seen


class LookAt(Protocol):
    """See `look_at_group`."""

    def __call__(self, group: str, entries: Sequence[str], *, anew: bool) -> Look:
        """Looks."""
        ...


class OutboxWalk:
    """Looks for acknowledged actions, a part of the outbox at a time: those in front may wait for long."""

    def __init__(self, *, read: Callable[[int, int], list[PendingAction]], look: LookAt) -> None:
        """Looks at nothing yet.

        Args:
            read: The actions of these ranks.
            look: See `look_at_group`.
        """
        self._read = read
        self._look = look
        self._start = 0

    def walk(self, seen: Seen | None, *, group: str, limit: int, until: float) -> Found:
        """The next part.

        Args:
            seen: What was known of a group.
            group: The group that counts.
            limit: Most actions that are ready.
            until: Only entries made at this time (milliseconds since 1970) or before are old enough.
        """
        judged: list[tuple[PendingAction, Verdict]] = []
        for _ in range(PAGES):
            actions = self._read(self._start, self._start + PAGE - 1)
            entries = [action.entry for action in actions]
            look = self._look(group, entries, anew=False)
            if must_begin_anew(seen, look):
                look = self._look(group, entries, anew=True)
            seen = judge_group(seen, look)
            judged += zip(actions, look.verdicts, strict=True)
            self._start += len(actions)
            acked = sum(verdict == "acked" for _, verdict in judged)
            if len(actions) < PAGE or look.verdicts[-1] == "new" or acked >= limit:
                self._start = 0
                break
        assert seen
        proven = [(action, is_proven(action.entry, verdict, seen)) for action, verdict in judged]
        ready = [action for action, proof in proven if proof and parse_entry(action.entry)[0] <= until]
        return Found(ready=ready[:limit], unproven=[a for a, proof in proven if proof is False], seen=seen)
