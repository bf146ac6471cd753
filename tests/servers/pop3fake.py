"""A scripted POP3 server for what real ones cannot be made to do: missing commands, odd lists, broken answers.

It is strict: an unknown command, a message that is not there, a command before the login, or commands sent ahead
without PIPELINING end the test with an error in `faults`. All commands are kept in `commands`, without secrets.
"""

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.servers.certs import Certificates
from tests.servers.pop3fake_session import CUT, SILENCE, Session
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


class FakePop3:
    """Listens on a free port of 127.0.0.1; user `user`, password `pass`."""

    def __init__(self, quirks: Pop3Quirks | None = None, *, certificates: Certificates | None = None) -> None:
        self.quirks = quirks or Pop3Quirks()
        self.mails: list[PopMail] = []
        self.commands: list[str] = []
        self.secrets: list[bytes] = []
        self.faults: list[str] = []
        self.sent = 0
        """Bytes that the server has sent."""
        self.told = threading.Condition()
        self._certificates = certificates
        self._next = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.sessions: list[Session] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for session in self.sessions:
            session.end()
        if error is None and self.faults:
            raise AssertionError(f"the fake server saw: {self.faults}")

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

    def await_command(self, name: str) -> None:
        """Returns when a command of that name was received."""
        with self.told:
            assert self.told.wait_for(lambda: self.count(name) > 0, timeout=60), self.commands

    def context(self) -> ssl.SSLContext:
        assert self._certificates is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificates.certificate("server"), self._certificates.key("server"))
        return context

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(self, sock)
            self.sessions.append(session)
            threading.Thread(target=session.run, daemon=True).start()
