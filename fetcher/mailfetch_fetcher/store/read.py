"""Looks at a mailbox's state that take nothing and write nothing: for the probe, and before the lease is taken."""

from collections.abc import Sequence

import redis

from mailfetch_fetcher.contract.keys import ConnectionKeys
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.ledger import are_known
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.model import State
from mailfetch_fetcher.store.state import decode_state, fields_of
from mailfetch_fetcher.store.target import Target


def read_state(target: Target, keys: ConnectionKeys) -> State | None:
    """The state, or None if there is none.

    Raises:
        StoreError: Redis cannot be reached or refuses, or the state cannot be read.
    """
    link = Link(target)
    try:
        fields = fields_of(link.call("HGETALL", keys.state))
        messages = int(link.call("HGET", keys.stats, "messages") or 0)
    except redis.ResponseError as e:
        raise refused(error_text(e), doing="reading the mailbox's state") from None
    finally:
        link.close()
    return decode_state(fields, messages=messages)


def read_known(target: Target, keys: ConnectionKeys, state: State, names: Sequence[bytes]) -> list[bool]:
    """Which of these mails were committed, count as old, or are in quarantine; as `Mailbox.known`.

    Raises:
        StoreError: Redis cannot be reached or refuses.
    """
    link = Link(target)
    try:
        return are_known(link, names, keys=keys, hash_key=state.hash_key)
    finally:
        link.close()
