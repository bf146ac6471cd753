"""What a session does after the mails were numbered anew: it walks through the whole mailbox."""

from collections.abc import Generator, Iterator

from mailfetch_fetcher.store.model import Batch
from tests.integration.store.machine_commit import commit
from tests.integration.store.machine_provider import Item
from tests.integration.store.machine_tasks import act, commit_some, download, heal, trim
from tests.integration.store.machine_view import View, fingerprint, next_numbers
from tests.integration.store.machine_world import NAMED, Session, World


def reset(world: World, session: Session, piece: int) -> Iterator[None]:
    """Walks through the whole mailbox; each `next` is a step."""
    provider = world.providers[session.connection]
    phase = f"Reset {provider.uid_validity}"
    commit(world, session, Batch(phase=phase), phase=phase)
    yield
    aside: set[int] = set()
    while True:
        before = set(aside)
        walked, staged = yield from _walk(world, session, piece, aside)
        if aside == before:
            break  # else the ledger must not know them, as their records go with the next walk
    moves = _moved(world, session, walked)
    old = world.model[session.connection]
    stale = frozenset(ref for ref in old.quarantine if provider.find(ref) is None)
    cursor = f"{provider.uid_validity}/{walked[-1][0] if walked else 0}"
    batch = Batch(cursor=cursor, phase="Steady", staged=True, outbox=moves, released=sorted(stale))
    commit(world, session, batch, phase="Steady", ledger=staged, outbox=_translated(old, moves))
    world.counts["walks"] += 1


def _walk(
    world: World, session: Session, piece: int, aside: set[int]
) -> Generator[None, None, tuple[list[tuple[int, Item]], frozenset[int]]]:
    """Makes the new ledger of all mails but those aside, and downloads what is unknown."""
    provider, key = world.providers[session.connection], world.hash_key(session.connection)
    view = world.model[session.connection]
    with world.step(session, view, view):
        session.mailbox.stage().begin()
    yield
    staged: frozenset[int] = frozenset()
    walked: list[tuple[int, Item]] = []
    while rest := [(u, i) for u, i in provider.present() if not walked or u > walked[-1][0]][:piece]:
        walked += rest
        mails = [(uid, item) for uid, item in rest if item.serial not in aside]
        identities = [item.identity for _, item in mails]
        numbers = next_numbers(identities, staged, key=key)
        view, staged = world.model[session.connection], staged | frozenset(numbers)
        with world.step(session, view, view, writes=bool(mails)):
            known = session.mailbox.stage().walk(identities)
        assert known == [n in view.ledger for n in numbers]
        yield
        unknown = [one for one, is_known in zip(mails, known, strict=True) if not is_known]
        if new := [(uid, item) for uid, item in unknown if not item.removed]:
            aside |= {item.serial for _, item in new if item.unreadable}
            commit_some(world, session, new)
            yield
    return walked, staged


def _moved(world: World, session: Session, walked: list[tuple[int, Item]]) -> dict[str, str]:
    """Members of the outbox under the new refs; those whose mail is gone are dropped."""
    provider, key = world.providers[session.connection], world.hash_key(session.connection)
    places: dict[str, list[str]] = {}
    for uid, item in walked:
        places.setdefault(fingerprint(item.identity, key=key), []).append(f"{provider.uid_validity}/{uid}")
    moves = {}
    for member in map(bytes.decode, world.client.zrange(world.keys[session.connection].outbox, 0, -1)):
        ref, mark, rest = member.split(" ", 2)
        found = places.get(mark, [])
        if ref in found:
            found.remove(ref)  # committed under its new ref already
            continue
        moves[member] = f"{found[0]} {mark} {rest}" if found else ""
        if found:
            world.serials[found[0]] = world.serials[ref]
            del found[0]
    return moves


def _translated(view: View, moves: dict[str, str]) -> frozenset[tuple[str, str, str]]:
    def named(member: str) -> tuple[str, str, str]:
        ref, _, kind, phase, _ = member.split(" ", 4)
        return ref, kind, phase

    kept = view.outbox - {named(old) for old in moves}
    return kept | {named(new) for new in moves.values() if new}


def must_walk(world: World, session: Session) -> bool:
    """The cursor cannot be relied on."""
    return bool(session.walk) or is_stale(world, session.connection)


def is_stale(world: World, connection: str) -> bool:
    """The cursor is of UIDs that are no more."""
    view, uid_validity = world.model[connection], world.providers[connection].uid_validity
    known = view.cursor.partition("/")[0]
    changed = bool(known) and known != str(uid_validity) and connection not in NAMED
    return changed or view.phase.startswith("Reset")


def walk_on(world: World, session: Session, piece: int = 3) -> None:
    """The next step of the walk."""
    session.walk = session.walk or reset(world, session, piece)
    try:
        next(session.walk)
    except StopIteration:
        session.walk = None


def catch_up(world: World, session: Session) -> None:
    """All that is left to do, undisturbed."""
    while must_walk(world, session):
        walk_on(world, session)
    for _ in range(100):
        before = world.model[session.connection]
        download(world, session, 50)
        heal(world, session)
        act(world, session, 50, group="", stop="")
        if world.model[session.connection] == before:
            break
    for _ in range(3):
        trim(world, session)
