"""The target folder of Move: proof that it is another folder, and copying where the server has no MOVE (RFC 6851).

Copying has durable phases, so that a crash makes no second copy (`store.md` hazard 24): `copying` is written before
COPY; whoever finds it looks into the target first. `copied` is written before the original is removed.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources.base import Outcome, PendingAction
from mailfetch_fetcher.sources.imap_answers import uid_set
from mailfetch_fetcher.sources.imap_batch import Batches, Means
from mailfetch_fetcher.sources.imap_folders import Folder, quoted, select
from mailfetch_fetcher.sources.imap_look import Seen, look, search
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.imap_wire import Refused, Wire
from mailfetch_fetcher.sources.source import Digest

_CANDIDATES = 50
"""Mails of the target that are compared with one original, at most, and beyond its twins."""


class Target:
    """The folder that mails are moved to, seen from the open folder."""

    def __init__(self, wire: Wire, *, folder: Folder, settings: ImapSettings, name: bytes, object_item: bytes) -> None:
        self.name = name
        self._wire = wire
        self._folder = folder
        self._settings = settings
        self._object_item = object_item
        self._batches = Batches(wire, settings=settings)
        self._is_other = False

    # ---- another folder? ----

    def is_same(self, action: PendingAction, digest: Digest) -> bool:
        """The target is an alias of the open folder: each move would give the mail a new UID, for ever (hazard 25).

        Raises:
            SourceError: there is no such folder any more.
        """
        if self._is_other:
            return False
        if self.name == self._folder.name:
            return True
        text = self._status()
        same = re.search(rb"UIDVALIDITY %d\b" % self._folder.uid_validity, text, re.IGNORECASE) is not None
        if same and self._folder.mailbox_id:
            same = b"(" + self._folder.mailbox_id + b")" in text
        elif same:  # proof: does the same mail stand there under the same UID?
            with self._opened():
                seen = look(self._wire, [action.uid], object_item=self._object_item)
            same = action.uid in seen and seen[action.uid].fits(action.fingerprint, digest)
        self._is_other = not same
        return same

    def _status(self) -> bytes:
        items = b"UIDVALIDITY MAILBOXID" if self._folder.mailbox_id else b"UIDVALIDITY"
        try:
            answers = self._wire.run(b"STATUS %s (%s)" % (quoted(self.name), items))
        except Refused as e:
            throttled = errors.throttled(self._settings.address, e.text)
            raise throttled or errors.no_target(self._settings, [], e.text) from e
        return b" ".join(a.text for a in answers if a.text.upper().startswith(b"* STATUS "))

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """The target is the open folder (read-only) for a while."""
        try:
            select(self._wire, self.name, writable=False)
            yield
        finally:
            back = select(self._wire, self._folder.name, writable=True)
        self._wire.news = True  # what came meanwhile was not told
        if back.uid_validity != self._folder.uid_validity:
            raise errors.made_anew(self._settings.address)

    # ---- copying ----

    def copy(self, actions: Sequence[PendingAction], means: Means) -> tuple[list[PendingAction], list[Outcome]]:
        """Copies what is not copied yet; returns the actions that are `copied` now, and the failures."""
        copied, doubtful, fresh = ([a for a in actions if a.phase == p] for p in ("copied", "copying", "pending"))
        there = self._already_there([a.uid for a in doubtful])
        begun = list(means.advance(fresh, "copying")) if fresh else []
        outcomes = self._batches.each([a for a in doubtful if a.uid not in there] + begun, self._copy_with(means))
        made = [a for a in doubtful if a.uid in there] + [o.action for o in outcomes if o.result == "done"]
        if made:
            copied += means.advance(made, "copied")
        return copied, [o for o in outcomes if o.result != "done"]

    def _copy_with(self, means: Means) -> Callable[[list[int]], None]:
        """COPY is carried out as a whole or not at all (RFC 9051 section 6.4.7)."""

        def copy(uids: list[int]) -> None:
            means.confirm()
            self._wire.run(b"UID COPY %s %s" % (uid_set(uids), quoted(self.name)))

        return copy

    def _already_there(self, uids: Sequence[int]) -> set[int]:
        """UIDs of the mails that an earlier attempt has copied; of twins, as many as there are copies."""
        if not uids:
            return set()
        originals = look(self._wire, uids, object_item=b"")
        copies: Counter[bytes] = Counter()
        with self._opened():
            for identity, mail in {m.copy_identity: m for m in originals.values()}.items():
                copies[identity] = self._copies(mail, twins=len(uids))
        there = set()
        for uid, mail in sorted(originals.items()):
            if copies[mail.copy_identity]:
                copies[mail.copy_identity] -= 1
                there.add(uid)
        return there

    def _copies(self, original: Seen, *, twins: int) -> int:
        """Mails of the open folder (the target) with the same Message-ID (or header), date and size."""
        candidates = search(self._wire, _criteria(original))[-_CANDIDATES - twins :]
        if not candidates:
            return 0
        copies = look(self._wire, candidates, object_item=b"")
        return sum(mail.copy_identity == original.copy_identity for mail in copies.values())


def _criteria(original: Seen) -> bytes:
    size = original.size
    words = [b"LARGER %d SMALLER %d" % (size - 1, size + 1)] if size > 0 else []
    if re.fullmatch(rb"[ -~]{1,500}", original.message_id):  # a stranger one is found by its size
        words.append(b"HEADER Message-ID " + quoted(original.message_id))
    return b" ".join(words) or b"ALL"
