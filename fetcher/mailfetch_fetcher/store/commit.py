"""Builds the one command that commits a batch. Pure: no I/O, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mailfetch_fetcher.contract.keys import ConnectionKeys
from mailfetch_fetcher.store import hashes, scripts
from mailfetch_fetcher.store.model import Batch, Blob, LogLine, Mail, State
from mailfetch_fetcher.store.outbox import member_around_entry

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
    """

    keys: ConnectionKeys
    state: State
    batch: Batch
    owner: str
    tip: str
    new_tip: str
    committed: str
    max_length: int


def check_batch(batch: Batch) -> None:
    """Refuses what no session may send.

    Raises:
        ValueError: a mistake in the program.
    """
    if len(batch.mails) > MOST_MAILS:
        raise ValueError(f"a batch of {len(batch.mails)} mails; at most {MOST_MAILS}")
    for mail in batch.mails:
        if not mail.ref or any(c.isspace() for c in mail.ref):
            raise ValueError(f"'{mail.ref}' cannot name a mail: it is empty or has blanks")


def build_commit(plan: CommitPlan, numbers: Sequence[tuple[int, int]]) -> list[Any]:
    """The EVAL command.

    Args:
        plan: The commit.
        numbers: Occurrence and ledger number of each mail (`hashes.ledger_numbers`).
    """
    keys, batch = plan.keys, plan.batch
    stream = keys.stream
    names = _Names([keys.state, stream.queue, stream.log, keys.outbox, keys.stats, stream.blobs])
    args: list[Any] = [
        plan.owner,
        plan.tip,
        plan.new_tip,
        batch.cursor,
        anchor(plan),
        plan.max_length,
        plan.committed,
        keys.name,
        len(batch.mails),
        sum(mail.size for mail in batch.mails),
        len(batch.log),
    ]
    for mail, (_, number) in zip(batch.mails, numbers, strict=True):
        args += _mail_values(plan, mail, number, names)
    for line in batch.log:
        values = _log_values(line)
        args += (len(values), *values)
    return scripts.evaluate(scripts.COMMIT, keys=names.all, args=args)


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


def _mail_values(plan: CommitPlan, mail: Mail, number: int, names: _Names) -> tuple[Any, ...]:
    """The 18 values of a mail, in the script's order."""
    keys, key = plan.keys, plan.state.hash_key
    blob = mail.body if isinstance(mail.body, Blob) else None
    head, tail = "", ""
    if mail.action:
        head, tail = member_around_entry(mail, mail.action, fingerprint=hashes.fingerprint(mail.identity, key=key))
    return (
        hashes.entry_id(plan.state.state_id, mail.ref),
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
        names.number(keys.known(hashes.bucket(number))),
        hashes.member(number),
        head,
        tail,
    )


def anchor(plan: CommitPlan) -> str:
    """`<uid>:<fingerprint>` of the last mail, or empty if there is none.

    A mailbox whose mail with this UID is another one was replaced.
    """
    if not plan.batch.mails:
        return ""
    last: Mail = plan.batch.mails[-1]
    return f"{last.uid}:{hashes.fingerprint(last.identity, key=plan.state.hash_key)}"


def _log_values(line: LogLine) -> list[str]:
    values = ["category", line.category, "result", line.result, "step", line.step]
    for name, value in line.fields.items():
        values += (name, value)
    return values
