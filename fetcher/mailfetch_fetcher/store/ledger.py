"""Questions to the ledger: 1,024 sets of keyed 64-bit hashes (`hashes.py`)."""

from collections.abc import Callable, Sequence
from typing import Any

import redis

from mailfetch_fetcher.contract.keys import BUCKETS, ConnectionKeys
from mailfetch_fetcher.store import hashes
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.link import Link

STEP = 1000
"""Questions on their way at once."""


def are_known(link: Link, names: Sequence[bytes], *, keys: ConnectionKeys, hash_key: bytes) -> list[bool]:
    """Which of these names (or first occurrences of identities) the ledger has."""
    known: list[bool] = []
    for i in range(0, len(names), STEP):
        numbers = [hashes.ledger_number(name, 1, key=hash_key) for name in names[i : i + STEP]]
        known += are_members(link, numbers, key_of=keys.known)
    return known


def last_occurrence(
    link: Link, identity: bytes, *, at_least: int, key_of: Callable[[int], str], hash_key: bytes
) -> int:
    """How many mails with this identity the sets that `key_of` names have.

    Args:
        link: Any link.
        identity: The identity.
        at_least: An occurrence that they have.
        key_of: As for `are_members`.
        hash_key: The state's key.
    """

    def known(occurrences: Sequence[int]) -> list[bool]:
        numbers = [hashes.ledger_number(identity, n, key=hash_key) for n in occurrences]
        return are_members(link, numbers, key_of=key_of)

    return hashes.next_occurrence(at_least, are_known=known) - 1


def are_members(link: Link, numbers: Sequence[int], *, key_of: Callable[[int], str]) -> list[bool]:
    """Which of these numbers are in the sets that `key_of` names by bucket."""
    if not numbers:
        return []
    questions = [("SISMEMBER", key_of(hashes.bucket(number)), hashes.member(number)) for number in numbers]
    return [reply == 1 for reply in _answers(link, questions)]


def count_known(link: Link, *, keys: ConnectionKeys) -> int:
    """How many numbers the ledger has."""
    return sum(_answers(link, [("SCARD", keys.known(bucket)) for bucket in range(BUCKETS)]))


def read_returns(link: Link, names: Sequence[bytes], *, keys: ConnectionKeys, hash_key: bytes) -> dict[bytes, int]:
    """How often names of the same bucket left the ledger, so that a name that is used again makes another id."""
    if not names:
        return {}
    buckets = [hashes.bucket(hashes.ledger_number(name, 1, key=hash_key)) for name in names]
    (counts,) = _answers(link, [("HMGET", keys.returns, *buckets)])
    return {name: int(count) for name, count in zip(names, counts, strict=True) if count is not None}


def _answers(link: Link, questions: Sequence[tuple[Any, ...]]) -> list[Any]:
    replies = link.pipeline(*questions)
    for reply in replies:
        if isinstance(reply, redis.ResponseError):
            raise refused(error_text(reply), doing="reading the ledger")
    return replies
