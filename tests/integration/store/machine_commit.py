"""Commits of the state machine: a batch, and what the ledger, the outbox and the stream must hold after it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from mailfetch_fetcher.store.model import Batch, Blob, Mail, Quarantined
from tests.integration.store.machine_provider import Item
from tests.integration.store.machine_view import View, next_numbers, number, refetch_mark
from tests.integration.store.machine_world import NAMED, Session, World


def commit(world: World, session: Session, batch: Batch, *, items: Sequence[Item] = (), **changes: Any) -> None:
    """A commit; `items` are those of the batch's mails, `changes` what else becomes of the view."""
    old = world.model[session.connection]
    new = dataclasses.replace(old, **changes)
    if batch.cursor is not None:
        new = dataclasses.replace(new, cursor=batch.cursor)
    new = _with_mails(world, session, new, batch, items)
    gone = frozenset(batch.released)
    new = dataclasses.replace(new, quarantine=(new.quarantine - gone) | {record.ref for record in batch.quarantine})
    ready = [dataclasses.replace(m, body=_body(world, session, i)) for m, i in zip(batch.mails, items, strict=True)]
    if world.stealing:
        world.stealing = False
        world.take_over(session.connection)
        old = new = world.model[session.connection]
    with world.step(session, old, new):
        session.mailbox.commit(dataclasses.replace(batch, mails=ready))


def _with_mails(world: World, session: Session, view: View, batch: Batch, items: Sequence[Item]) -> View:
    key = world.hash_key(session.connection)
    fresh = [i for m, i in zip(batch.mails, items, strict=True) if not m.refetch]
    if session.connection in NAMED:
        numbers = [number(i.name, 1, key=key) for i in fresh]
        numbers += [number(record.name, 1, key=key) for record in batch.quarantine]
    else:
        numbers = next_numbers([i.identity for i in fresh], view.ledger, key=key)
    actions = {(m.ref, m.action.kind, "pending") for m in batch.mails if m.action}
    stored = {(i.serial, refetch_mark(m.refetch)) for m, i in zip(batch.mails, items, strict=True)}
    return dataclasses.replace(
        view,
        ledger=view.ledger | frozenset(numbers),
        outbox=view.outbox | actions,
        stored=view.stored | stored,
    )


def _body(world: World, session: Session, item: Item) -> bytes | Blob:
    """What stands in the entry, or a blob that was written before."""
    if not item.large:
        return item.body
    view = world.model[session.connection]
    with world.step(session, view, view, writes=False):  # a blob counts only with its commit
        writer = session.mailbox.start_blob()
        for start in range(0, len(item.body), 50_000):
            writer.append(item.body[start : start + 50_000])
        return writer.finish()
    raise AssertionError("unreachable")


def mail(world: World, session: Session, uid: int, item: Item, *, refetch: str = "") -> Mail:
    """As a session makes it."""
    provider = world.providers[session.connection]
    world.serials[provider.ref(uid)] = item.serial
    return Mail(
        ref=provider.ref(uid),
        uid_validity="" if provider.named else str(provider.uid_validity),
        uid=0 if provider.named else uid,
        folder="INBOX",
        identity=item.identity,
        body=b"",
        size=len(item.body),
        sha256=item.sha256,
        action=None if refetch else item.action,
        name=item.name if provider.named else b"",
        refetch=refetch,
    )


def record(world: World, session: Session, uid: int, item: Item) -> Quarantined:
    """Of a mail that the server does not give out."""
    provider = world.providers[session.connection]
    return Quarantined(
        ref=provider.ref(uid),
        uid=0 if provider.named else uid,
        size=1,
        kind="Unreadable",
        detail="NO",
        since=100,
        attempts=1,
        retry=200,
        name=item.name if provider.named else b"",
    )
