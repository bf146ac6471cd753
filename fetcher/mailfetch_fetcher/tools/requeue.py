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

REMEMBERED_MS = 86_400_000
"""How long it is known that a request was carried out, and that an entry has a copy."""
TRIES = 3


def requeue(streams: Sequence[Opened], refs: Sequence[str], *, now: Callable[[], datetime]) -> Requeued:
    """Requeues what may be; what became of each mail is always told, as saying it again would make a second copy.

    Raises:
        StoreError: Redis refuses, or cannot be reached; nothing was requeued.
    """
    done: list[Copied] = []
    no: list[Refused] = []
    lost = ""
    for ref, found in find_all(streams, refs).items():
        if lost:
            no.append(Refused(ref=ref, reason=f"not tried, as {lost}"))
            continue
        try:
            opened, mail = only(ref, found)
            done.append(_copy(opened, mail, committed=rfc3339(now())))
        except (NoSuchMail, Ambiguous, _Refusal) as e:
            no.append(Refused(ref=ref, reason=str(e)))
        except StoreError as e:
            lost = e.message if opened.lost else ""
            doubt = "nobody knows whether it was (see kubectl mailfetch queue before you try again): " if lost else ""
            no.append(Refused(ref=ref, reason=doubt + e.message))
    return Requeued(requeued=done, refused=no)


class _Refusal(Exception):
    """This mail is not requeued; the text says why."""


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


def _copy(opened: Opened, mail: Mail, *, committed: str) -> Copied:
    """The copy. After a lost link the same request is sent again.

    Raises:
        _Refusal: this mail may not be requeued, or cannot.
        StoreError: nothing was changed, or (a lost link) it may have been.
    """
    if reason := why_not(mail):
        raise _Refusal(reason)
    keys, blob, old_id = opened.keys, mail.fields.get("blob", ""), mail.fields["id"]
    connection = keys.connection(mail.fields.get("connection", ""))
    new_id = f"{old_id.partition('~')[0]}~{secrets.token_hex(4)}"
    blob_id = secrets.token_hex(16)
    names = [keys.queue, keys.marks, keys.log, keys.blobs, keys.requeued(new_id), keys.requeued(mail.entry)]
    names += [connection.outbox, connection.state, *([blob, keys.blob(blob_id)] if blob else [])]
    args = [mail.entry, connection.name, new_id, blob_id, committed, DELIVERIES, REMEMBERED_MS]
    for left in reversed(range(TRIES)):
        try:
            kind, *rest = map(text, opened.run(scripts.REQUEUE, keys=names, args=args))
            break
        except StoreError:
            if not left or not opened.lost:
                raise
    if kind in ("OK", "DONE"):
        return Copied(entry=mail.entry, new_entry=rest[0], id=old_id, new_id=new_id)
    if kind == "FAILED":
        raise refused(rest[0], doing=f"requeueing {old_id}")
    if kind == "NOBLOB":
        raise _Refusal(f"its body is gone from Redis or damaged: {blob}")
    if kind == "COPIED":
        raise _Refusal(f"it was requeued already: its copy {rest[0]} is in the queue")
    raise _Refusal("it left the queue meanwhile")
