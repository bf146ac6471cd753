"""Opening a mailbox's state: look, decide, then create or put aside, then take. Each write is one script."""

import dataclasses

import redis

from mailfetch_fetcher.clock import Clock, rfc3339
from mailfetch_fetcher.contract.keys import ConnectionKeys
from mailfetch_fetcher.errors import Pace, StoreError
from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.groups import ensure_groups
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.model import Owner, QueuePolicy, State
from mailfetch_fetcher.store.state import (
    Wish,
    aside_pairs,
    decide,
    decode_state,
    fields_of,
    is_reset_approved,
    new_state,
    went_back,
)

OLDEST = (7, 0)
_ATTEMPTS = 5


def open_state(
    link: Link,
    *,
    keys: ConnectionKeys,
    owner: Owner,
    wish: Wish,
    policy: QueuePolicy,
    tip: str,
    ttl: float,
    clock: Clock,
) -> State:
    """Takes the lease and ownership; from then on `tip` is the state's token.

    Raises:
        GateClosed: people must approve first; nothing was written.
        StoreError: another pod holds the lease, the state is of another cluster, or Redis is not fit or not there.
    """
    try:
        check_server(link)
        preflight(link, keys=keys)
        for _ in range(_ATTEMPTS):
            before = decode_state(fields_of(link.call("HGETALL", keys.state)))
            step = decide(before, wish)
            if step == "take" and before:
                taken = _take(link, keys=keys, owner=owner, policy=policy, wish=wish, state=before, tip=tip, ttl=ttl)
                if taken:
                    ensure_groups(link, keys.stream, policy.consumer_groups)
                    lost, approved = went_back(before, wish), is_reset_approved(taken, wish)
                    return dataclasses.replace(taken, went_back=lost, reset_approved=approved)
            elif _create(link, keys=keys, owner=owner, wish=wish, replaces=before, clock=clock):
                wish = dataclasses.replace(wish, create=True, state_id="")  # what is there now is what was wished for
    except redis.ResponseError as e:
        raise refused(error_text(e), doing="opening the mailbox's state") from None
    raise StoreError(
        "StoreUnavailable", "the mailbox's state in Redis changes all the time; somebody else opens it too"
    )


def check_server(link: Link) -> None:
    """Refuses servers that lack what the scripts need.

    Raises:
        StoreError: too old.
    """
    if link.version and link.version < OLDEST:
        version = ".".join(map(str, link.version))
        text = f"Redis at {link.target} is version {version}; Mailfetch needs Redis 7.0 or Valkey"
        raise StoreError("StoreUnsafe", text, pace=Pace.CONFIGURATION)


def preflight_keys(keys: ConnectionKeys) -> list[str]:
    """One key of each kind, in the order of the script."""
    stream = keys.stream
    return [
        *(keys.state, stream.queue, stream.log, keys.outbox, keys.stats, stream.blobs, keys.known(0), keys.lease),
        *(keys.barrier, stream.connections, stream.marks, stream.blob("preflight"), keys.quarantine, keys.gone),
        *(keys.returns, keys.stage(0), keys.swap(0), stream.groups, keys.token),
    ]


def preflight(link: Link, *, keys: ConnectionKeys) -> None:
    """Asks for permissions and types of keys before anything depends on them.

    Raises:
        StoreError: something a commit needs is not allowed, or a key holds something else.
    """
    names = preflight_keys(keys)
    wrong = [item.decode() for item in link.call(*scripts.evaluate(scripts.PREFLIGHT, keys=names, args=[]))]
    if not wrong:
        return
    more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    raise StoreError(
        "StoreUnsafe",
        f"Redis cannot be used as it is: {'; '.join(wrong[:3])}{more}. Give the user all commands on the keys mail:* "
        "(ACL SETUSER <user> +@all ~mail:*), and remove keys that are not Mailfetch's",
        pace=Pace.CONFIGURATION,
    )


def _create(
    link: Link, *, keys: ConnectionKeys, owner: Owner, wish: Wish, replaces: State | None, clock: Clock
) -> bool:
    args = [owner.pod_uid, replaces.state_id if replaces else ""]
    args += new_state(wish, created=rfc3339(clock.now()))
    names = [keys.state, keys.lease, *aside_pairs(keys)]
    reply = link.call(*scripts.evaluate(scripts.CREATE, keys=names, args=args))
    raise_if_held(reply, keys)
    return bool(reply[0] == b"OK")


def _take(
    link: Link,
    *,
    keys: ConnectionKeys,
    owner: Owner,
    policy: QueuePolicy,
    wish: Wish,
    state: State,
    tip: str,
    ttl: float,
) -> State | None:
    args = [str(owner), owner.pod_uid, state.state_id, tip, round(ttl * 1000), keys.name, policy.groups_json()]
    args += [wish.gate_epoch, state.identity, wish.identity]
    names = [keys.state, keys.lease, keys.stats, keys.stream.connections]
    reply = link.call(*scripts.evaluate(scripts.TAKE, keys=names, args=args))
    raise_if_held(reply, keys)
    if reply[0] != b"OK":
        return None
    return decode_state(fields_of(reply[2:]), messages=int(reply[1]))


def raise_if_held(reply: list[bytes], keys: ConnectionKeys) -> None:
    """Refuses if a script answered that another pod holds the lease.

    Raises:
        StoreError: with the time until it may be free.
    """
    if reply[0] != b"HELD":
        return
    pod, seconds = reply[1].decode().partition(" ")[0], int(reply[2]) / 1000
    raise StoreError(
        "StoreUnavailable",
        f"another fetcher (pod UID {pod}) holds the lease of {keys.name}; it is free in {max(seconds, 0):.0f} s at the "
        "earliest, when that fetcher has ended",
        retry_after=max(seconds, 0) + 1,
    )
