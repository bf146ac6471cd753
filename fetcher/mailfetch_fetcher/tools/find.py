"""Finds the mails that people name: by `id`, by entry, by Message-ID, or by the ref of a quarantined one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mailfetch_fetcher.tools.model import Ambiguous, Mail, NoSuchMail
from mailfetch_fetcher.tools.opened import Opened
from mailfetch_fetcher.tools.overview import named_groups
from mailfetch_fetcher.tools.queue import by_ids, quarantined

_ENTRY = re.compile(r"\d+-\d+")
_MOST_NAMED = 10

Place = tuple[Opened, Mail]


@dataclass(kw_only=True)
class Found:
    """What a ref names.

    Attributes:
        places: The mails of each stream, newest first. If a Message-ID repeats often, enough for a message; of an
            `id` that was stored twice, the newer.
        count: How many there are.
    """

    places: list[Place] = field(default_factory=list)
    count: int = 0


def entry_values(ref: str) -> list[tuple[str, str]]:
    """Fields of queue or log that may hold what people typed."""
    bare = ref.removeprefix("<").removesuffix(">")
    pairs = [("id", ref), ("entry", ref), ("ref", ref), ("message_id", bare), ("message_id", f"<{bare}>")]
    return pairs if bare else []  # many mails have no Message-ID


def find_all(streams: Sequence[Opened], refs: Sequence[str]) -> dict[str, Found]:
    """The mails behind each ref; none, one, or several (of a Message-ID that repeats).

    Raises:
        StoreError: Redis refuses, or the link failed.
    """
    found = {ref: Found() for ref in refs}
    for opened in streams:
        _find_in(opened, found)
    return found


def only(ref: str, found: Found) -> Place:
    """The one mail that a ref names; of an `id` that was stored twice, the newer.

    Raises:
        NoSuchMail: there is none.
        Ambiguous: it names several.
    """
    if not found.places:
        raise NoSuchMail(f"there is no mail {ref} in the queue; kubectl mailfetch queue lists what is there")
    ids = list(dict.fromkeys(mail.fields.get("id", "") for _, mail in found.places))
    if len(ids) > 1:
        some = ", ".join(ids[:_MOST_NAMED])
        raise Ambiguous(f"{found.count} mails have the Message-ID {ref}; name one of them by its id: {some}")
    return found.places[0]


def _find_in(opened: Opened, found: dict[str, Found]) -> None:
    connections = opened.connections()
    aside = quarantined(opened, connections)
    matches = _matches(opened, [ref for ref in found if not _ENTRY.fullmatch(ref)])
    for ref, one in found.items():
        newest, count = matches.get(ref, ([ref], 0))
        mails = list(by_ids(opened, named_groups(connections), newest))
        mails += [mail for mail in aside if mail.fields["id"] == ref]
        one.places += [(opened, mail) for mail in mails]
        one.count += count or len(mails)


def _matches(opened: Opened, refs: Sequence[str]) -> dict[str, tuple[list[str], int]]:
    """The newest entries of each ref, newest first, and how many there are: strangers choose Message-IDs."""
    values = {value: ref for ref in refs for value in entry_values(ref)}
    newest: dict[str, dict[str, str]] = {ref: {} for ref in refs}
    counts = dict.fromkeys(refs, 0)
    picked = opened.pick(opened.keys.queue, start="-", values=list(values)) if values else ()
    for entry, fields in picked:
        for ref in {values.get((name, fields.get(name, ""))) for name in ("id", "message_id")} - {None}:
            assert ref is not None
            by_id, mail = newest[ref], fields.get("id", "")
            counts[ref] += 1
            by_id.pop(mail, None)
            by_id[mail] = entry
            if len(by_id) > _MOST_NAMED + 1:
                del by_id[next(iter(by_id))]
    return {ref: (list(reversed(by_id.values())), counts[ref]) for ref, by_id in newest.items()}
