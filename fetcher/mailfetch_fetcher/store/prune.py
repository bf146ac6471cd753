"""Pruning: names that left the mailbox for good leave the ledger too, where mails have names (`store.md` 39).

A server may use the name of a deleted mail again. But a list that lacks names may also be that of a mailbox which is
only partly there, and then forgetting them would download them all again. So a name goes (a) when we deleted the mail
or moved it, the server confirmed it, and the next complete list lacks it, or (b) when three complete lists over a day
or more lack it; and while many are missing that were there before, (b) stands still.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import redis

from mailfetch_fetcher.contract.keys import BUCKETS, ConnectionKeys
from mailfetch_fetcher.store import hashes, scripts
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.outbox import ledger_member, parse_member, ref_of
from mailfetch_fetcher.store.writer import Writer

STEP = 512
"""Changes of one script."""
BUCKETS_AT_ONCE = 32
ACTIONS_AT_ONCE = 1000
LISTS = 3
SECONDS = 86400
FEWEST = 10
"""So many may always vanish at once without anything being suspected; fewer than this never freeze."""
DELETED = "d"


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What pruning did.

    Attributes:
        removed: Names that left the ledger.
        frozen: So many vanished at once that absence counts for nothing until they are back.
    """

    removed: int
    frozen: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be changed; numbers are those of the ledger, signed.

    Attributes:
        remove: Numbers that leave.
        marks: New marks of absence.
        cleared: Numbers that lose their mark.
        frozen: See `Pruned`.
    """

    remove: Sequence[int] = ()
    marks: Mapping[int, str] = field(default_factory=dict)
    cleared: Sequence[int] = ()
    frozen: bool = False


def prune_ledger(writer: Writer, listed: Sequence[bytes], *, keys: ConnectionKeys, now: int) -> Pruned:
    """Compares a complete list with the ledger, and carries out what follows from it.

    Raises:
        Fenced: somebody else owns the mailbox.
        StoreError: Redis refuses, or the link failed.
    """
    try:
        marks = _read_marks(writer.link, keys)
        if listed:
            absent, size = _absent(writer.link, listed, keys=keys, hash_key=writer.state.hash_key)
            plan = judge(absent, marks=marks, size=size, now=now)
        else:  # it may be that nothing is mounted: only what we removed ourselves is certain to be gone
            plan = Plan(remove=[number for number, mark in marks.items() if mark == DELETED])
        _carry_out(writer, plan, keys=keys)
    except redis.ResponseError as e:
        raise refused(error_text(e), doing="pruning the ledger") from None
    return Pruned(removed=len(plan.remove), frozen=plan.frozen)


def forget_names(writer: Writer, names: Sequence[bytes], *, keys: ConnectionKeys) -> None:
    """Takes out names whose mails are proven to have left (Graph): there is nothing to be judged.

    Raises:
        Fenced: somebody else owns the mailbox.
        StoreError: Redis refuses, or the link failed.
    """
    numbers = [hashes.member(hashes.ledger_number(name, 1, key=writer.state.hash_key)) for name in names]
    try:
        _carry_out(writer, Plan(remove=numbers), keys=keys)
    except redis.ResponseError as e:
        raise refused(error_text(e), doing="pruning the ledger") from None


def _carry_out(writer: Writer, plan: Plan, *, keys: ConnectionKeys) -> None:
    pending = _pending(writer.link, keys, plan.remove)
    for step in steps(plan):
        dropped = [member for number in step.remove for member in pending.get(str(number), ())]
        writer.change(partial(_command, step, dropped, writer.owner, keys))
        writer.committed.difference_update(map(ref_of, dropped))


def judge(absent: Sequence[int], *, marks: Mapping[int, str], size: int, now: int) -> Plan:
    """What a complete list means.

    Args:
        absent: Numbers of the ledger that the list lacks.
        marks: What is known of absences.
        size: Numbers in the ledger.
        now: Seconds since 1970.
    """
    missing = set(absent)
    vanished = [number for number in absent if number not in marks]
    there = size - sum(number in marks for number in absent)  # as of the list before
    frozen = len(vanished) >= FEWEST and 10 * len(vanished) > there
    remove = [number for number in absent if marks.get(number) == DELETED]
    new_marks: dict[int, str] = {}
    for number in () if frozen else absent:
        if marks.get(number) == DELETED:
            continue
        first, lists = _parse(marks.get(number, ""), now=now)
        if lists >= LISTS and now - first >= SECONDS:
            remove.append(number)
        else:
            new_marks[number] = f"{first}:{lists}"
    cleared = [number for number in marks if number not in missing]
    return Plan(remove=remove, marks=new_marks, cleared=cleared, frozen=frozen)


def steps(plan: Plan) -> Iterator[Plan]:
    """The plan in pieces of at most `STEP` changes."""
    marks = list(plan.marks.items())
    for i in range(0, len(plan.remove), STEP):
        yield Plan(remove=plan.remove[i : i + STEP])
    for i in range(0, len(marks), STEP):
        yield Plan(marks=dict(marks[i : i + STEP]))
    for i in range(0, len(plan.cleared), STEP):
        yield Plan(cleared=plan.cleared[i : i + STEP])


def _parse(mark: str, *, now: int) -> tuple[int, int]:
    """First absence and number of lists, the present one included."""
    first, _, lists = mark.partition(":")
    return (int(first), int(lists) + 1) if first.isdigit() and lists.isdigit() else (now, 1)


def _command(step: Plan, dropped: Sequence[str], owner: str, keys: ConnectionKeys, tip: str, new_tip: str) -> list[Any]:
    buckets = sorted({hashes.bucket(number) for number in step.remove})
    index = {bucket: i for i, bucket in enumerate(buckets, start=6)}
    counts = (len(dropped), len(step.remove), len(step.marks), len(step.cleared))
    args: list[Any] = [owner, tip, new_tip, keys.name, *counts]
    for member in dropped:
        action = parse_member(member, same_session=False)
        args += (member, action.kind, action.entry)
    for number in step.remove:
        bucket = hashes.bucket(number)
        args += (index[bucket], number, bucket)
    for number, mark in step.marks.items():
        args += (number, mark)
    args += step.cleared
    names = [keys.state, keys.gone, keys.returns, keys.stream.log, keys.outbox, *map(keys.known, buckets)]
    return scripts.evaluate(scripts.PRUNE, keys=names, args=args)


def _read_marks(link: Link, keys: ConnectionKeys) -> dict[int, str]:
    reply = link.call("HGETALL", keys.gone)
    return {int(number): mark.decode() for number, mark in zip(reply[::2], reply[1::2], strict=True)}


def _pending(link: Link, keys: ConnectionKeys, numbers: Sequence[int]) -> dict[str, list[str]]:
    """Members of the outbox that are about mails with these numbers."""
    wanted, start = set(map(str, numbers)), 0
    found: dict[str, list[str]] = {}
    while wanted and (members := link.call("ZRANGE", keys.outbox, start, start + ACTIONS_AT_ONCE - 1)):
        for member in (member.decode() for member in members):
            if (number := ledger_member(member)) in wanted:
                found.setdefault(number, []).append(member)
        start += len(members)
    return found


def _absent(link: Link, listed: Sequence[bytes], *, keys: ConnectionKeys, hash_key: bytes) -> tuple[list[int], int]:
    """Numbers of the ledger that are not in the list, and how many the ledger has. Eight bytes a name."""
    present = [array("q") for _ in range(BUCKETS)]
    for name in listed:
        number = hashes.ledger_number(name, 1, key=hash_key)
        present[hashes.bucket(number)].append(hashes.member(number))
    absent: list[int] = []
    size = 0
    for start in range(0, BUCKETS, BUCKETS_AT_ONCE):
        some = range(start, start + BUCKETS_AT_ONCE)
        for bucket, reply in zip(some, link.pipeline(*(("SMEMBERS", keys.known(b)) for b in some)), strict=True):
            if isinstance(reply, redis.ResponseError):
                raise reply
            size += len(reply)
            absent += set(map(int, reply)).difference(present[bucket])
    return absent, size
