"""Builds the one command that commits a batch. Pure: no I/O, no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mailfetch_fetcher.contract.keys import BUCKETS, ConnectionKeys
from mailfetch_fetcher.store import hashes, scripts
from mailfetch_fetcher.store.model import Batch, Blob, LogLine, Mail, Quarantined, State
from mailfetch_fetcher.store.outbox import member_around_entry
from mailfetch_fetcher.store.quarantine import encode_record

MOST_MAILS = 4095
"""Mails of one batch: the outbox's order leaves room for so many per commit."""


@dataclass(frozen=True, kw_only=True)
class CommitPlan:
    """What stays the same while a batch is being committed, however often it is sent.

    Attributes:
        tip: Token of the state as it was read.
        new_tip: Token of the state after this commit; sending it again is recognised by it.
        committed: Time of the commit, RFC 3339.
        max_length: Most entries of the queue.
        staged: Members that the staged ledger must have; None if the batch leaves it alone.
        returns: How often names like it left the ledger before, by name; absent: never.
    """

    keys: ConnectionKeys
    state: State
    batch: Batch
    owner: str
    tip: str
    new_tip: str
    committed: str
    max_length: int
    staged: int | None = None
    returns: Mapping[bytes, int] = field(default_factory=dict)


def check_batch(batch: Batch) -> None:
    """Refuses what no session may send.

    Raises:
        ValueError: a mistake in the program.
    """
    if len(batch.mails) > MOST_MAILS:
        raise ValueError(f"a batch of {len(batch.mails)} mails; at most {MOST_MAILS}")
    for ref in [mail.ref for mail in batch.mails] + [record.ref for record in batch.quarantine]:
        if not ref or any(c.isspace() for c in ref):
            raise ValueError(f"'{ref}' cannot name a mail: it is empty or has blanks")
    names = [mail.name for mail in batch.mails if mail.name and _enters_ledger(mail, batch)]
    if len(set(names)) < len(names):
        raise ValueError("two mails of a batch have the same name")
    if batch.staged and (batch.mails or any(record.name for record in batch.quarantine)):
        raise ValueError("a batch that exchanges the ledger cannot add to it")


def number_mails(plan: CommitPlan, *, known: Mapping[bytes, int]) -> list[tuple[int, int] | None]:
    """Occurrence and ledger number of each mail of the batch; None for one that has none.

    Args:
        plan: The commit.
        known: Occurrences of an identity that the ledger has already; absent means none.
    """
    key, mails = plan.state.hash_key, plan.batch.mails
    counted = [mail.identity for mail in mails if not mail.name and _enters_ledger(mail, plan.batch)]
    numbers = iter(hashes.ledger_numbers(counted, key=key, known=known))
    found: list[tuple[int, int] | None] = []
    for mail in mails:
        if mail.name:
            found.append((1, hashes.ledger_number(mail.name, 1, key=key)))
        else:
            found.append(next(numbers) if _enters_ledger(mail, plan.batch) else None)
    return found


def build_commit(plan: CommitPlan, numbers: Sequence[tuple[int, int] | None]) -> list[Any]:
    """The EVAL command.

    Args:
        plan: The commit.
        numbers: What `number_mails` says.
    """
    keys, batch = plan.keys, plan.batch
    stream = keys.stream
    names = _Names([keys.state, stream.queue, stream.log, keys.outbox, keys.stats, stream.blobs, keys.quarantine])
    fields = _state_fields(plan)
    parts: list[Any] = [*fields]
    for mail, number in zip(batch.mails, numbers, strict=True):
        parts += _mail_values(plan, mail, number, names)
    for record in batch.quarantine:
        parts += _record_values(plan, record, names)
    parts += batch.released
    for old, new in batch.outbox.items():
        _, _, kind, _, entry, _ = old.split(" ", 5)
        parts += (old, new, kind, entry)
    for line in batch.log:
        values = _log_values(line)
        parts += (len(values), *values)
    args = [
        *(plan.owner, plan.tip, plan.new_tip, plan.max_length, plan.committed, keys.name),
        sum(mail.size for mail in batch.mails),
        1 if _is_quiet(batch) else 0,
        *((-1, 0) if plan.staged is None else (plan.staged, BUCKETS)),
        *(len(fields), len(batch.mails), len(batch.quarantine), len(batch.released), len(batch.outbox), len(batch.log)),
        *parts,
    ]
    last = (
        [] if plan.staged is None else [name(i) for name in (keys.stage, keys.known, keys.swap) for i in range(BUCKETS)]
    )
    return scripts.evaluate(scripts.COMMIT, keys=names.all + last, args=args)


