"""Mails that are there and cannot be had: a record each, until they are committed or proven absent (`store.md` 38)."""

import json
from typing import Any

import redis

from mailfetch_fetcher.contract.keys import ConnectionKeys
from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.model import Quarantined


def read_quarantine(link: Link, *, keys: ConnectionKeys) -> list[Quarantined]:
    """All records, in the order of their first failure.

    Raises:
        StoreError: Redis refuses, or a record cannot be read (StoreUnsafe).
    """
    try:
        reply = link.call("HGETALL", keys.quarantine)
    except redis.ResponseError as e:
        raise refused(error_text(e), doing="reading the quarantine") from None
    records = [decode_record(ref.decode(), text.decode()) for ref, text in zip(reply[::2], reply[1::2], strict=True)]
    return sorted(records, key=lambda record: (record.since, record.uid, record.ref))


def encode_record(record: Quarantined) -> str:
    """The record as its hash holds it, under its ref."""
    fields: dict[str, Any] = {
        "kind": record.kind,
        "detail": record.detail,
        "uid": record.uid,
        "size": record.size,
        "since": record.since,
        "attempts": record.attempts,
        "retry": record.retry,
    }
    if record.name:
        fields["name"] = record.name.decode("latin-1")  # any bytes
    return json.dumps(fields)


def decode_record(ref: str, text: str) -> Quarantined:
    """The record behind its text.

    Raises:
        StoreError: it cannot be read (StoreUnsafe).
    """
    try:
        fields = json.loads(text)
        kind = fields["kind"]
        if kind not in ("Unreadable", "TooLarge"):
            raise ValueError(kind)
        return Quarantined(
            ref=ref,
            uid=int(fields["uid"]),
            size=int(fields["size"]),
            kind=kind,
            detail=str(fields["detail"]),
            since=int(fields["since"]),
            attempts=int(fields["attempts"]),
            retry=int(fields["retry"]),
            name=str(fields.get("name", "")).encode("latin-1"),
        )
    except (KeyError, TypeError, ValueError):
        raise StoreError(
            "StoreUnsafe",
            f"the quarantine holds a record that this version cannot read ({ref}); run the version that wrote it, or "
            "remove the record with HDEL, then the mail is not tried again by itself",
        ) from None
