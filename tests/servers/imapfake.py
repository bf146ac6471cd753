"""A scripted IMAP server for what Dovecot cannot be made to do: odd answers, missing extensions, broken bodies.

It is strict: a command that it does not know, a message sequence number where a UID belongs, or a body that is
fetched without PEEK ends the test with an error in `faults`. All commands are kept in `commands`.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.servers.certs import Certificates
from tests.servers.fakeserver import CUT, SILENCE, FakeServer
from tests.servers.imapfake_mailbox import FakeFolder, FakeMail, VastFolder
from tests.servers.imapfake_session import Session
from tests.servers.saslfake import Tokens

__all__ = ["CUT", "SILENCE", "FakeFolder", "FakeImap", "FakeMail", "Quirks", "VastFolder"]


@dataclass
class Quirks:
    """How this server differs from a good one; may be changed while it runs."""

    greeting: bytes = b"* OK ready\r\n"
    before_login: str = "IMAP4rev1 AUTH=PLAIN SASL-IR"
    after_login: str = "IMAP4rev1 UIDPLUS MOVE IDLE ESEARCH"
    uid_next: bool = True
    permanent_flags: str = r"\Answered \Flagged \Deleted \Seen \Draft \*"
    select_codes: bytes = b""
    """More untagged lines in the answer to SELECT."""
    answers: dict[str, bytes] = field(default_factory=dict)
    """Answers by command name (`LOGIN`, `UID COPY`): raw bytes, `TAG` stands for the tag."""
    faults_at: dict[int, bytes] = field(default_factory=dict)
    """The same by the number of the command, counted from 1 over all connections."""
    descending: bool = False
    noise: bool = False
    """Answers with flags only, and every FETCH answer twice."""
    left_out: set[int] = field(default_factory=set)
    """UIDs whose body is left out of the answer, which is OK."""
    refused: set[int] = field(default_factory=set)
    """UIDs that make the server say NO to `refused_item`, after it has answered for those before."""
    refused_item: str = "BODY.PEEK[]"
    refusal: bytes = b"[SERVERBUG] cannot read it"
    sizes: dict[int, int] = field(default_factory=dict)
    """RFC822.SIZE of these UIDs, if it is wrong."""
    partial: bool = True
    """It takes notice of the range of a partial fetch."""
    unnamed: set[int] = field(default_factory=set)
    """UIDs without EMAILID."""
    body: Callable[[FakeMail], bytes] | None = None
    """What follows `BODY[] ` for a mail; may hold CUT."""
    tokens: Tokens = field(default_factory=Tokens)
    """Access tokens that it takes, where `before_login` offers a mechanism for them."""
    shared: str = ""
    """Mailbox that `user` may open besides the own one, named as the authorization identity."""
    unopened: bool = False
    """As Exchange Online: the login succeeds, and no command after it does."""
    uid_last: bool = False
    """UID and all other items behind the body."""


class FakeImap(FakeServer[Session]):
    quirks: Quirks

    def __init__(self, quirks: Quirks | None = None, *, certificates: Certificates | None = None) -> None:
        self.quirks = quirks or Quirks()
        self.folders = {"INBOX": FakeFolder()}
        super().__init__(certificates=certificates)

    @property
    def inbox(self) -> FakeFolder:
        return self.folders["INBOX"]

    def push(self, line: bytes) -> None:
        """Says something unasked on every connection."""
        for session in self.sessions:
            session.send(line)

    def session(self, sock: socket.socket) -> Session:
        return Session(self, sock)
