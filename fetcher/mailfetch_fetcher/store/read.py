"""A look at a mailbox's state that takes nothing and writes nothing: for the probe."""

import redis

from mailfetch_fetcher.contract.keys import ConnectionKeys
from mailfetch_fetcher.store.failures import error_text, refused
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
