"""Large bodies on their way into Redis: written as blobs before the commit that makes them count."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mailfetch_fetcher.mails import HEAD
from mailfetch_fetcher.store.blob import BlobWriter
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import INLINE, Blob, Mail


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """A body that was written part by part, with its first bytes and its SHA-256."""

    blob: Blob
    head: bytes
    sha256: str


class Bodies:
    """Knows the blobs that no commit has taken yet.

    Blobs travel on the writer's link: a body is streamed only while the writer has nothing to do.
    """

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._uncommitted: list[BlobWriter] = []

    def stream(self, parts: Iterable[bytes], *, check: Callable[[], None]) -> Streamed:
        """Writes a body as it comes.

        Args:
            parts: The body.
            check: Called for each part; may raise to give up.
        """
        digest, head = hashlib.sha256(), b""
        blob = self._start()
        try:
            for part in parts:
                check()
                if len(head) < HEAD:
                    head += part[: HEAD - len(head)]
                digest.update(part)
                blob.append(part)
        except BaseException:
            self.abandon()
            raise
        return Streamed(blob=blob.finish(), head=head, sha256=digest.hexdigest())

    def stored(self, mail: Mail) -> Mail:
        """The mail as it is committed: a body that does not stand in the entry is written first."""
        if isinstance(mail.body, Blob) or len(mail.body) <= INLINE:
            return mail
        blob = self._start()
        blob.append(mail.body)
        return dataclasses.replace(mail, body=blob.finish())

    def committed(self) -> None:
        """All that was written belongs to entries now."""
        self._uncommitted.clear()

    def abandon(self) -> None:
        """Nothing of it was committed, for certain: a mail that fails again and again must not fill Redis.

        Otherwise the TTL of each blob removes it after ten minutes, if no commit took it.
        """
        for blob in self._uncommitted:
            blob.discard()
        self._uncommitted.clear()

    def _start(self) -> BlobWriter:
        blob = self._mailbox.start_blob()
        self._uncommitted.append(blob)
        return blob
