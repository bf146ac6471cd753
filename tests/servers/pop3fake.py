"""A scripted POP3 server for what real ones cannot be made to do: missing commands, odd lists, broken answers.

It is strict: an unknown command, a message that is not there, a command before the login, or commands sent ahead
without PIPELINING end the test with an error in `faults`. All commands are kept in `commands`, without secrets.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.servers.certs import Certificates
from tests.servers.fakeserver import CUT, SILENCE, FakeServer
from tests.servers.pop3fake_session import Session
from tests.servers.saslfake import POP3_REFUSAL, Tokens

__all__ = ["CUT", "SILENCE", "FakePop3", "Pop3Quirks", "PopMail"]


@dataclass(kw_only=True, eq=False)
class PopMail:
    """A mail in the mailbox. `size` is what LIST says, if not the truth."""

    raw: bytes
    uidl: bytes
    size: int | None = None


@dataclass
class Pop3Quirks:
    """How this server differs from a good one; may be changed while it runs."""

    greeting: bytes = b"+OK ready\r\n"
    before_login: tuple[str, ...] | None = ("SASL PLAIN", "USER", "UIDL", "TOP", "PIPELINING", "STLS")
    """The answer to CAPA; None: there is no CAPA."""
    after_login: tuple[str, ...] | None = ("UIDL", "TOP", "PIPELINING")
    uidl: bool = True
    top: bool = True
    answers: dict[str, bytes] = field(default_factory=dict)
    """Answers by command: raw bytes. `RETR` for all of them, `RETR 2` for that one, `PASS` without its argument."""
    body: Callable[[bytes], bytes] | None = None
    """What RETR sends behind its +OK line for a mail; may hold CUT."""
    header: Callable[[bytes], bytes] | None = None
    """What the mail looks like to TOP and RETR: for servers that rewrite headers."""
    pops: bool = False
    """As at Gmail: a mail that was retrieved in a session that ended with QUIT is never listed again."""
    pipelining: bool = True
    """Commands may be sent ahead."""
    line_end: bytes = b"\r\n"
    tokens: Tokens = field(default_factory=lambda: Tokens(refusal=POP3_REFUSAL))
    """Access tokens that it takes, where `before_login` offers a mechanism for them; in two lines, as Microsoft."""
    shared: str = ""
    """Mailbox that `user` may open besides the own one, named as the authorization identity."""


class FakePop3(FakeServer[Session]):
    quirks: Pop3Quirks

    def __init__(self, quirks: Pop3Quirks | None = None, *, certificates: Certificates | None = None) -> None:
        self.quirks = quirks or Pop3Quirks()
        self.mails: list[PopMail] = []
        self._next = 0
        super().__init__(certificates=certificates)

    def add(self, *raws: bytes, uidl: bytes = b"", size: int | None = None) -> None:
        """Adds mails, each with a UIDL of its own unless one is given."""
        for raw in raws:
            self._next += 1
            self.mails.append(PopMail(raw=raw, uidl=uidl or b"u%d" % self._next, size=size))

    @property
    def left(self) -> list[bytes]:
        """The mails that are in the mailbox."""
        return [mail.raw for mail in self.mails]

    def count(self, name: str) -> int:
        """How often a command was received."""
        return sum(command.split(" ")[0] == name for command in self.commands)

    def session(self, sock: socket.socket) -> Session:
        return Session(self, sock)
