"""Rounds of delta queries in the Graph double.

A round is fixed when its first page is asked for: which mails it tells of, in which order, on which pages. A page
shows its mails as they are when the page is asked for. A link may be asked for any number of times.

With a random generator the double does what Graph's documentation allows but rarely shows: any order, the same mail
twice, things told before told again, empty pages, changed mails without the properties that did not change.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.servers.graph_call import Call
from tests.servers.graph_mailbox import Mailbox
from tests.servers.graph_schema import Refused, Wrong, bad_request
from tests.servers.graph_things import Change, Folder, Mail

_PAGE = 10


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of a page. `moves`: the mail's number of moves at that time, for ids that change with them."""

    mail: Mail
    moves: int
    removed: bool = False
    partial: bool = False
    stale: bool = False
    """It is told of as of a mail that is there, although it is not."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """`since`: the change before the whole series of rounds; `until`: the last one that this round covers."""

    folder: Folder
    select: tuple[str, ...]
    pages: tuple[tuple[Entry, ...], ...]
    since: int
    until: int


@dataclass(frozen=True, kw_only=True)
class Token:
    """What a link stands for: a page of a round, or (deltaLink) all that comes after it."""

    kind: Literal["skip", "delta"]
    generation: int
    round: Round
    page: int = 0


@dataclass(frozen=True, kw_only=True)
class Page:
    entries: tuple[Entry, ...]
    select: tuple[str, ...]
    link: dict[str, str]


def page(call: Call, mailbox: Mailbox, *, chaos: Random | None) -> Page:
    """The page that a request asks for."""
    folder = mailbox.opened(call.id)
    size = min(call.page_size or _PAGE, mailbox.largest_page)
    token = _token(call, mailbox, folder)
    if token is None:
        entries = [Entry(mail=mail, moves=mail.moves) for mail in mailbox.in_folder(folder)]
        number = mailbox.changes
        begun, at = _round(folder, call.select, entries, since=number, until=number, size=size, chaos=chaos), 0
    elif token.kind == "delta":
        last = token.round
        news = list(_news(folder, last, immutable=call.immutable))
        if chaos:
            news += _again(folder, last, chaos)
            news += _late(folder, last, chaos) if call.immutable else []
        begun = _round(folder, last.select, news, since=last.since, until=mailbox.changes, size=size, chaos=chaos)
        at = 0
    else:
        begun, at = token.round, token.page
    return Page(entries=begun.pages[at], select=begun.select, link=_link(call, mailbox, begun, at))


def _token(call: Call, mailbox: Mailbox, folder: Folder) -> Token | None:
    """The token of the link; None: the beginning."""
    given = call.query.get("$skiptoken") or call.query.get("$deltatoken")
    if not given:
        return None
    token = mailbox.tokens.get(given)
    if token is None or token.kind != ("skip" if "$skiptoken" in call.query else "delta"):
        raise Wrong(400, "BadRequest", "Badly formed token.")
    if token.round.folder is not folder:
        raise bad_request("The token is of another folder.")
    if token.generation != folder.generations[token.kind]:
        raise _lost(call, folder, token)
    return token


def _lost(call: Call, folder: Folder, token: Token) -> Refused:
    now = folder.generations[token.kind]
    text = f"The sync state generation is not found; generation={token.generation};[highest={now}][{now}]."
    match folder.loss:
        case "gone":
            return Refused(410, "SyncStateNotFound", text)
        case "location":
            where = f"{_address(call, folder)}?$deltatoken="
            return Refused(410, "resyncRequired", "Resync required.", Location=where)
        case "invalid":
            return Refused(400, "syncStateInvalid", "The sync state is invalid.")
    return Refused(404, "SyncStateNotFound", text)


def _news(folder: Folder, last: Round, *, immutable: bool) -> Iterator[Entry]:
    """What happened in the folder after a round, one entry per mail: the last thing counts."""
    changes: dict[tuple[str, int], list[Change]] = {}
    back: set[str] = set()
    for change in folder.log:
        if change.number <= last.since:
            continue
        if immutable and change.what == "returned":
            back.add(change.mail.id)  # the documented hole: neither this nor what follows is ever told
        elif change.number > last.until and not (change.mail.id in back and change.what == "updated"):
            key = (change.mail.id, 0 if immutable else change.moves)
            changes.setdefault(key, []).append(change)
    for happened in changes.values():
        final = happened[-1]
        if final.what == "removed":
            yield Entry(mail=final.mail, moves=final.moves, removed=True)
        else:
            created = any(change.what in ("created", "returned") for change in happened)
            yield Entry(mail=final.mail, moves=final.moves, partial=not created)


def _again(folder: Folder, last: Round, chaos: Random) -> list[Entry]:
    """Some of what earlier rounds told; a removal also of a mail that has come back since."""
    old = [change for change in folder.log if last.since < change.number <= last.until and change.what != "returned"]
    chosen = chaos.sample(old, k=min(len(old), chaos.randrange(4)))
    return [Entry(mail=change.mail, moves=change.moves, removed=change.what == "removed") for change in chosen]


def _late(folder: Folder, last: Round, chaos: Random) -> list[Entry]:
    """Arrivals of mails that have left since, sometimes: the round tells of their removal as well, in any order."""
    return [
        Entry(mail=change.mail, moves=change.moves, stale=True)
        for change in folder.log
        if change.number > last.until and change.what == "created" and chaos.random() < 0.5
    ]


def _round(
    folder: Folder,
    select: tuple[str, ...],
    entries: list[Entry],
    *,
    since: int,
    until: int,
    size: int,
    chaos: Random | None,
) -> Round:
    if chaos:
        entries = entries + chaos.sample(entries, k=min(len(entries), chaos.randrange(3)))
        chaos.shuffle(entries)
    pages = [tuple(entries[at : at + size]) for at in range(0, len(entries), size)] or [()]
    if chaos:
        for _ in range(chaos.randrange(3)):
            pages.insert(chaos.randrange(len(pages) + 1), ())
    return Round(folder=folder, select=select, pages=tuple(pages), since=since, until=until)


def _link(call: Call, mailbox: Mailbox, begun: Round, at: int) -> dict[str, str]:
    folder = begun.folder
    more = at + 1 < len(begun.pages)
    kind: Literal["skip", "delta"] = "skip" if more else "delta"
    token = Token(kind=kind, generation=folder.generations[kind], round=begun, page=at + 1)
    name = secrets.token_urlsafe(96)
    mailbox.tokens[name] = token
    return {f"@odata.{'next' if more else 'delta'}Link": f"{_address(call, folder)}?${kind}token={name}"}


def _address(call: Call, folder: Folder) -> str:
    return f"{call.base}/mailFolders('{folder.id}')/messages/delta"
