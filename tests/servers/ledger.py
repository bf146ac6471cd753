"""What a source of named mails needs from a store, in memory: the ledger, fingerprints, and one round of a session."""

import hashlib
from collections.abc import Sequence

from mailfetch_fetcher.sources.base import Message, Outcome, PendingAction, Ref
from mailfetch_fetcher.sources.source import Source


def digest(identity: bytes) -> str:
    return hashlib.sha256(identity).hexdigest()[:16]


def action(key: str, identity: bytes, *, kind: str = "Delete", member: str = "") -> PendingAction:
    """A pending action for a mail of another session."""
    return PendingAction(
        key=key,
        fingerprint=digest(identity),
        kind=kind,  # type: ignore[arg-type]
        folder="",
        phase="pending",
        entry="1-1",
        member=member or key,
        same_session=False,
    )


class Ledger:
    """Downloads rounds as a session does, and remembers the names."""

    def __init__(self) -> None:
        self.names: set[bytes] = set()
        self.asked: list[int] = []
        """How many names each question held."""
        self.pending: list[PendingAction] = []
        self.events: list[str] = []

    def known(self, names: Sequence[bytes]) -> list[bool]:
        self.asked.append(len(names))
        return [name in self.names for name in names]

    def download(self, source: Source) -> list[bytes]:
        """The bodies that are new, in the order they came."""
        bodies = []
        source.snapshot("", known=self.known)
        for window in source.discover("", known=self.known):
            bodies += self.take(source, window.refs)
        return bodies

    def take(self, source: Source, refs: Sequence[Ref]) -> list[bytes]:
        bodies = []
        for item in source.fetch(refs):
            assert isinstance(item, Message), item
            bodies.append(item.raw if item.raw is not None else b"".join(item.parts or ()))
            assert item.name not in self.names, "downloaded twice"
            self.names.add(item.name)
            self.pending.append(action(item.ref.key, item.identity))
        return bodies

    def act(self, source: Source) -> list[Outcome]:
        """Carries out what is pending; what failed stays."""
        outcomes = source.finish(
            self.pending,
            digest=digest,
            advance=lambda actions, _phase: actions,
            confirm=lambda: self.events.append("confirmed"),
        )
        self.pending = [outcome.action for outcome in outcomes if outcome.result == "failed"]
        return outcomes
