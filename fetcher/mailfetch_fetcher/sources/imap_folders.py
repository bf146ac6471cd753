"""Folders: their names on the wire, finding the one that a spec means, opening it, and what may be done in it."""

import re
import unicodedata
from dataclasses import dataclass

from imapclient import imap_utf7

from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.imap_wire import Answer, Refused, Wire

_CODE = re.compile(rb"\* OK \[(UIDVALIDITY|UIDNEXT|PERMANENTFLAGS|MAILBOXID) \(?([^\])]*)\)?\]", re.IGNORECASE)
_LIST = re.compile(rb'\* LIST \(([^)]*)\) (NIL|"(?:\\.|[^"\\])*") ("(?:\\.|[^"\\])*"|[^ ]+)', re.IGNORECASE)
_LISTED = 10_000
"""Folders that are looked at; more are not kept."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """An open folder.

    Attributes:
        name: Its name on the wire (modified UTF-7).
        uid_validity: UIDVALIDITY; 0 if the server has none, or says that UIDs are not for ever.
        uid_next: UIDNEXT; 0 if the server did not say it.
        permanent: Flags that can be set for ever, in lower case; empty if the server did not say it.
        read_only: It can only be read.
        mailbox_id: MAILBOXID (RFC 8474), or empty.
    """

    name: bytes
    uid_validity: int
    uid_next: int
    permanent: frozenset[str]
    read_only: bool
    mailbox_id: bytes


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A folder of the mailbox's list; `attributes` in lower case."""

    wire_name: bytes
    name: str
    separator: str
    attributes: frozenset[str]

    @property
    def selectable(self) -> bool:
        """It can hold mails."""
        return not self.attributes & {"\\noselect", "\\nonexistent"}


def quoted(name: bytes) -> bytes:
    """A name or other text as a quoted string."""
    return b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def wire_name(name: str) -> bytes:
    """Modified UTF-7 of a name; INBOX in any case is INBOX."""
    return b"INBOX" if name.upper() == "INBOX" else bytes(imap_utf7.encode(name))


def open_folder(wire: Wire, settings: ImapSettings) -> Folder:
    """Opens the folder of the spec, read-write only if it must be.

    An action needs it; and Courier, which tells no UIDNEXT, forgets the UIDs that it gives in a read-only session, so
    that they mean nothing in the next. Opening it changes nothing but Recent.

    Raises:
        SourceError: it does not exist, or cannot be opened.
    """
    folder = _open(wire, settings, writable=settings.action != "None")
    if folder.read_only and not folder.uid_next:
        folder = _open(wire, settings, writable=True)
    if not folder.uid_validity:
        raise errors.no_uid_validity(settings)
    return folder


def _open(wire: Wire, settings: ImapSettings, *, writable: bool) -> Folder:
    name = wire_name(settings.folder)
    try:
        return select(wire, name, writable=writable)
    except Refused as e:
        found, existing = find(wire, settings.folder)
        if found is None or found.wire_name == name:
            raise errors.throttled(settings.address, e.text) or errors.no_folder(
                "spec.folder", settings.folder, existing, e.text
            ) from e
    try:
        return select(wire, found.wire_name, writable=writable)
    except Refused as e:
        raise errors.no_folder("spec.folder", settings.folder, [found.name], e.text) from e


def select(wire: Wire, name: bytes, *, writable: bool) -> Folder:
    """SELECT or EXAMINE by its name on the wire.

    Raises:
        Refused: the server does not open it.
    """
    wire.exists = wire.uid_validity = 0
    answers = wire.run((b"SELECT " if writable else b"EXAMINE ") + quoted(name))
    wire.news = False
    codes = {m[1].upper(): m[2] for a in answers if (m := _CODE.match(a.text))}
    flags = codes.get(b"PERMANENTFLAGS")
    fleeting = any(b"[UIDNOTSTICKY]" in a.text.upper() for a in answers)
    wire.uid_validity = 0 if fleeting else _number(codes.get(b"UIDVALIDITY"))
    return Folder(
        name=name,
        uid_validity=wire.uid_validity,
        uid_next=_number(codes.get(b"UIDNEXT")),
        permanent=frozenset((flags or b"").decode("ascii", "replace").lower().split()),
        read_only=not writable or b"[READ-ONLY]" in answers[-1].text.upper() or flags == b"",
        mailbox_id=codes.get(b"MAILBOXID", b""),
    )


def _number(text: bytes | None) -> int:
    return int(text) if text and text.strip().isdigit() and len(text) < 20 else 0


def find(wire: Wire, wanted: str) -> tuple[Listed | None, list[str]]:
    """The folder that a person means, whatever separator and prefix the server has, and the names of all.

    `Archive/2026` is also found as `INBOX.Archive.2026`; only INBOX is compared without regard to case.
    """
    folders = list_folders(wire)
    names = sorted(f.name for f in folders if f.selectable)
    for meant in (wanted, _key(wanted, "/")):
        for folder in folders:
            if folder.selectable and meant in (folder.name, _key(folder.name, folder.separator)):
                return folder, names
    return None, names


