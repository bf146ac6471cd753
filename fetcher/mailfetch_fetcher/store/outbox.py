"""Members of the outbox: one text that says all of a pending after-download action.

`<ref> <fingerprint> <kind> <phase> <entry> <folder>`, e.g. `1700000000/17 9c0d… Move pending 1706-0 Done`. The ref has
no blanks; the folder comes last because it may; Delete has none, or `permanently`. Where mails have names (POP3) the
fingerprint is followed by `:` and the mail's number in the ledger. Actions at the mailbox are made from these only,
never from the ledger.
"""

from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.sources.base import ActionPhase, PendingAction
from mailfetch_fetcher.store.model import Mail, WantedAction

_KINDS = ("MarkSeen", "Delete", "Move")
_PHASES = ("pending", "copying", "copied")


def member_around_entry(mail: Mail, action: WantedAction, *, fingerprint: str) -> tuple[str, str]:
    """The member of a new action in two pieces; the commit puts the id of the queue entry between them."""
    return f"{mail.ref} {fingerprint} {action.kind} pending ", f" {action.folder}"


def with_phase(member: str, phase: ActionPhase) -> str:
    """The same action in another phase."""
    ref, fingerprint, kind, _, rest = member.split(" ", 4)
    return f"{ref} {fingerprint} {kind} {phase} {rest}"


def ref_of(member: str) -> str:
    """The mail that an action is about."""
    return member.split(" ", 1)[0]


def queue_entry(member: str) -> str:
    """The queue entry of the mail; empty where this version cannot read it."""
    parts = member.split(" ", 5)
    return parts[4] if len(parts) > 4 else ""


def ledger_member(member: str) -> str:
    """The mail's number in the ledger, as it stands there; empty where mails have no names (IMAP)."""
    return member.partition(" ")[2].partition(" ")[0].partition(":")[2]


def parse_member(member: str, *, same_session: bool) -> PendingAction:
    """The action behind a member.

    Raises:
        StoreError: this version cannot read it (StoreUnsafe); nothing may be done at the mailbox.
    """
    try:
        ref, fingerprint, kind, phase, entry, folder = member.split(" ", 5)
        parse_entry(entry)
        int(ref.rpartition("/")[2])
        return PendingAction(
            key=ref,
            fingerprint=fingerprint.partition(":")[0],
            kind=_KINDS[_KINDS.index(kind)],  # type: ignore[arg-type]
            folder=folder,
            phase=_PHASES[_PHASES.index(phase)],  # type: ignore[arg-type]
            entry=entry,
            member=member,
            same_session=same_session,
        )
    except ValueError:
        raise StoreError(
            "StoreUnsafe",
            f"the outbox holds an after-download action that this version cannot read ('{member}'); "
            "run the version that wrote it, or remove it with ZREM",
        ) from None


def parse_entry(entry: str) -> tuple[int, int]:
    """Id of a stream entry as numbers that can be compared: milliseconds and counter.

    Raises:
        ValueError: it is none.
    """
    milliseconds, _, counter = entry.partition("-")
    return int(milliseconds), int(counter)
