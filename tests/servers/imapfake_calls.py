"""What a session passes to an IMAP source, for tests without a session."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from mailfetch_fetcher.sources.base import (
    Absent,
    ActionKind,
    ActionPhase,
    Message,
    Outcome,
    PendingAction,
    Ref,
    Unreadable,
)
from mailfetch_fetcher.sources.imap import ImapSource

Result = Message | Absent | Unreadable


def never(_: Sequence[bytes]) -> Sequence[bool]:
    """For `known`: IMAP never asks the ledger."""
    raise AssertionError("the ledger was asked")


def digest(identity: bytes) -> str:
    """A fingerprint that can be read."""
    return identity.hex()


class Outbox:
    """Notes every phase that is made durable, and every confirmation of the lease."""

    def __init__(self) -> None:
        self.phases: list[tuple[list[int], ActionPhase]] = []
        self.now: dict[int, PendingAction] = {}
        self.confirmed = 0

    def advance(self, actions: Sequence[PendingAction], phase: ActionPhase) -> Sequence[PendingAction]:
        self.phases.append(([action.uid for action in actions], phase))
        advanced = [replace(action, phase=phase, member=f"{action.uid}/{phase}") for action in actions]
        self.now.update({action.uid: action for action in advanced})
        return advanced

    def confirm(self) -> None:
        self.confirmed += 1


def action(
    uid: int,
    kind: ActionKind,
    *,
    fingerprint: str = "",
    phase: ActionPhase = "pending",
    same_session: bool = True,
    uid_validity: str = "1",
) -> PendingAction:
    return PendingAction(
        key=f"{uid_validity}/{uid}",
        fingerprint=fingerprint,
        kind=kind,
        folder="Done" if kind == "Move" else "",
        phase=phase,
        entry="1-1",
        member=str(uid),
        same_session=same_session,
    )


def finish(
    source: ImapSource,
    *actions: PendingAction,
    outbox: Outbox | None = None,
    confirm: Callable[[], None] | None = None,
) -> list[Outcome]:
    box = outbox or Outbox()
    return source.finish(actions, digest=digest, advance=box.advance, confirm=confirm or box.confirm)


def results(outcomes: list[Outcome]) -> dict[int, str]:
    return {outcome.action.uid: outcome.result for outcome in outcomes}


def fetch(source: ImapSource, refs: Sequence[Ref]) -> list[Result]:
    """Everything; the parts of large mails joined into `raw`."""
    return [_whole(item) for item in source.fetch(refs)]


def download(source: ImapSource, cursor: str = "") -> list[Result]:
    """Everything beyond the cursor."""
    return [_whole(m) for window in source.discover(cursor, known=never) for m in source.fetch(window.refs)]


def messages(source: ImapSource, cursor: str = "") -> list[Message]:
    """The same, where nothing may be missing."""
    found = download(source, cursor)
    mails = [item for item in found if isinstance(item, Message)]
    assert len(mails) == len(found), found
    return mails


def fingerprints(source: ImapSource) -> dict[int, str]:
    """By UID, as the store has them after the download."""
    return {mail.ref.uid: digest(mail.identity) for mail in messages(source)}


def bodies(found: Sequence[Result]) -> list[bytes]:
    mails = [item for item in found if isinstance(item, Message)]
    assert len(mails) == len(found), found
    return [mail.raw or b"" for mail in mails]


def _whole(item: Result) -> Result:
    if isinstance(item, Message) and item.parts is not None:
        return replace(item, raw=b"".join(item.parts), parts=None)
    return item