def _key(name: str, separator: str) -> str:
    """The name with `/` as separator, without a prefix INBOX, and with letters and accents composed (NFC)."""
    parts = name.split(separator) if separator else [name]
    if parts[0].upper() == "INBOX":
        parts = parts[1:] or ["INBOX"]
    return unicodedata.normalize("NFC", "/".join(parts))


def list_folders(wire: Wire, pattern: bytes = b"*", *, options: bytes = b"") -> list[Listed]:
    """The folders that match a pattern."""
    found: list[Listed] = []
    for answer in wire.answers(wire.start(b'LIST "" ' + quoted(pattern) + options)):
        if len(found) < _LISTED and (listed := _listed(answer)):
            found.append(listed)
    return found


def _listed(answer: Answer) -> Listed | None:
    match = _LIST.match(answer.text)
    if match is None:
        return None
    raw = _unquoted(match[3])
    return Listed(
        wire_name=raw,
        name=_decoded(raw),
        separator="" if match[2].upper() == b"NIL" else _unquoted(match[2]).decode("ascii", "replace"),
        attributes=frozenset(match[1].decode("ascii", "replace").lower().split()),
    )


def _unquoted(word: bytes) -> bytes:
    return re.sub(rb"\\(.)", rb"\1", word[1:-1]) if word.startswith(b'"') else word


def _decoded(raw: bytes) -> str:
    """Modified UTF-7, or what some servers send instead: UTF-8."""
    try:
        return str(imap_utf7.decode(raw)) if raw.isascii() else raw.decode()
    except UnicodeError:
        return raw.decode("latin-1")  # at least it can be chosen by the name that messages show


def find_trash(wire: Wire, settings: ImapSettings, capabilities: frozenset[str]) -> bytes:
    """The name on the wire of the folder for deleted mails (RFC 6154), whatever its name in the user's language.

    Raises:
        SourceError: there is none.
    """
    listed = list_folders(wire, options=b" RETURN (SPECIAL-USE)" if "SPECIAL-USE" in capabilities else b"")
    for folder in listed:
        if "\\trash" in folder.attributes and folder.selectable:
            return folder.wire_name
    raise errors.no_trash(settings)


def find_target(wire: Wire, settings: ImapSettings, folder: Folder) -> bytes:
    """The name on the wire of the folder that Move moves to.

    Raises:
        SourceError: it does not exist, or is the folder itself.
    """
    target = wire_name(settings.target)
    exact = [f for f in list_folders(wire, pattern=target) if f.selectable]
    if not any(f.wire_name == target for f in exact) and target != b"INBOX":
        found, existing = find(wire, settings.target)
        if found is None:
            raise errors.no_target(settings, existing, "")
        target = found.wire_name
    if target == folder.name:
        raise errors.same_folder(settings.folder, settings.target)
    return target


def check_permission(wire: Wire, settings: ImapSettings, folder: Folder, capabilities: frozenset[str]) -> str:
    """What shows that the after-download action is possible; nothing is changed.

    Raises:
        SourceError: it is not possible.
    """
    if settings.action == "None":
        return "no after-download action"
    if folder.read_only:
        raise errors.read_only(settings.action, settings.folder)
    flag = "\\seen" if settings.action == "MarkSeen" else "\\deleted"
    by_extension = settings.action == "Move" and "MOVE" in capabilities  # flags nothing
    if folder.permanent and flag not in folder.permanent and not by_extension:
        shown = flag[0] + flag[1:].capitalize()
        raise errors.not_permitted(settings.action, settings.folder, f"the flag {shown} cannot be set for ever")
    if "ACL" not in capabilities:
        return f"{settings.action} is possible"
    # RFC 4314: s sets Seen, t sets Deleted, e expunges, i inserts; c and d are the older names.
    needed = {"MarkSeen": "s", "Delete": "te", "Move": "te"}[settings.action]
    _check_rights(wire, settings, folder.name, needed, settings.folder)
    return f"{settings.action} is possible (rights checked)"


def check_target_rights(wire: Wire, settings: ImapSettings, target: bytes, capabilities: frozenset[str]) -> None:
    """Mails may be put into the target of Move.

    Raises:
        SourceError: they may not.
    """
    if "ACL" in capabilities:
        _check_rights(wire, settings, target, "i", settings.target)


def _check_rights(wire: Wire, settings: ImapSettings, name: bytes, needed: str, shown: str) -> None:
    try:
        answers = wire.run(b"MYRIGHTS " + quoted(name))
    except Refused:
        return  # a server that does not tell: the action itself will
    for answer in answers:
        if answer.text.upper().startswith(b"* MYRIGHTS "):
            rights = answer.text.rsplit(b" ", 1)[-1].strip(b'"').decode("ascii", "replace")
            if "d" in rights:
                rights += "te"
            if missing := [right for right in needed if right not in rights]:
                raise errors.not_permitted(settings.action, shown, f"the right {' and '.join(missing)} is missing")