def anchor(plan: CommitPlan) -> str:
    """`<uid>:<fingerprint>` of a mail up to the cursor, or empty; a mailbox with another mail there was replaced."""
    batch = plan.batch
    if batch.anchor is not None:
        return batch.anchor
    if batch.cursor is not None and batch.mails:
        last = batch.mails[-1]
        return f"{last.uid}:{hashes.fingerprint(last.identity, key=plan.state.hash_key)}"
    return plan.state.anchor if batch.phase is None else ""


class _Names:
    """The keys of the command; each is named once and then spoken of by its number."""

    def __init__(self, first: list[str]) -> None:
        self.all = first
        self._index: dict[str, int] = {}

    def number(self, name: str) -> int:
        if name not in self._index:
            self.all.append(name)
            self._index[name] = len(self.all)
        return self._index[name]


def _enters_ledger(mail: Mail, batch: Batch) -> bool:
    """The mail enters the ledger: not if it was committed before and is only asked for once more."""
    return not mail.refetch or mail.ref in batch.released


def _is_quiet(batch: Batch) -> bool:
    """Only what is looked at all the time changes: no line in the log."""
    return batch == Batch(group_seen=batch.group_seen)


def _state_fields(plan: CommitPlan) -> list[Any]:
    """Names and values of the state's fields that change (owner, tip and seq are the script's own)."""
    batch = plan.batch
    new_anchor = anchor(plan)
    fields: dict[str, Any] = {
        "cursor": batch.cursor,
        "anchor": None if new_anchor == plan.state.anchor else new_anchor,
        "phase": batch.phase,
        "gateEpoch": batch.gate_epoch,
        "refetch": batch.refetch,
        "groupSeen": batch.group_seen,
    }
    return [item for name, value in fields.items() if value is not None for item in (name, value)]


def _mail_values(plan: CommitPlan, mail: Mail, number: tuple[int, int] | None, names: _Names) -> tuple[Any, ...]:
    """The 19 values of a mail, in the script's order."""
    keys = plan.keys
    blob = mail.body if isinstance(mail.body, Blob) else None
    fingerprint = hashes.fingerprint(mail.identity, key=plan.state.hash_key)
    member = hashes.member(number[1]) if number else ""
    head, tail = "", ""
    if mail.action:
        word = f"{fingerprint}:{member}" if mail.name else fingerprint
        head, tail = member_around_entry(mail, mail.action, fingerprint=word)
    ref = f"{mail.ref} {fingerprint}"  # a name or UID may be used again for another mail
    enters = _enters_ledger(mail, plan.batch)
    return (
        hashes.entry_id(plan.state.state_id, ref, returns=plan.returns.get(mail.name, 0), refetch=mail.refetch),
        mail.folder,
        mail.uid,
        mail.message_id,
        mail.sender,
        mail.to,
        mail.subject,
        mail.date,
        mail.received,
        blob.size if blob else mail.size,
        mail.sha256,
        mail.flags,
        blob.blob_id if blob else mail.body,
        names.number(keys.stream.blob(blob.blob_id)) if blob else 0,
        names.number(keys.known(hashes.bucket(number[1]))) if number and enters else 0,
        member,
        head,
        tail,
        "counted" if not mail.name else "any" if mail.ref in plan.batch.released else "new",
    )


def _record_values(plan: CommitPlan, record: Quarantined, names: _Names) -> tuple[Any, ...]:
    """Ref, record, ledger bucket and member: a named mail in quarantine is known, so that it is not taken for new."""
    if not record.name:
        return (record.ref, encode_record(record), 0, "")
    number = hashes.ledger_number(record.name, 1, key=plan.state.hash_key)
    bucket = names.number(plan.keys.known(hashes.bucket(number)))
    return (record.ref, encode_record(record), bucket, hashes.member(number))


def _log_values(line: LogLine) -> list[str]:
    values = ["category", line.category, "result", line.result, "step", line.step]
    for name, value in line.fields.items():
        values += (name, value)
    return values
