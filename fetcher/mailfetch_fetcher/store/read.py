"""Looks at a mailbox's state that take nothing and write nothing: for the probe, and before the lease is taken."""

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Self

import redis

from mailfetch_fetcher.contract.keys import ConnectionKeys
from mailfetch_fetcher.store import hashes
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.ledger import are_known, are_members
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.locate import locate
from mailfetch_fetcher.store.model import State
from mailfetch_fetcher.store.state import decode_state, fields_of
from mailfetch_fetcher.store.target import Target


def read_state(target: Target, keys: ConnectionKeys) -> State | None:
    """The state, or None if there is none.

    Raises:
        StoreError: Redis cannot be reached or refuses, or the state cannot be read.
    """
    link = Link(locate(target, key=keys.state))
    try:
        fields = fields_of(link.call("HGETALL", keys.state))
        messages = int(link.call("HGET", keys.stats, "messages") or 0)
    except redis.ResponseError as e:
        raise refused(error_text(e), doing="reading the mailbox's state") from None
    finally:
        link.close()
    return decode_state(fields, messages=messages)


def read_token(target: Target, keys: ConnectionKeys) -> bytes:
    """What was saved last; on a link of its own, as it may be wanted before a mailbox is open.

    Raises:
        StoreError: Redis cannot be reached or refuses.
    """
    link = Link(locate(target, key=keys.state))
    try:
        found: bytes | None = link.call("GET", keys.token)
        return found or b""
    except redis.ResponseError as e:
        raise refused(error_text(e), doing="reading the refresh token that is kept") from None
    finally:
        link.close()


class LedgerView:
    """Asks the ledger of a state; use it as a context manager."""

    def __init__(self, target: Target, keys: ConnectionKeys, state: State) -> None:
        self._link = Link(locate(target, key=keys.state))
        self._keys = keys
        self._key = state.hash_key
        self._counted: Counter[bytes] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._link.close()

    def known(self, names: Sequence[bytes]) -> list[bool]:
        """Which of these mails were committed, count as old, or are in quarantine; as `Mailbox.known`."""
        return are_known(self._link, names, keys=self._keys, hash_key=self._key)

    def walk(self, identities: Sequence[bytes]) -> list[bool]:
        """Which of the next mails of a walk the ledger has; as `Stage.walk`, but it counts in memory."""
        numbers = []
        for identity in identities:
            digest = blake2b(identity, digest_size=16).digest()
            self._counted[digest] += 1
            numbers.append(hashes.ledger_number(identity, self._counted[digest], key=self._key))
        return are_members(self._link, numbers, key_of=self._keys.known)
