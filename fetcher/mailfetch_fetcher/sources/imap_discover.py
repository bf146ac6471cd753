"""Finding what is new: windows of UIDs from the cursor on, never a list of the whole mailbox."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from mailfetch_fetcher.errors import GateClosed
from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources.base import Ref, Snapshot, Window
from mailfetch_fetcher.sources.imap_answers import uid_and_size
from mailfetch_fetcher.sources.imap_folders import Folder
from mailfetch_fetcher.sources.imap_wire import Refused, Wire

WINDOW = 5_000
"""Mails of one window at most, and UIDs that one command asks for to begin with."""
HIGHEST_UID = 2**32 - 1
_COUNTABLE = 20_000
"""UIDs (or mails) that may be listed only to count them, where the server cannot count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """Everything up to `uid` is committed; it counts only under `uid_validity`. 0 and 0 are the beginning."""

    uid_validity: int
    uid: int

    def __str__(self) -> str:
        return f"{self.uid_validity}:{self.uid}" if self.uid_validity else ""


def read_cursor(text: str) -> Cursor:
    """The cursor that `str` of one wrote."""
    if not text:
        return Cursor(uid_validity=0, uid=0)
    uid_validity, _, uid = text.partition(":")
    return Cursor(uid_validity=int(uid_validity), uid=int(uid))


def key_of(folder: Folder, uid: int) -> str:
    """Names a mail for ever."""
    return f"{folder.uid_validity}/{uid}"


