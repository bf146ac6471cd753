"""What a session does: download, act, prune, refetch, and the walk after the mails were numbered anew."""

import json
from dataclasses import replace
from typing import Any

from mailfetch_fetcher.sources.base import Outcome, PendingAction
from mailfetch_fetcher.store.model import Batch
from tests.integration.store.machine_commit import commit, mail, record
from tests.integration.store.machine_provider import TWIN, Item
from tests.integration.store.machine_view import View, fingerprint, number, refetch_mark
from tests.integration.store.machine_world import GROUP, NAMED, Refused, Session, World


def download(world: World, session: Session, count: int) -> None:
    """The next mails."""
    if session.connection in NAMED:
        _download_named(world, session, count)
    else:
        _download_numbered(world, session, count)


def _download_numbered(world: World, session: Session, count: int) -> None:
    provider = world.providers[session.connection]
    after = _cursor_uid(session.mailbox.state.cursor)
    chosen = [(uid, item) for uid, item in provider.present() if uid > after][:count]
    if chosen:
        commit_some(world, session, chosen, cursor=f"{provider.uid_validity}/{chosen[-1][0]}")


def _download_named(world: World, session: Session, count: int) -> None:
    view, key = world.model[session.connection], world.hash_key(session.connection)
    listed = list(world.providers[session.connection].present())
    with world.step(session, view, view, writes=False):
        known = session.mailbox.known([item.name for _, item in listed])
    assert known == [number(item.name, 1, key=key) in view.ledger for _, item in listed]
    new = [one for one, is_known in zip(listed, known, strict=True) if not is_known][:count]
    if new:
        commit_some(world, session, new, cursor="names")


def commit_some(world: World, session: Session, chosen: list[tuple[int, Item]], **parts: Any) -> None:
    """One batch; what cannot be read goes into quarantine in the same step."""
    good = [(uid, item) for uid, item in chosen if not item.unreadable]
    batch = Batch(
        mails=[mail(world, session, uid, item) for uid, item in good],
        quarantine=[record(world, session, uid, item) for uid, item in chosen if item.unreadable],
        **parts,
    )
    commit(world, session, batch, items=[item for _, item in good])


def _cursor_uid(cursor: str) -> int:
    return int(cursor.partition("/")[2]) if cursor else 0


def heal(world: World, session: Session) -> None:
    """A mail in quarantine can be read again."""
    provider = world.providers[session.connection]
    for ref in sorted(world.model[session.connection].quarantine):
        item = provider.find(ref)
        if item:
            item.unreadable = False
            uid = next(uid for uid, one in provider.present() if one is item)
            batch = Batch(mails=[mail(world, session, uid, item)], released=[ref])
            commit(world, session, batch, items=[item])
            return


# -- acting ----------------------------------------------------------------------------------


def act(world: World, session: Session, count: int, *, group: str, stop: str) -> None:
    """After-download actions; the process may die before or after what it does at the mail server."""
    actions = _due(world, session, count, group=group)
    outcomes = []
    for kind in dict.fromkeys(action.kind for action in actions):
        chosen = [action for action in actions if action.kind == kind]
        if kind == "Move":
            chosen = _advance(world, session, chosen, "copying")
        _confirm(world, session)
        if stop == "before":
            world.kill(session.pod)
            raise Refused
        outcomes = [_carry_out(world, session, action) for action in chosen]
        if stop == "after":
            world.kill(session.pod)
            raise Refused
        if stop == "stolen":
            world.take_over(session.connection)
        if kind == "Move":
            chosen = _advance(world, session, chosen, "copied")
            outcomes = [replace(outcome, action=action) for outcome, action in zip(outcomes, chosen, strict=True)]
        _settle(world, session, outcomes)


def _due(world: World, session: Session, count: int, *, group: str) -> list[PendingAction]:
    """What may be done now: I8, I9."""
    view, provider = world.model[session.connection], world.providers[session.connection]
    key = world.hash_key(session.connection)
    with world.step(session, view, view, writes=False, also=lambda found: _is_unproven(world, view, found)):
        actions = session.mailbox.due_actions(count, group=group).actions
    assert not actions or world.owner[session.connection] == str(session.owner)
    for action in actions:
        assert (action.key, action.kind, action.phase) in view.outbox
        item = provider.items[world.observer.history[action.entry].serial]
        assert action.fingerprint == fingerprint(item.identity, key=key)
        if group:
            assert action.entry in world.observer.acknowledged(group), f"{action} was not acknowledged"
            assert action.entry in world.handed, f"{action} was never given to a consumer"
            world.counts["acknowledged"] += 1
    return actions


def _is_unproven(world: World, before: View, found: View) -> bool:
    """Nothing but actions that nobody can prove any more left the outbox, and the log says so of each."""
    dropped = {world.observer.history[line["entry"]].serial for line in world.observer.log("Unproven")}
    missing = {world.serials[ref] for ref, _, _ in before.outbox - found.outbox}
    world.counts["unproven"] += len(missing)
    return missing <= dropped and replace(found, outbox=before.outbox) == before and found.outbox <= before.outbox


