"""Looking at mails without downloading them: what identifies a mail under a UID, and which UIDs are still there."""

from collections.abc import Iterable
from dataclasses import dataclass

from mailfetch_fetcher.sources.imap_answers import Items, items, uid_and_size, uid_set
from mailfetch_fetcher.sources.imap_identity import identity
from mailfetch_fetcher.sources.imap_wire import Wire


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A mail that was looked at."""

    items: Items
    header: bytes

    @property
    def identity(self) -> bytes:
        """As of a downloaded mail."""
        found = self.items
        return identity(header=self.header, received=found.received, size=found.size, object_id=found.object_id)

    @property
    def copy_identity(self) -> bytes:
        """What a mail has in common with its copy in another folder."""
        found = self.items
        return identity(header=self.header, received=found.received, size=found.size, object_id=b"")


def look(wire: Wire, uids: Iterable[int], *, object_item: bytes) -> dict[int, Seen]:
    """The mails under these UIDs of the open folder, as far as the server shows them.

    Raises:
        Refused: it shows none.
    """
    command = b"UID FETCH %s (%sUID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER])" % (uid_set(sorted(uids)), object_item)
    seen: dict[int, Seen] = {}
    for answer in wire.answers(wire.start(command)):
        if answer.length < 0 or not answer.is_fetch:
            continue
        header = answer.body if answer.body is not None else next(answer.chunks or iter(()), b"")
        if (found := items(answer.text)).uid:
            seen[found.uid] = Seen(items=found, header=header)
    return seen


def present(wire: Wire, uids: Iterable[int]) -> set[int]:
    """Those of the UIDs that the open folder still has.

    Raises:
        Refused: the server does not say.
    """
    wanted = set(uids)
    answers = wire.run(b"UID FETCH %s (UID)" % uid_set(sorted(wanted)))
    return {uid_and_size(answer.text)[0] for answer in answers if answer.is_fetch} & wanted


def search(wire: Wire, criteria: bytes) -> list[int]:
    """UIDs of the open folder that fit.

    Raises:
        Refused: the server cannot search for that.
    """
    found: set[int] = set()
    for answer in wire.run(b"UID SEARCH " + criteria):
        if answer.text.upper().startswith(b"* SEARCH"):
            found.update(int(word) for word in answer.text.split()[2:] if word.isdigit())
    return sorted(found)
