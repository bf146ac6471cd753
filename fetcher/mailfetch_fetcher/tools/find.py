"""Finds the mails that people name: by `id`, by entry, by Message-ID, or by the ref of a quarantined one."""

import re
from collections.abc import Sequence

from mailfetch_fetcher.tools.model import Ambiguous, Mail, NoSuchMail, parse_id
from mailfetch_fetcher.tools.opened import Opened
from mailfetch_fetcher.tools.overview import named_groups
from mailfetch_fetcher.tools.queue import by_ids, quarantined

_ENTRY = re.compile(r"\d+-\d+")
_MOST_NAMED = 10


def entry_values(ref: str) -> list[tuple[str, str]]:
    """Fields of queue or log that may hold what people typed."""
    bare = ref.removeprefix("<").removesuffix(">")
    pairs = [("id", ref), ("entry", ref), ("ref", ref), ("message_id", bare), ("message_id", f"<{bare}>")]
    return pairs if bare else []  # many mails have no Message-ID


def find_all(streams: Sequence[Opened], refs: Sequence[str]) -> dict[str, list[tuple[Opened, Mail]]]:
    """The mails behind each ref, newest first; none, one, or several (of a Message-ID that repeats).

    Raises:
        StoreError: Redis refuses, or the link failed.
    """
    found: dict[str, list[tuple[Opened, Mail]]] = {ref: [] for ref in refs}
    for opened in streams:
        for ref, mails in _find_in(opened, list(found)).items():
            found[ref] += [(opened, mail) for mail in mails]
    return found


def only(ref: str, found: Sequence[tuple[Opened, Mail]]) -> tuple[Opened, Mail]:
    """The one mail that a ref names; of an `id` that was stored twice, the newer.

    Raises:
        NoSuchMail: there is none.
        Ambiguous: it names several.
    """
    if not found:
        raise NoSuchMail(f"there is no mail {ref} in the queue; kubectl mailfetch queue lists what is there")
    if len({mail.fields.get("id", "") for _, mail in found}) > 1:
        ids = ", ".join(mail.fields.get("id", "") for _, mail in found[:_MOST_NAMED])
        raise Ambiguous(f"{len(found)} mails have the Message-ID {ref}; name one of them by its id: {ids}")
    return found[0]


def _find_in(opened: Opened, refs: Sequence[str]) -> dict[str, list[Mail]]:
    connections = opened.connections()
    aside = quarantined(opened, connections)
    entries: dict[str, set[str]] = {ref: {ref} if _ENTRY.fullmatch(ref) else set() for ref in refs}
    values = {value: ref for ref in refs if not entries[ref] for value in entry_values(ref)}
    if values:
        for entry, fields in opened.pick(opened.keys.queue, start="-", values=list(values)):
            for name in ("id", "message_id"):
                ref = values.get((name, fields.get(name, "")))
                if ref is not None:
                    entries[ref].add(entry)
    found = {}
    for ref, ids in entries.items():
        newest = sorted(ids, key=parse_id, reverse=True)
        mails = list(by_ids(opened, named_groups(connections), newest))
        found[ref] = mails + [mail for mail in aside if mail.fields["id"] == ref]
    return found
