"""How many mails an enabled connection would download now, and how sure that is. Reads only."""

from collections.abc import Mapping

from mailfetch_fetcher.baseline import since_of
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.probe import Estimate
from mailfetch_fetcher.names import is_flood
from mailfetch_fetcher.sources.base import Snapshot
from mailfetch_fetcher.sources.source import Source
from mailfetch_fetcher.store import hashes
from mailfetch_fetcher.store.model import BASELINE, RESET, State
from mailfetch_fetcher.store.read import LedgerView

COMPARED = 100_000
"""Mails that are compared with the ledger at most: more would take minutes, and memory."""


def _nothing_known(names: object) -> list[bool]:
    raise AssertionError("the ledger of a new mailbox is not asked")


def count(source: Source, a: Assignment, *, state: State | None, ledger: LedgerView | None) -> Estimate:
    """Counts what is new.

    Args:
        source: The open mailbox.
        a: The connection.
        state: Its state, if there is one of this mailbox.
        ledger: The ledger of that state.
    """
    if state is None or ledger is None or state.phase == BASELINE:
        return _first(source, a)
    if not source.by_name:
        why = source.changed(
            state.cursor, anchor=state.anchor, digest=lambda i: hashes.fingerprint(i, key=state.hash_key)
        )
        if why or state.phase.startswith(RESET):
            return _after_reset(source, a, state, ledger, why)
    look = source.snapshot(state.cursor, known=ledger.known, unseen=True)
    notes = [] if look.exact else ["the server does not tell the exact number beyond the checkpoint"]
    if state.phase.startswith(RESET):
        notes.append("known mails are missing and unknown ones appeared: probably these are the same under new names")
    elif source.by_name and _may_be_renamed(look, a, state):
        notes.append(
            f"hardly any of them is known, although {state.messages} mails were downloaded before: if the mailbox was "
            "migrated or the server renamed its mails, these are the same mails and would come once more"
        )
    elif source.by_name and look.known:
        notes.append(f"{look.known} of the {look.total} mails were downloaded or left out before")
    if a.spec.after_download.action == "MarkSeen" and look.unseen > look.new:
        notes.append(
            f"{look.unseen - look.new} of the mails that were downloaded are unread; the read flag does not count, so "
            "they are not downloaded again (mailfetch.dev/refetch does that)"
        )
    known = bool(state.cursor or state.messages)
    method = "Ledger" if source.by_name else "UidRange" if known else "Count"
    return _estimate(look, new=look.new, mailbox="Known" if known else "New", method=method, notes=notes)


def _may_be_renamed(look: Snapshot, a: Assignment, state: State) -> bool:
    """As many unknown mails as nobody approved; where mails are deleted that is usual."""
    most = a.spec.approval.max_messages
    return a.spec.after_download.action != "Delete" and state.messages > 0 and is_flood(look, most=most)


def _first(source: Source, a: Assignment) -> Estimate:
    """Of a mailbox that was never downloaded."""
    look = source.snapshot("", known=lambda names: [False] * len(names), unseen=True)
    backlog = a.spec.backlog
    if backlog.start_from == "Beginning":
        read = look.total - look.unseen
        notes = [f"{read} of the {look.total} mails are read already; they count"] if look.unseen >= 0 and read else []
        return _estimate(look, new=look.new, mailbox="New", method="Count", notes=notes)
    if backlog.start_from == "Now":
        notes = ["spec.backlog.startFrom Now: the mails that are there when downloading begins are left out"]
        return _estimate(look, new=0, mailbox="New", method="Baseline", notes=notes)
    found = source.baseline(since=since_of(backlog))
    if not source.by_name:
        beyond = source.snapshot(found.cursor, known=_nothing_known)
        notes = [f"mails received before {backlog.since} are left out (spec.backlog.since)"]
        return _estimate(look, new=beyond.new, mailbox="New", method="Baseline", notes=notes, exact=False)
    new = look.total - sum(map(len, found.old))
    if source.lasting_names:
        notes = [f"mails received before {backlog.since} are left out (spec.backlog.since)"]
    else:
        notes = [f"mails whose own Date header is before {backlog.since} are left out; POP3 tells no other date"]
    return _estimate(look, new=new, mailbox="New", method="Baseline", notes=notes, doubtful=not source.lasting_names)


def _after_reset(source: Source, a: Assignment, state: State, ledger: LedgerView, why: str) -> Estimate:
    """The server numbers its mails anew: counts those that the ledger does not recognise."""
    look = source.snapshot("", known=_nothing_known, unseen=True)
    reason = why or "the mailbox was replaced"
    if look.total > COMPARED:
        notes = [f"{reason}: all mails are counted as new, most of them are probably in the queue already"]
        return _estimate(look, new=look.total, mailbox="Known", method="Count", notes=notes, doubtful=True)
    new, total = 0, 0
    for piece in source.listing():
        known = ledger.walk([mail.name for mail in piece.mails])
        total += len(piece.mails)
        new += known.count(False)
    notes = [f"{reason}: of {total} mails {new} are not recognised"]
    return _estimate(look, new=new, mailbox="Known", method="Comparison", notes=notes)


def _estimate(
    look: Snapshot,
    *,
    new: int,
    mailbox: str,
    method: str,
    notes: list[str],
    exact: bool = True,
    doubtful: bool = False,
) -> Estimate:
    exact, doubtful = exact and look.exact, doubtful or bool(look.doubt)
    if look.doubt:
        notes = [look.doubt, *notes]
    return Estimate(
        new_messages=new,
        total_messages=look.total,
        unseen_messages=max(look.unseen, 0),
        mailbox="Known" if mailbox == "Known" else "New",
        accuracy="Low" if doubtful else "Exact" if exact else "Fair",
        confidence="Low" if doubtful else "High" if exact else "Medium",
        method=method,
        notes=tuple(notes),
    )


def limit_notes(source: Source) -> list[str]:
    """What the server allows of a session."""
    if source.login_delay:
        return [f"the server wants {source.login_delay:g} seconds between two logins, so a round comes no sooner"]
    return []


def audience_notes(a: Assignment, groups: Mapping[str, bool]) -> list[str]:
    """Whether anybody reads what would be downloaded.

    Args:
        a: The connection.
        groups: The consumer groups of its stream, and whether each has read anything yet.
    """
    queue = f"mail:{{{a.namespace}/{a.stream}}}:queue"
    if any(groups.values()):
        return []
    named = sorted({*a.spec.queue.consumer_groups, *groups})
    if not named:
        return [f"no consumer group reads this stream ({queue}) yet: the mails wait in it (docs/consumers.md)"]
    many = len(named) > 1
    who = f"the consumer group{'s' * many} {', '.join(named)} {'have' if many else 'has'}"
    return [f"{who} not read anything of this stream ({queue}) yet: the mails wait in it (docs/consumers.md)"]
