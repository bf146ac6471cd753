"""Who reads a stream: its consumer groups, looked at without taking anything (for the estimate)."""

from collections.abc import Mapping

import redis

from mailfetch_fetcher.contract.keys import StreamKeys
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.locate import locate
from mailfetch_fetcher.store.target import Target


def read_audience(target: Target, keys: StreamKeys) -> Mapping[str, bool]:
    """Consumer group → whether it has read anything yet; empty if there is no stream.

    Raises:
        StoreError: Redis cannot be reached or refuses.
    """
    link = Link(locate(target, key=keys.queue))
    try:
        found = link.call("XINFO", "GROUPS", keys.queue)
    except redis.ResponseError as e:
        if "no such key" in error_text(e).lower():
            return {}
        raise refused(error_text(e), doing="looking at the consumer groups") from None
    finally:
        link.close()
    return dict(_group(reply) for reply in found)


def _group(reply: list[object]) -> tuple[str, bool]:
    fields = dict(zip(reply[::2], reply[1::2], strict=True))
    name = fields[b"name"]
    assert isinstance(name, bytes)
    # Not by its consumers: the fetcher's own stands in each group that it made (`groups.py`).
    return name.decode(errors="replace"), fields[b"last-delivered-id"] != b"0-0"
