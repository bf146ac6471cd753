"""A mailbox of the Graph double: folders, mails, and for each folder the log of what happened in it.

Tests name mails by their immutable id and folders by a well-known name, a display name or an id.
"""

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from tests.servers.graph_schema import HIDDEN, WELL_KNOWN, Refused, Wrong, item_not_found
from tests.servers.graph_things import Change, Folder, Happening, Loss, Mail, letters

if TYPE_CHECKING:
    from tests.servers.graph_delta import Token
    from tests.servers.graph_faults import Fault, Plan

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Mailbox:
    """All methods may be called from any thread."""

    def __init__(self, address: str, *, lock: threading.RLock, plan: "Plan") -> None:
        self.address = address
        self.lock = lock
        self.enabled = True
        """False: on-premises or without a licence."""
        self.shared: dict[str, bool] = {}
        """Accounts that may open it as a shared mailbox; True: and change it."""
        self.mails: dict[str, Mail] = {}
        self.gone: set[str] = set()
        """Ids, of both kinds, of mails that are not there any more."""
        self.folders: dict[str, Folder] = {}
        self.tokens: dict[str, Token] = {}
        self.largest_page = 1000
        """Entries of a page of changes, whatever is asked for."""
        self.running = 0
        self.highest = 0
        """The most requests that were under way at once, the refused ones included."""
        self._plan = plan
        self._made = 0
        self._folders_made = 0
        self._changes = 0
        for name, display in WELL_KNOWN.items():
            parent = "" if name == "msgfolderroot" else self.folder("msgfolderroot").id
            self.add_folder(display, parent=parent, well_known=name, hidden=name in HIDDEN)

    # ---- what tests do

    def deliver(
        self,
        raw: bytes,
        folder: str = "inbox",
        *,
        read: bool = False,
        received: str | None = "",
        type: str = "",
    ) -> str:
        """Puts a mail into a folder.

        Args:
            raw: The MIME.
            folder: As for `folder()`.
            read: Its isRead.
            received: Its receivedDateTime; empty: made up, two mails to a second; None: it has none.
            type: Its @odata.type if it is no ordinary mail, as `#microsoft.graph.eventMessageRequest`.

        Returns:
            Its immutable id.
        """
        with self.lock:
            self._made += 1
            created = f"{_EPOCH + timedelta(seconds=self._made // 2):%Y-%m-%dT%H:%M:%SZ}"
            mail = Mail(
                id=self._new_id(),
                raw=raw,
                folder=self.folder(folder),
                received=created if received == "" else received,
                created=created,
                read=read,
                type=type,
            )
            self.mails[mail.id] = mail
            self._enter(mail)
            return mail.id

    def move(self, id: str, folder: str) -> None:
        """Moves a mail. Back in a folder that it was in before, delta with immutable ids never tells of it again."""
        with self.lock:
            mail = self.mails[id]
            self._happened(mail, "removed")
            self.gone.add(mail.rest_id)
            mail.folder = self.folder(folder)
            mail.moves += 1
            self._enter(mail)

    def delete(self, id: str) -> None:
        """Deletes a mail for good."""
        with self.lock:
            mail = self.mails.pop(id)
            self._happened(mail, "removed")
            self.gone |= {mail.id, mail.rest_id}

    def mark(self, id: str, *, read: bool) -> None:
        with self.lock:
            mail = self.mails[id]
            if mail.read != read:
                mail.read = read
                mail.version += 1
                self._happened(mail, "updated")

    def add_folder(self, name: str, *, parent: str = "", well_known: str = "", hidden: bool = False) -> Folder:
        """Makes a folder below another; `parent` as for `folder()`, the top if empty."""
        with self.lock:
            above = self.folder(parent or "msgfolderroot").id if self.folders else ""
            self._folders_made += 1
            id_ = "AAMkAGF0" + letters(f"{self.address}/folder/{self._folders_made}") + "AAEMAAA="
            folder = Folder(id=id_, name=name, parent=above, well_known=well_known, hidden=hidden)
            self.folders[id_] = folder
            return folder

    def remove_folder(self, name: str) -> None:
        """Removes a folder with its mails."""
        with self.lock:
            folder = self.folder(name)
            for id_ in self.ids(folder.id):
                self.delete(id_)
            del self.folders[folder.id]

    def migrate(self) -> None:
        """Gives every mail another id and forgets all links: the mailbox was exported and imported."""
        with self.lock:
            for mail in list(self.mails.values()):
                raw, folder, read, received = mail.raw, mail.folder.id, mail.read, mail.received
                self.delete(mail.id)
                self.deliver(raw, folder, read=read, received=received, type=mail.type)
            for folder_ in self.folders.values():
                self.expire_sync(folder_.id)

    def share(self, account: str, *, write: bool = True) -> None:
        """Lets an account open this mailbox."""
        self.shared[account.lower()] = write

    def expire_sync(
        self, folder: str = "inbox", *, links: Literal["all", "skip", "delta"] = "all", how: Loss = "gone"
    ) -> None:
        """From now on the links given so far are refused: all of them, only nextLinks, or only deltaLinks."""
        with self.lock:
            where = self.folder(folder)
            where.loss = how
            for kind in where.generations:
                where.generations[kind] += links in ("all", kind)

    def fail(self, endpoint: str, fault: "Fault", *, times: int | None = 1, skip: int = 0, id: str = "") -> None:
        """As GraphFake.fail, for this mailbox only."""
        self._plan.add(endpoint, fault, times=times, skip=skip, id=id, mailbox=self.address)

    def ids(self, folder: str = "inbox") -> list[str]:
        """Immutable ids of the mails in a folder, in the order of their delivery."""
        with self.lock:
            where = self.folder(folder)
            return [mail.id for mail in self.mails.values() if mail.folder is where]

    def raw(self, id: str) -> bytes:
        return self.mails[id].raw

    def is_read(self, id: str) -> bool:
        return self.mails[id].read

    def where(self, id: str) -> str:
        """The folder of a mail: its well-known name, else its display name; empty: the mail is gone."""
        with self.lock:
            mail = self.mails.get(id)
            return (mail.folder.well_known or mail.folder.name) if mail else ""

    def folder(self, name: str) -> Folder:
        """A folder by id, well-known name (in any case) or display name."""
        with self.lock:
            if found := self.folders.get(name):
                return found
            for folder in self.folders.values():
                if (folder.well_known and folder.well_known == name.lower()) or folder.name == name:
                    return folder
            raise KeyError(name)

    # ---- what requests do

    def opened(self, name: str) -> Folder:
        """A folder as a path names it: display names open nothing."""
        for folder in self.folders.values():
            if name == folder.id or (folder.well_known and name.lower() == folder.well_known):
                return folder
        if _shaped(name):
            self._reject_altered(name, set(self.folders))
            raise Refused(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        raise Refused(400, "ErrorInvalidIdMalformed", "Id is malformed.")

    def mail(self, id: str) -> Mail:
        """A mail by either kind of id."""
        if mail := self.mails.get(id):
            return mail
        if id in self.gone:
            raise item_not_found()
        for mail in self.mails.values():
            if mail.rest_id == id:
                return mail
        self._reject_altered(id, {*self.mails, *self.gone})
        raise Wrong(400, "ErrorInvalidIdMalformed", "Id is malformed.")

    def in_folder(self, folder: Folder) -> list[Mail]:
        """As a listing gives them: newest first."""
        mails = [mail for mail in self.mails.values() if mail.folder is folder]
        return sorted(mails, key=lambda mail: mail.received or "", reverse=True)

    def _reject_altered(self, id: str, known: set[str]) -> None:
        if any(id.lower() == one.lower() for one in known):
            raise Wrong(404, "ErrorItemNotFound", "The id has lost its case.")

    def _enter(self, mail: Mail) -> None:
        back = mail.id in mail.folder.ever
        mail.folder.ever.add(mail.id)
        mail.version += 1
        self._happened(mail, "returned" if back else "created")

    def _happened(self, mail: Mail, what: Happening) -> None:
        self._changes += 1
        mail.folder.log.append(Change(number=self._changes, what=what, mail=mail, moves=mail.moves))

    @property
    def changes(self) -> int:
        """The number of the last change."""
        return self._changes

    def _new_id(self) -> str:
        # Mails 2n and 2n+1 have ids that differ only in the case of one letter.
        stem, odd = divmod(self._made, 2)
        return "AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0A" + letters(f"{self.address}/{stem}") + "aA"[odd] + "AA="


def _shaped(id: str) -> bool:
    return id.startswith("AAMk") and len(id) > 40
