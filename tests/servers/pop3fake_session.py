"""One connection to the scripted POP3 server (pop3fake.py): reads commands, answers them, with quirks."""

import base64
import re
import socket
import ssl
from typing import TYPE_CHECKING

from tests.servers.fakeserver import SILENCE, FakeSession

if TYPE_CHECKING:
    from tests.servers.pop3fake import FakePop3, Pop3Quirks, PopMail

_SECRET = ("USER", "PASS")
_EARLY = ("CAPA", "STLS", "UTF8", "AUTH", "USER", "PASS", "QUIT")


class Session(FakeSession):
    server: "FakePop3"

    def __init__(self, server: "FakePop3", sock: socket.socket) -> None:
        super().__init__(server, sock)
        self.buffer = b""
        self.deaf = False
        self.user = b""
        self.mails: list[PopMail] | None = None
        """The mailbox as it was at the login; None before."""
        self.deleted: set[int] = set()
        self.retrieved: set[int] = set()

    @property
    def quirks(self) -> "Pop3Quirks":
        return self.server.quirks

    def serve(self) -> None:
        while line := self._line():
            self._command(line.rstrip(b"\r\n"))

    def ok(self, text: bytes = b"done") -> None:
        self.send(b"+OK " + text + self.quirks.line_end)

    def err(self, text: bytes) -> None:
        self.send(b"-ERR " + text + self.quirks.line_end)

    def _line(self) -> bytes:
        while b"\n" not in self.buffer:
            more = self.sock.recv(65536)
            if not more:
                return b""
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    def _command(self, line: bytes) -> None:
        self.deaf = self.deaf or re.search(rb"[\x00-\x1f]", line) is not None
        if self.deaf:
            return  # no commands any more: TLS in the wrong place
        word, _, rest = line.partition(b" ")
        name = word.decode("latin-1").upper()
        shown = name if name in _SECRET else line.decode("utf-8", "replace")
        self.server.record(shown)
        assert self.quirks.pipelining or not self.buffer, "sent ahead without PIPELINING"
        answer = self.quirks.answers.get(shown, self.quirks.answers.get(name))
        if answer is not None:
            if answer != SILENCE:
                self.send(answer)
            return
        handler = getattr(self, "_" + name.lower(), None)
        assert handler is not None, "unknown command"
        assert self.mails is not None or name in _EARLY, "not logged in"
        handler(rest)

    # ---- before the login ----

    def _capa(self, _: bytes) -> None:
        words = self.quirks.before_login if self.mails is None else self.quirks.after_login
        if words is None:
            self.err(b"unknown command")
            return
        self.send(b"+OK\r\n" + b"".join(word.encode() + b"\r\n" for word in words) + b".\r\n")

    def _stls(self, _: bytes) -> None:
        self.ok()
        self.sock = self.server.context().wrap_socket(self.sock, server_side=True)

    def _utf8(self, _: bytes) -> None:
        self.ok()

    def _auth(self, mechanism: bytes) -> None:
        offered = next((words for words in self.quirks.before_login or () if words.startswith("SASL ")), "")
        assert mechanism.decode() in offered.split(), mechanism
        self.send(b"+ \r\n")
        message = self._line().strip()
        if mechanism != b"PLAIN":
            self._check_token(mechanism.decode(), message.decode())
            return
        mailbox, user, password = base64.b64decode(message).split(b"\0")
        assert mailbox in (b"", self.quirks.shared.encode()), mailbox
        self._check(user, password)

    def _check_token(self, mechanism: str, message: str) -> None:
        assert isinstance(self.sock, ssl.SSLSocket), "a token in the clear"
        tokens = self.quirks.tokens
        if tokens.opens(mechanism, message):
            self.mails = list(self.server.mails)
            self.ok(b"User successfully authenticated.")
            return
        if tokens.challenge:
            self.send(b"+ " + tokens.challenged() + b"\r\n")
            tokens.check_answer(mechanism, self._line())
        self.err(tokens.refusal)

    def _user(self, user: bytes) -> None:
        self.user = user
        self.ok()

    def _pass(self, password: bytes) -> None:
        self._check(self.user, password)

    def _check(self, user: bytes, password: bytes) -> None:
        self.server.secrets += [user, password]
        if (user, password) == (b"user", b"pass"):
            self.mails = list(self.server.mails)
            self.ok(b"welcome")
        else:
            self.err(b"[AUTH] wrong user or password")

    # ---- after it ----

    def _noop(self, _: bytes) -> None:
        self.ok()

    def _stat(self, _: bytes) -> None:
        assert self.mails is not None
        self.ok(b"%d %d" % (len(self.mails) - len(self.deleted), sum(len(mail.raw) for mail in self.mails)))

    def _uidl(self, rest: bytes) -> None:
        assert self.mails is not None
        assert not rest
        if not self.quirks.uidl:
            self.err(b"unknown command")
            return
        self._list_of([mail.uidl for mail in self.mails])

    def _list(self, rest: bytes) -> None:
        assert self.mails is not None
        sizes = [b"%d" % (len(mail.raw) if mail.size is None else mail.size) for mail in self.mails]
        if rest:
            self.ok(b"%d %s" % (int(rest), sizes[self._index(rest)]))
        else:
            self._list_of(sizes)

    def _list_of(self, values: list[bytes]) -> None:
        lines = [b"%d %s" % (n, value) for n, value in enumerate(values, 1) if n - 1 not in self.deleted]
        end = self.quirks.line_end
        self.send(b"+OK listed" + end + b"".join(line + end for line in lines) + b"." + end)

    def _top(self, rest: bytes) -> None:
        number, _, lines = rest.partition(b" ")
        assert lines == b"0"
        mail = self._mail(number)
        if not self.quirks.top:
            self.err(b"unknown command")
            return
        head = re.split(rb"(?<=\r\n)\r\n", mail, maxsplit=1)[0]
        self.ok()
        self.send(stuffed(head + b"\r\n", self.quirks.line_end))

    def _retr(self, rest: bytes) -> None:
        mail = self._mail(rest)
        self.retrieved.add(self._index(rest))
        self.ok(b"%d octets" % len(mail))
        self.send(self.quirks.body(mail) if self.quirks.body else stuffed(mail, self.quirks.line_end))

    def _dele(self, rest: bytes) -> None:
        self.deleted.add(self._index(rest))
        self.ok()

    def _quit(self, _: bytes) -> None:
        if self.mails is not None:
            gone = self.deleted | (self.retrieved if self.quirks.pops else set())
            for index in gone:
                self.server.mails.remove(self.mails[index])
        self.ok(b"bye")
        self.end()

    def _index(self, number: bytes) -> int:
        assert self.mails is not None
        index = int(number) - 1
        assert 0 <= index < len(self.mails), f"no mail {number!r}"
        assert index not in self.deleted, f"deleted mail {number!r}"
        return index

    def _mail(self, number: bytes) -> bytes:
        assert self.mails is not None
        raw = self.mails[self._index(number)].raw
        return self.quirks.header(raw) if self.quirks.header else raw


def stuffed(raw: bytes, end: bytes = b"\r\n") -> bytes:
    """A mail as it travels: each line that begins with a dot gets another one, and a dot ends it."""
    raw = raw if raw.endswith(end) or not raw else raw + end
    return re.sub(rb"(\A|" + end + rb")\.", lambda match: match[0] + b".", raw) + b"." + end
