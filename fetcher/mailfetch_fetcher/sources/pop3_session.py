"""One POP3 session, from login to QUIT or to the end of the connection, and what was taken in it.

QUIT is a change of the mailbox as soon as a mail was retrieved: Gmail never lists it again, and a server with EXPIRE 0
may delete it (`store.md` hazard 22). So the session keeps in mind which mails it retrieved and did not hand out.
"""

from collections.abc import Callable, Iterator, Sequence

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.pop3_capabilities import Capabilities
from mailfetch_fetcher.sources.pop3_connect import Login
from mailfetch_fetcher.sources.pop3_errors import Refused
from mailfetch_fetcher.sources.pop3_identity import REACH, identity
from mailfetch_fetcher.sources.pop3_listing import Maildrop, read_maildrop
from mailfetch_fetcher.sources.pop3_wire import AHEAD, Pop3Wire

AreKnown = Callable[[Sequence[bytes]], bool]
"""The ledger knows all of these names."""


class Pop3Session:
    """A logged-in connection with its list of mails.

    Attributes:
        wire: The connection.
        capabilities: Of the server, after the login.
        maildrop: The mails.
        ahead: Short commands that may be sent before their answers are read.
        ended: It is over.
        retrieved: A mail was retrieved.
        unsaved: Numbers of mails that were retrieved only for their header.
        spoiled: A mail was retrieved that is certainly not kept, so this session must never end with QUIT.
        delivered: Numbers of mails that were handed out whole.
    """

    def __init__(self, login: Login) -> None:
        """Lists the mailbox.

        Raises:
            SourceError: the list is refused or not complete.
        """
        self.wire: Pop3Wire = login.wire
        self.capabilities: Capabilities = login.capabilities
        self.ahead = AHEAD if "PIPELINING" in login.capabilities else 1
        self.ended = False
        self.retrieved = False
        self.unsaved: set[int] = set()
        self.spoiled = False
        self.delivered: set[int] = set()
        self.maildrop: Maildrop = read_maildrop(
            self.wire, must_have_uidl="UIDL" in self.capabilities, header_hash=self._header_hashes
        )

    def heads(self, numbers: Sequence[int], *, retrieve: bool) -> Iterator[bytes | None]:
        """The beginning of each mail, its header in any case; None for one that cannot be had.

        Args:
            numbers: Message numbers.
            retrieve: Where TOP does not work, the whole mail may be retrieved for its header.
        """
        for start in range(0, len(numbers), AHEAD):
            some = numbers[start : start + AHEAD]
            heads = self._top(some) if self.capabilities.may("TOP") else [None] * len(some)
            for number, head in zip(some, heads, strict=True):
                yield self._retrieve_head(number) if head is None and retrieve else head

    def quit_is_harmless(self, are_known: AreKnown) -> bool:
        """QUIT removes nothing that is not downloaded, once that is durable (`store.md` hazard 22)."""
        return not self.spoiled and are_known(self._unsaved_names())

    def quit(self) -> str:
        """Ends the session with QUIT; why that failed, or an empty text. A lost answer is a failure, too."""
        try:
            self.wire.run(b"QUIT")
        except Refused as e:
            return f"the server says: {e.text}"
        except SourceError as e:
            return e.message
        finally:
            self.close()
        return ""

    def close(self) -> None:
        """Ends the connection without changing the mailbox."""
        self.ended = True
        self.wire.close()

    # ---- inside ----

    def _unsaved_names(self) -> list[bytes]:
        """Names of the mails that were retrieved only for their header."""
        if not self.unsaved:
            return []
        return [self.maildrop.name(at) for at, number in enumerate(self.maildrop.numbers) if number in self.unsaved]

    def _header_hashes(self, numbers: Sequence[int]) -> Iterator[bytes]:
        for head in self.heads(numbers, retrieve=True):
            yield b"" if head is None else identity(head).replace(b" ", b"-")

    def _top(self, numbers: Sequence[int]) -> list[bytes | None]:
        heads: list[bytes | None] = []
        for _ in self.wire.each([b"TOP %d 0" % number for number in numbers], ahead=self.ahead):
            try:
                self.wire.status()
            except Refused:
                heads.append(None)
            else:
                heads.append(self._head())
        return heads

    def _retrieve_head(self, number: int) -> bytes | None:
        try:
            self.wire.run(b"RETR %d" % number)
        except Refused:
            return None
        self.retrieved = True
        self.unsaved.add(number)
        return self._head()

    def _head(self) -> bytes:
        """Reads an answer to its end, and keeps the beginning."""
        head = b""
        for part in self.wire.body(REACH):
            head = head or part
        return head[:REACH]