class Discovery:
    """What is new in one open folder."""

    def __init__(self, wire: Wire, *, folder: Folder, name: str, address: str, capabilities: frozenset[str]) -> None:
        self._wire = wire
        self._folder = folder
        self._name = name
        self._address = address
        self._can_count = "ESEARCH" in capabilities or "IMAP4REV2" in capabilities
        self._fresh = True
        """Nothing was asked since the folder was opened, so its number of mails is up to date."""
        self._compared = False
        """UIDNEXT was compared with the cursor: only the cursor from before SELECT may be."""

    # ---- counting ----

    def snapshot(self, cursor: str, *, unseen: bool) -> Snapshot:
        """Counts in at most two round trips (three with `unseen`)."""
        at = read_cursor(cursor)
        if not self._fresh:
            self._wire.run(b"NOOP")  # brings the number of mails up to date
        self._fresh = False
        total = self._wire.exists
        new, exact = self._count_new(at, total)
        return Snapshot(new=new, total=total, unseen=self._count_unseen(total) if unseen else -1, exact=exact)

    def _count_new(self, at: Cursor, total: int) -> tuple[int, bool]:
        if at.uid == 0 or total == 0:
            return total, True
        if at.uid_validity != self._folder.uid_validity:
            return total, False  # how many of them are old is known only after a comparison
        if self._can_count:
            return self._search_count(b"UID %d:%d" % (at.uid + 1, HIGHEST_UID)), True
        gap = self._folder.uid_next - 1 - at.uid
        if gap > _COUNTABLE:
            return min(gap, total), False
        # `*` because more may have come since SELECT; that many are not kept, only counted.
        count = 0
        for answer in self._wire.answers(self._wire.start(b"UID FETCH %d:* (UID)" % (at.uid + 1))):
            count += answer.is_fetch and uid_and_size(answer.text)[0] > at.uid
        return count, True

    def _count_unseen(self, total: int) -> int:
        if self._can_count:
            return self._search_count(b"UNSEEN")
        if total > _COUNTABLE:
            return -1
        return sum(len(a.text.split()) - 2 for a in self._wire.run(b"UID SEARCH UNSEEN") if _is_search(a.text))

    def _search_count(self, criteria: bytes) -> int:
        for answer in self._wire.run(b"UID SEARCH RETURN (COUNT) " + criteria):
            words = answer.text.upper().split()
            if words[1:2] == [b"ESEARCH"] and b"COUNT" in words:
                return int(words[words.index(b"COUNT") + 1])
        return 0

    # ---- walking ----

    def windows(self, cursor: str) -> Iterator[Window]:
        """Windows of new mails, oldest first.

        Raises:
            GateClosed: what the cursor says cannot be true of this mailbox any more.
        """
        at = read_cursor(cursor)
        self._check(at)
        self._fresh = False
        self._wire.news = False
        if self._wire.exists == 0 and not self._mail_came():
            return  # some servers refuse `UID FETCH 1:*` in an empty folder
        uid, width = at.uid, WINDOW
        bound = self._folder.uid_next - 1 if self._folder.uid_next else self._highest()
        while True:
            last = uid + width >= bound
            # `*` at the end: what came after SELECT, and whatever UIDNEXT says, the truth.
            uids, more = self._list(uid, b"*" if last else b"%d" % (uid + width))
            if uids:
                yield self._window(uids)
                uid, width = uids[-1][0], WINDOW
                if last and more:
                    bound = max(bound, more)
                    continue
            elif not last:
                uid, width = uid + width, width * 2  # a gap: UIDs may be sparse
            if last:
                return

    def _check(self, at: Cursor) -> None:
        now = self._folder
        if at.uid_validity and at.uid_validity != now.uid_validity:
            raise GateClosed(
                "MailboxReset",
                f"the server numbers the mails of the folder {self._name} anew (UIDVALIDITY was {at.uid_validity}, is "
                f"{now.uid_validity}), so old mails cannot be told from new ones; nothing was downloaded",
            )
        first, self._compared = not self._compared, True
        if first and at.uid and now.uid_next and now.uid_next <= at.uid:
            raise GateClosed(
                "MailboxReset",
                f"the folder {self._name} went back in time: UID {at.uid} was downloaded, but the server says that the "
                f"next mail gets UID {now.uid_next}; it may have been restored from a backup; nothing was downloaded",
            )

    def _mail_came(self) -> bool:
        self._wire.run(b"NOOP")
        return self._wire.exists > 0

    def _highest(self) -> int:
        """The highest UID, where SELECT gave no UIDNEXT."""
        try:
            answers = self._wire.run(b"UID FETCH * (UID)")
        except Refused:
            return 0
        return max((uid_and_size(a.text)[0] for a in answers), default=0)

    def _window(self, uids: list[tuple[int, int]]) -> Window:
        refs = tuple(Ref(key=key_of(self._folder, uid), uid=uid, size=size) for uid, size in uids)
        # Not further than what was seen: a UID that the server held back for now is not passed over.
        cursor = Cursor(uid_validity=self._folder.uid_validity, uid=uids[-1][0])
        return Window(refs=refs, cursor=str(cursor))

    def _list(self, after: int, high: bytes) -> tuple[list[tuple[int, int]], int]:
        """The first `WINDOW` mails above a UID with their sizes, and the highest UID that did not fit (else 0)."""
        command = b"UID FETCH %d:%s " % (after + 1, high)
        try:
            return self._read_list(command + b"(UID RFC822.SIZE)", after)
        except Refused:
            pass  # one mail whose size cannot be told must not hide the others
        try:
            return self._read_list(command + b"(UID)", after)
        except Refused as e:
            raise errors.refused(self._address, f"list the mails of the folder {self._name}", e.text) from e

    def _read_list(self, command: bytes, after: int) -> tuple[list[tuple[int, int]], int]:
        """Reads with bounded memory, whatever the number and order of the answers."""
        found: dict[int, int] = {}
        too_many = 0
        for answer in self._wire.answers(self._wire.start(command)):
            if not answer.is_fetch:
                continue
            uid, size = uid_and_size(answer.text)
            if uid <= after:
                continue  # `n:*` also answers with the last mail when that is below n; or no UID: news about flags
            found[uid] = max(size, found.get(uid, 0), 0)
            if len(found) >= 2 * WINDOW:
                too_many = max(too_many, *found)
                found = dict(heapq.nsmallest(WINDOW, found.items()))
        chosen = sorted(found.items())
        if len(chosen) > WINDOW:
            too_many = max(too_many, chosen[-1][0])
        return chosen[:WINDOW], too_many


def _is_search(text: bytes) -> bool:
    return text.upper().startswith(b"* SEARCH")
