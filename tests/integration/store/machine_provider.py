"""The mail servers of the state machine: what lies in the mailboxes, and what fetchers and others do there.

Two mailboxes feed one stream: `inbox` numbers its mails by UID, as IMAP does, and may number them anew; in `pop` mails
have names. Each mail has a serial number, which its body shows, so that it is recognised in the stream by that alone.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from mailfetch_fetcher.store.model import WantedAction

TWIN = b"a mail that looks like others"


@dataclass(kw_only=True)
class Item:
    """One mail for its whole life.

    Attributes:
        serial: Its number among all mails of a run.
        identity: As a source makes it; twins share one.
        large: Too large for an entry of the stream.
        unreadable: The server does not give it out.
        action: What the connection wants done with it.
        uidl: Its name in `pop`.
        removed: Who took it away: `us` or `others`.
        seen: How often it was marked.
        moved: How often it was copied to the target of Move.
    """

    serial: int
    identity: bytes
    large: bool
    unreadable: bool
    action: WantedAction | None
    uidl: str = ""
    removed: str = ""
    seen: int = 0
    moved: int = 0

    @property
    def body(self) -> bytes:
        """Shows the serial."""
        return b"serial %d " % self.serial * (9_000 if self.large else 3)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    @property
    def name(self) -> bytes:
        """For the ledger of `pop`."""
        return f"uidl 1 {self.uidl}".encode()


def serial_of(body: bytes) -> int:
    """Which mail this is."""
    return int(body[:40].split(b" ")[1])


@dataclass(kw_only=True)
class Provider:
    """One mailbox.

    Attributes:
        uid_validity: Changes when the mails are numbered anew.
        uids: Serials by UID.
        items: All mails that ever were, by serial.
    """

    named: bool
    uid_validity: int = 1_700_000_000
    next_uid: int = 1
    uids: dict[int, int] = field(default_factory=dict)
    items: dict[int, Item] = field(default_factory=dict)

    def add(self, item: Item) -> None:
        self.items[item.serial] = item
        self.uids[self.next_uid] = item.serial
        self.next_uid += 1

    def present(self) -> Iterator[tuple[int, Item]]:
        """UID and mail, in the order of the server."""
        return ((uid, self.items[serial]) for uid, serial in sorted(self.uids.items()))

    def ref(self, uid: int) -> str:
        item = self.items[self.uids[uid]]
        return f"{item.uidl}/1" if self.named else f"{self.uid_validity}/{uid}"

    def find(self, ref: str) -> Item | None:
        """The mail that a ref names now."""
        return next((item for uid, item in self.present() if self.ref(uid) == ref), None)

    def remove(self, item: Item, *, who: str) -> None:
        item.removed = who
        self.uids = {uid: serial for uid, serial in self.uids.items() if serial != item.serial}

    def renumber(self, uid_validity: int) -> None:
        """UIDVALIDITY changes, and all UIDs."""
        self.uid_validity = uid_validity
        self.uids = {n: item.serial for n, (_, item) in enumerate(self.present(), 1)}
        self.next_uid = len(self.uids) + 1
