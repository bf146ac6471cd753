"""What Redis holds, read with a plain client, and what it should hold: the model's own idea of ledger and outbox.

Nothing of the product is used here: the hashes are written down again from the specification.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from mailfetch_fetcher.contract.keys import ConnectionKeys, StreamKeys
from tests.integration.store.machine_provider import serial_of

_IDS = """
local ids = {}
for i, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do ids[i] = entry[1] end
return ids
"""
STREAM = StreamKeys(namespace="helpdesk", stream="support")


@dataclass(frozen=True, kw_only=True)
class View:
    """A connection's part of Redis as far as commits change it.

    Attributes:
        ledger: Numbers.
        outbox: Ref, kind and phase of each action.
        quarantine: Refs.
        stored: Serial of each mail that ever stood in the stream, with the mark of a refetch or an empty text.
    """

    cursor: str
    phase: str
    refetch: str
    ledger: frozenset[int]
    outbox: frozenset[tuple[str, str, str]]
    quarantine: frozenset[str]
    stored: frozenset[tuple[int, str]]

    def differs(self, other: "View") -> str:
        """For messages of failed tests."""
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self)}
        return "; ".join(f"{name}: {one} instead of {two}" for name, (one, two) in pairs.items() if one != two)


EMPTY = View(
    cursor="", phase="", refetch="", ledger=frozenset(), outbox=frozenset(), quarantine=frozenset(), stored=frozenset()
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry of the stream, once and for all."""

    entry: str
    id: str
    connection: str
    serial: int
    mark: str
    blob: str


def number(name: bytes, occurrence: int, *, key: bytes) -> int:
    """The ledger's number, signed, as Redis holds it."""
    digest = blake2b(occurrence.to_bytes(4, "big") + name, digest_size=8, key=key).digest()
    return int.from_bytes(digest, "big", signed=True)


def fingerprint(identity: bytes, *, key: bytes) -> str:
    return blake2b(identity, digest_size=8, key=key).hexdigest()


def refetch_mark(value: str) -> str:
    """What the id of an entry carries that was asked for once more."""
    return blake2b(value.encode(), digest_size=4).hexdigest() if value else ""


def next_numbers(identities: Iterable[bytes], taken: frozenset[int], *, key: bytes) -> list[int]:
    """The next free occurrence of each."""
    used, found = set(taken), []
    for identity in identities:
        n = 1
        while (candidate := number(identity, n, key=key)) in used:
            n += 1
        used.add(candidate)
        found.append(candidate)
    return found


class Observer:
    """Looks at everything after each step and remembers what ever stood in the stream."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.history: dict[str, Entry] = {}
        self.there: set[str] = set()
        self.owners: dict[str, str] = {}
        self.seqs: dict[str, int] = {}
        self.state_ids: dict[str, str] = {}

    def look(self) -> set[str]:
        """Reads the stream; returns the entries that vanished since the last look."""
        now = {key.decode() for key in self.client.eval(_IDS, 1, STREAM.queue)}
        for entry in sorted(now - self.history.keys(), key=_order):
            ((_, fields),) = self.client.xrange(STREAM.queue, entry, entry)
            self._enter(entry, {k.decode(): v for k, v in fields.items()})
        self._check_blobs(now)
        vanished, self.there = self.there - now, now
        return vanished

    def view(self, keys: ConnectionKeys) -> View:
        """The connection now; also checks what may never happen to a state."""
        state = {k.decode(): v.decode() for k, v in self.client.hgetall(keys.state).items()}
        if not state:
            assert keys.name not in self.state_ids, "the state vanished"
            return EMPTY
        self._check_state(keys, state)
        names = self.client.keys(keys.prefix + ":known:*")
        members = self._all([("SMEMBERS", name) for name in names])
        outbox = [member.decode().split(" ", 5) for member in self.client.zrange(keys.outbox, 0, -1)]
        for ref, _, _, _, entry, _ in outbox:
            assert self.history[entry].connection == keys.name, f"the action of {ref} names the entry {entry}"
        return View(
            cursor=state.get("cursor", ""),
            phase=state["phase"],
            refetch=state.get("refetch", ""),
            ledger=frozenset(int(member) for bucket in members for member in bucket),
            outbox=frozenset((ref, kind, phase) for ref, _, kind, phase, _, _ in outbox),
            quarantine=frozenset(ref.decode() for ref in self.client.hkeys(keys.quarantine)),
            stored=frozenset((e.serial, e.mark) for e in self.history.values() if e.connection == keys.name),
        )

    def log(self, result: str) -> list[dict[str, str]]:
        """Lines of the Incoming Mail Log with this result."""
        lines = [{k.decode(): v.decode() for k, v in fields.items()} for _, fields in self.client.xrange(STREAM.log)]
        return [line for line in lines if line["result"] == result]

    def acknowledged(self, group: str) -> set[str]:
        """Entries that were delivered to the group and are not pending."""
        found = [g for g in self._groups() if g["name"] == group.encode()]
        if not found:
            return set()
        last = _order(found[0]["last-delivered-id"].decode())
        pending = {p["message_id"].decode() for p in self.client.xpending_range(STREAM.queue, group, "-", "+", 10_000)}
        return {entry for entry in self.there if _order(entry) <= last and entry not in pending}

    def _groups(self) -> Sequence[Mapping[str, bytes]]:
        groups: Sequence[Mapping[str, bytes]] = (
            self.client.xinfo_groups(STREAM.queue) if self.client.exists(STREAM.queue) else []
        )
        return groups

    def _enter(self, key: str, fields: Mapping[str, bytes]) -> None:
        """A new entry: never the same mail or the same id again, and what it says of its body holds."""
        body = fields["raw"] if "raw" in fields else self.client.get(fields["blob"])
        assert body is not None, f"{key} has no body"
        claims = (fields["sha256"].decode(), int(fields["size"]))
        assert claims == (hashlib.sha256(body).hexdigest(), len(body)), f"{key} claims {claims}"
        name = fields["id"].decode()
        made = Entry(
            entry=key,
            id=name,
            connection=fields["connection"].decode(),
            serial=serial_of(body),
            mark=name.partition("~")[2],
            blob=fields.get("blob", b"").decode(),
        )
        for known in self.history.values():
            assert known.id != made.id, f"the id {made.id} came twice"
            assert (known.serial, known.mark) != (made.serial, made.mark), f"mail {made.serial} came twice"
        self.history[key] = made

    def _check_blobs(self, now: set[str]) -> None:
        """I7: the blob of an entry is there for good."""
        blobs = [self.history[entry] for entry in now if self.history[entry].blob]
        looks = self._all([(command, e.blob) for e in blobs for command in ("STRLEN", "PTTL")])
        for entry, length, left in zip(blobs, looks[::2], looks[1::2], strict=True):
            assert length > 65_536, f"the blob of {entry} has {length} bytes"
            assert left == -1, f"the blob of {entry} goes in {left} ms"

    def _check_state(self, keys: ConnectionKeys, state: Mapping[str, str]) -> None:
        """I14, I15."""
        assert self.state_ids.setdefault(keys.name, state["stateId"]) == state["stateId"]
        assert int(state["seq"]) >= self.seqs.get(keys.name, 0), "seq fell"
        self.seqs[keys.name] = int(state["seq"])
        self.owners[keys.name] = state.get("owner", "")

    def _all(self, commands: Sequence[tuple[str, Any]]) -> list[Any]:
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = pipeline.execute()
        return answers


def _order(entry: str) -> tuple[int, int]:
    milliseconds, _, counter = entry.partition("-")
    return int(milliseconds), int(counter)
