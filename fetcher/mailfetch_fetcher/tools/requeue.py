"""`tools requeue`: puts copies of mails at the end of the queue, so that consumers get them once more."""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime

from mailfetch_fetcher.clock import rfc3339
from mailfetch_fetcher.contract.tools import DELIVERIES
from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.failures import refused
from mailfetch_fetcher.tools.find import find_all, only
from mailfetch_fetcher.tools.model import Ambiguous, Copied, Mail, NoSuchMail, Refused, Requeued
from mailfetch_fetcher.tools.opened import Opened, text

REMEMBERED_MS = 3_600_000
"""How long a request is recognised that is sent again."""
TRIES = 3


def requeue(streams: Sequence[Opened], refs: Sequence[str], *, now: Callable[[], datetime]) -> Requeued:
    """Requeues what may be.

    Raises:
        StoreError: Redis refuses, or cannot be reached; mails before this one are requeued.
    """
    done: list[Copied] = []
    no: list[Refused] = []
    for ref, found in find_all(streams, refs).items():
        try:
            opened, mail = only(ref, found)
        except (NoSuchMail, Ambiguous) as e:
            no.append(Refused(ref=ref, reason=str(e)))
            continue
        reason = why_not(mail)
        copied = None if reason else _copy(opened, mail, committed=rfc3339(now()))
        if copied:
            done.append(copied)
        else:
            no.append(Refused(ref=ref, reason=reason or "it left the queue meanwhile"))
    return Requeued(requeued=done, refused=no)


def why_not(mail: Mail) -> str:
    """Why a mail cannot be requeued in its state; empty: it can."""
    verdict = mail.verdict
    if verdict.state == "Quarantined":
        connection = mail.fields["connection"]
        return (
            "it is in quarantine, as it could not be downloaded; to try again: kubectl mailfetch refetch "
            f"{connection} quarantined"
        )
    if verdict.state == "New":
        return f"it is New and waits in the queue as it is{f': {verdict.reason}' if verdict.reason else ''}"
    if verdict.state == "Processing":
        return (
            f"consumer {verdict.consumer} of group {verdict.group} is handling it ({verdict.deliveries} deliveries); "
            f"if that never ends, it becomes Failed with more than {DELIVERIES} deliveries, or its consumer marks it"
        )
    return ""


def _copy(opened: Opened, mail: Mail, *, committed: str) -> Copied | None:
    """The copy; None if the mail is not there any more. After a lost link the same request is sent again.

    Raises:
        StoreError: nothing was changed, or (a lost link) it may have been.
    """
    keys, blob = opened.keys, mail.fields.get("blob", "")
    connection = keys.connection(mail.fields.get("connection", ""))
    new_id = f"{mail.fields['id'].partition('~')[0]}~{secrets.token_hex(4)}"
    blob_id = secrets.token_hex(16)
    names = [keys.queue, keys.marks, keys.log, keys.blobs, keys.requeued(new_id), connection.outbox, connection.state]
    names += [blob, keys.blob(blob_id)] if blob else []
    args = [mail.entry, connection.name, new_id, blob_id, committed, DELIVERIES, REMEMBERED_MS]
    for left in reversed(range(TRIES)):
        try:
            kind, *rest = map(text, opened.run(scripts.REQUEUE, keys=names, args=args))
            break
        except StoreError:
            if not left or not opened.lost:
                raise
    if kind in ("OK", "DONE"):
        return Copied(entry=mail.entry, new_entry=rest[0], id=mail.fields["id"], new_id=new_id)
    if kind == "FAILED":
        raise refused(rest[0], doing=f"requeueing {mail.fields['id']}")
    if kind == "NOBLOB":
        raise StoreError("StoreUnsafe", f"the body of {mail.fields['id']} is gone from Redis or damaged: {blob}")
    return None
