"""Finds the server of a life: the master that the Sentinels name, or the node of a Cluster that holds the keys."""

import dataclasses

import redis
from redis.crc import key_slot

from mailfetch_fetcher.errors import Pace, StoreError
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.sentinel import Sentinels, elect
from mailfetch_fetcher.store.target import Finder, Target, address

TIMEOUT = 5.0


def locate(target: Target, *, key: str) -> Target:
    """The server to which all links of one life go. After any failure the next life looks anew.

    Args:
        target: What the URL says; a located one is returned as it is.
        key: Any key of the stream: all of them are on the same node.

    Raises:
        StoreError: nobody knows it now (StoreUnavailable), or the URL is wrong (InvalidConfiguration).
    """
    if target.finder is None or target.host:
        return target
    if target.finder.kind == "sentinel":
        return _by_sentinel(target, target.finder)
    return _by_cluster(target, target.finder, key_slot(key.encode()))


def _by_sentinel(target: Target, finder: Finder) -> Target:
    sentinels = Sentinels(target, finder)
    try:
        answers = sentinels.ask()
    finally:
        sentinels.close()
    if not answers:
        if "unknown command" in sentinels.problem.lower():
            text = (
                f"what answers at {target} is not a Sentinel; name the Sentinels in the Redis URL (their port is "
                "mostly 26379), or write redis:// for a single server"
            )
            raise StoreError("InvalidConfiguration", text, pace=Pace.CONFIGURATION)
        raise StoreError("StoreUnavailable", f"none of the Sentinels at {target} answers: {sentinels.problem}")
    named = elect(answers)
    if not named:
        raise StoreError(
            "InvalidConfiguration",
            f"the Sentinels at {target} watch no master of the name {finder.name}; correct the name in the Redis URL",
            pace=Pace.CONFIGURATION,
        )
    failure: StoreError | None = None
    for host, port in named:
        try:
            return _master(dataclasses.replace(target, host=host, port=port))
        except StoreError as e:
            failure = failure or e
    assert failure
    raise failure


def _by_cluster(target: Target, finder: Finder, slot: int) -> Target:
    problem = ""
    for host, port in finder.hosts:
        try:
            found = _node_of(dataclasses.replace(target, host=host, port=port), slot)
        except StoreError as e:
            if e.pace is Pace.CONFIGURATION:
                raise
            problem = e.message
            continue
        return _master(dataclasses.replace(target, host=found[0], port=found[1]))
    raise StoreError("StoreUnavailable", f"no node of the Redis Cluster at {target} says where the keys are: {problem}")


def _node_of(node: Target, slot: int) -> tuple[str, int]:
    """Address of the slot's master as this node knows it."""
    link = Link(node, timeout=TIMEOUT)
    try:
        ranges = link.call("CLUSTER", "SLOTS")
    except redis.ResponseError as e:
        if "cluster support disabled" in str(e):
            text = f"Redis at {address(node.host, node.port)} is not part of a Redis Cluster: write redis:// in its URL"
            raise StoreError("InvalidConfiguration", text, pace=Pace.CONFIGURATION) from None
        raise refused(error_text(e), doing="CLUSTER SLOTS") from None
    finally:
        link.close()
    for first, last, master, *_ in ranges:
        if first <= slot <= last:
            host = (master[0] or b"").decode()
            return (node.host if host in ("", "?") else host), int(master[1])
    raise StoreError("StoreUnavailable", f"the Redis Cluster has no node for slot {slot}: it is not complete")


def _master(found: Target) -> Target:
    """The same, if it is the master in its own eyes too."""
    link = Link(found, timeout=TIMEOUT)
    try:
        role = link.call("ROLE")[0]
    except redis.ResponseError as e:
        raise refused(error_text(e), doing="ROLE") from None
    finally:
        link.close()
    if role != b"master":
        text = f"{address(found.host, found.port)} is named as the master of Redis but is not: a failover is under way"
        raise StoreError("StoreUnavailable", text)
    return found
