"""Whether a mailbox at another address is the one whose state is in Redis (`store.md` 45).

A host that was renamed, or a server that moved to another port, must not double every mail; another mailbox must never
go on where this one was. So what is known of the old one must be found in the new one.
"""

from functools import partial

from mailfetch_fetcher.sources.base import Message, Ref
from mailfetch_fetcher.sources.source import Digest, Known, Source
from mailfetch_fetcher.store import hashes
from mailfetch_fetcher.store.model import State

ASKED = 10
"""Mails that are looked for."""
FEWEST = 3
"""So many of them must be known, and none may be unknown."""
TELLING = 16
"""Bytes: a shorter name (a POP3 UIDL such as 17) occurs in any mailbox and proves nothing."""


def is_same(source: Source, state: State, *, known: Known) -> bool:
    """Whether the open mailbox is that of the state.

    Args:
        source: The open mailbox.
        state: The state.
        known: Which mails its ledger has.
    """
    digest = partial(hashes.fingerprint, key=state.hash_key)
    if source.changed(state.cursor, anchor=state.anchor, digest=digest):
        return False
    names = source.sample(state.cursor, ASKED)
    if source.by_name:
        names = [name for name in names if len(name) >= TELLING]
    if len(names) < FEWEST or not all(known(names)):
        return False
    return not source.by_name or source.lasting_names or _last_is_there(source, state, digest)


def _last_is_there(source: Source, state: State, digest: Digest) -> bool:
    """The last mail that was downloaded stands under its name.

    Two mailboxes that a server made in the same second may have the same UIDLs.
    """
    found = b""
    for item in source.fetch([Ref(key=state.cursor, uid=0, size=0)]) if state.cursor else ():
        if isinstance(item, Message):
            found = item.identity
            for _ in item.parts or ():
                pass
    return bool(found) and state.anchor.endswith(f":{digest(found)}")