def _advance(world: World, session: Session, actions: list[PendingAction], phase: Any) -> list[PendingAction]:
    old = world.model[session.connection]
    was = {(a.key, a.kind, a.phase) for a in actions}
    new = replace(old, outbox=(old.outbox - was) | {(a.key, a.kind, phase) for a in actions})
    with world.step(session, old, new):
        return session.mailbox.advance(actions, phase)
    raise AssertionError("unreachable")


def _confirm(world: World, session: Session) -> None:
    view = world.model[session.connection]
    with world.step(session, view, view):
        session.mailbox.confirm_lease()
    lease = world.client.get(world.keys[session.connection].lease)
    assert lease.split(b" ")[0].decode() == session.pod, f"{session.pod} acts under the lease {lease!r}"


def _carry_out(world: World, session: Session, action: PendingAction) -> Outcome:
    """As a source does it: by the ref and what recognises the mail; a copy that was begun is looked for."""
    provider = world.providers[session.connection]
    item = provider.find(action.key)
    if not item:
        return Outcome(action=action, result="done")
    if fingerprint(item.identity, key=world.hash_key(session.connection)) != action.fingerprint:
        return Outcome(action=action, result="dropped", detail="another mail")
    assert item.serial == world.observer.history[action.entry].serial or item.identity == TWIN
    if action.kind == "MarkSeen":
        item.seen += 1
        return Outcome(action=action, result="done")
    if action.kind == "Move" and not item.moved:
        item.moved += 1
    provider.remove(item, who="us")
    return Outcome(action=action, result="done")


def _settle(world: World, session: Session, outcomes: list[Outcome]) -> None:
    old = world.model[session.connection]
    done = {(o.action.key, o.action.kind, o.action.phase) for o in outcomes}
    with world.step(session, old, replace(old, outbox=old.outbox - done)):
        session.mailbox.settle(outcomes)


# -- keeping order ---------------------------------------------------------------------------


def trim(world: World, session: Session) -> None:
    """What is acknowledged goes, and nothing else: I11."""
    view = world.model[session.connection]
    free = world.observer.acknowledged(GROUP) - _needed(world)
    there = set(world.observer.there)
    try:
        with world.step(session, view, view):
            session.mailbox.trim()
    finally:
        gone = there - world.observer.there
        assert gone <= free, f"trimmed although needed: {gone - free}"
        world.counts["trimmed"] += len(gone)


def _needed(world: World) -> set[str]:
    """Entries with a pending action."""
    members = [m for keys in world.keys.values() for m in world.client.zrange(keys.outbox, 0, -1)]
    return {member.decode().split(" ", 5)[4] for member in members}


def prune(world: World, session: Session) -> None:
    """Half a day later, a complete list."""
    if session.connection not in NAMED:
        return
    world.day += 1
    old, key = world.model[session.connection], world.hash_key(session.connection)
    provider = world.providers[session.connection]
    listed = [item.name for _, item in provider.present()]
    present = {number(name, 1, key=key) for name in listed}
    numbers = {f"{item.uidl}/1": number(item.name, 1, key=key) for item in provider.items.values()}
    with world.step(session, old, old, writes=False, also=lambda found: _is_pruned(old, found, present, numbers)):
        session.mailbox.prune(listed, now=1_800_000_000 + world.day * 45_000)
    pruned = world.model[session.connection] != old
    assert not pruned or world.owner[session.connection] == str(session.owner)
    world.counts["pruned"] += pruned


def _is_pruned(old: View, found: View, present: set[int], numbers: dict[str, int]) -> bool:
    """Only names that are not in the list left the ledger, each with what was still to be done with its mail."""
    gone = old.ledger - found.ledger
    outbox = frozenset(action for action in old.outbox if numbers[action[0]] not in gone)
    return (
        found.ledger <= old.ledger and not gone & present and found == replace(old, ledger=found.ledger, outbox=outbox)
    )


def refetch(world: World, session: Session, count: int, value: str) -> None:
    """Mails that are there once more, in order; the position stands in the state."""
    if session.connection in NAMED:
        return
    view, provider = world.model[session.connection], world.providers[session.connection]
    done: dict[str, Any] = json.loads(view.refetch or "{}")
    position = int(done["position"]) if done.get("value") == value else 0
    stored = {serial for serial, _ in view.stored}
    left = [(uid, item) for uid, item in provider.present() if item.serial > position and item.serial in stored]
    if wanted := sorted(left, key=lambda one: one[1].serial)[:count]:
        assert not any((item.serial, refetch_mark(value)) in view.stored for _, item in wanted)
        text = json.dumps({"value": value, "position": wanted[-1][1].serial})
        mails = [mail(world, session, uid, item, refetch=value) for uid, item in wanted]
        commit(world, session, Batch(mails=mails, refetch=text), items=[i for _, i in wanted], refetch=text)
