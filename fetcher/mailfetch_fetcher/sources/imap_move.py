"""The target folder of Move: proof that it is another folder, and copying where the server has no MOVE (RFC 6851).

Copying has durable phases, so that a crash makes no second copy (`store.md` hazard 24): `copying` is written before
COPY; whoever finds it looks into the target first. `copied` is written before the original is removed.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mailfetch_fetcher.headers import raw_fields
from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources.base import ActionPhase, Outcome, PendingAction
from mailfetch_fetcher.sources.imap_folders import Folder, quoted, select
from mailfetch_fetcher.sources.imap_look import Seen, look, search
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.imap_wire import Refused, Wire

_CANDIDATES = 50
"""Mails of the target that are compared with one original."""


class Target:
    """The folder that Move moves to, seen from the open folder."""

    def __init__(self, wire: Wire, *, folder: Folder, settings: ImapSettings, name: bytes, object_item: bytes) -> None:
        self.name = name
        self._wire = wire
        self._folder = folder
        self._settings = settings
        self._object_item = object_item
        self._is_other = False

    # ---- another folder? ----

    def refuse_same_folder(self, action: PendingAction, digest: Callable[[bytes], str]) -> None:
        """Once for each connection: an alias of the open folder would give every mail a new UID for ever.

        Raises:
            SourceError: both are one folder.
        """
        if self._is_other:
            return
        text = self._status()
        same = f"UIDVALIDITY {self._folder.uid_validity}".encode() in text.upper()
        if same and self._folder.mailbox_id:
            same = self._folder.mailbox_id in text
        elif same:  # proof: does the same mail stand there under the same UID?
            with self._opened():
                seen = look(self._wire, [action.uid], object_item=self._object_item)
            same = action.uid in seen and digest(seen[action.uid].identity) == action.fingerprint
        if same:
            raise errors.same_folder(self._settings.folder, self._settings.target)
        self._is_other = True

    def _status(self) -> bytes:
        items = b"UIDVALIDITY MAILBOXID" if self._folder.mailbox_id else b"UIDVALIDITY"
        try:
            answers = self._wire.run(b"STATUS %s (%s)" % (quoted(self.name), items))
        except Refused as e:
            raise errors.throttled(self._settings.address, e.text) or errors.no_folder(
                "spec.afterDownload.folder", self._settings.target, [], e.text
            ) from e
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
            raise errors.cut(self._settings.address, "the folder was made anew (UIDVALIDITY changed)")

    # ---- copying ----

    def copy(
        self, actions: Sequence[PendingAction], advance: Callable[[PendingAction, ActionPhase], PendingAction]
    ) -> tuple[list[PendingAction], list[Outcome]]:
        """Copies what is not copied yet; returns the actions that are `copied` now, and the failures."""
        there = self._already_there([a for a in actions if a.phase == "copying"])
        copied: list[PendingAction] = []
        failed: list[Outcome] = []
        for action in actions:
            current = action
            try:
                if current.phase == "pending":
                    current = advance(current, "copying")
                if current.phase == "copying":
                    if current.uid not in there:
                        self._wire.run(b"UID COPY %d %s" % (current.uid, quoted(self.name)))
                    current = advance(current, "copied")
                copied.append(current)
            except Refused as e:
                if error := errors.throttled(self._settings.address, e.text):
                    raise error from e
                failed.append(Outcome(action=current, result="failed", detail=f"Move: the server says: {e.text}"))
        return copied, failed

    def _already_there(self, actions: Sequence[PendingAction]) -> set[int]:
        """UIDs of the mails that an earlier attempt has copied."""
        if not actions:
            return set()
        originals = look(self._wire, [a.uid for a in actions], object_item=b"")
        with self._opened():
            return {uid for uid, mail in originals.items() if self._has_copy(mail)}

    def _has_copy(self, original: Seen) -> bool:
        """The open folder (the target) has a mail with the same Message-ID (or header), date and size."""
        candidates = search(self._wire, _criteria(original))[-_CANDIDATES:]
        if not candidates:
            return False
        copies = look(self._wire, candidates, object_item=b"")
        return any(mail.copy_identity == original.copy_identity for mail in copies.values())


def _criteria(original: Seen) -> bytes:
    size = original.items.size
    words = [b"LARGER %d SMALLER %d" % (size - 1, size + 1)] if size > 0 else []
    message_id = raw_fields(original.header).get(b"message-id", b"")
    if re.fullmatch(rb"[ -~]{1,500}", message_id):  # a stranger one is found by its size
        words.append(b"HEADER Message-ID " + quoted(message_id))
    return b" ".join(words) or b"ALL"
