"""One connection to the scripted IMAP server (imapfake.py): reads commands, answers them, with quirks."""

import base64
import re
import socket
import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tests.servers.fakeserver import CUT, SILENCE, FakeSession
from tests.servers.imapfake_fetch import answer, words_of
from tests.servers.imapfake_mailbox import FakeFolder, FakeMail, fits, ranges

if TYPE_CHECKING:
    from tests.servers.imapfake import FakeImap, Quirks


class Session(FakeSession):
    server: "FakeImap"

    def __init__(self, server: "FakeImap", sock: socket.socket) -> None:
        super().__init__(server, sock)
        self.file = sock.makefile("rb")
        self.tag = b""
        self.folder = FakeFolder()
        self.logged_in = False

    @property
    def quirks(self) -> "Quirks":
        return self.server.quirks

    def serve(self) -> None:
        while line := self.file.readline():
            if not re.fullmatch(rb"[ -~]* [ -~\x80-\xff]+\r\n", line):
                continue  # no command: the end of an IDLE that was never begun, or TLS in the wrong place
            self.tag, _, text = line.rstrip(b"\r\n").partition(b" ")
            self._command(text.decode("utf-8", "surrogateescape"))

    def ok(self, text: bytes = b"done") -> None:
        self.send(self.tag + b" OK " + text + b"\r\n")

    def _command(self, text: str) -> None:
        words = text.split(" ")
        name = " ".join(words[:2]).upper() if words[0].upper() == "UID" else words[0].upper()
        self.server.record(text)
        if self.logged_in and self.quirks.unopened:
            self.send(
                self.tag + b" BAD User is authenticated but not connected.\r\n* BYE Connection closed. 14\r\n" + CUT
            )
        scripted = self.quirks.answers.get(name, self.quirks.faults_at.get(len(self.server.commands)))
        if scripted is not None:
            if scripted != SILENCE:
                self.send(scripted.replace(b"TAG", self.tag))
            return
        handler = getattr(self, "_" + name.lower().replace(" ", "_"), None)
        if handler is None:
            self.server.faults.append(f"unknown command {text}")
            self.send(self.tag + b" BAD unknown\r\n")
            return
        handler(text[len(name) :].strip())

    # ---- any state ----

    def _capability(self, _: str) -> None:
        self.send(f"* CAPABILITY {self._capabilities()}\r\n".encode())
        self.ok()

    def _capabilities(self) -> str:
        return self.quirks.after_login if self.logged_in else self.quirks.before_login

    def _noop(self, _: str) -> None:
        self.send(b"* %d EXISTS\r\n" % self.folder.exists)
        self.ok()

    def _starttls(self, _: str) -> None:
        self.ok()
        self.sock = self.server.context().wrap_socket(self.sock, server_side=True)
        self.file = self.sock.makefile("rb")

    def _authenticate(self, rest: str) -> None:
        mechanism, _, message = rest.partition(" ")
        assert f"AUTH={mechanism}" in self._capabilities().split(), rest
        assert not message or "SASL-IR" in self._capabilities(), "an initial response that was not offered"
        if not message:
            self.send(b"+ \r\n")
            message = self.file.readline().decode().strip()
        if mechanism != "PLAIN":
            self._check_token(mechanism, message)
            return
        mailbox, user, password = base64.b64decode(message).split(b"\0")
        assert mailbox in (b"", self.quirks.shared.encode()), mailbox
        self._check(user, password)

    def _check_token(self, mechanism: str, message: str) -> None:
        assert isinstance(self.sock, ssl.SSLSocket), "a token in the clear"
        tokens = self.quirks.tokens
        if tokens.opens(mechanism, message):
            self.logged_in = True
            self.ok(b"AUTHENTICATE completed.")
            return
        if tokens.challenge:
            self.send(b"+ " + tokens.challenged() + b"\r\n")
            tokens.check_answer(mechanism, self.file.readline())
        self.send(self.tag + b" NO " + tokens.refusal + b"\r\n")

    def _login(self, rest: str) -> None:
        words = []
        while rest:
            if literal := re.fullmatch(r"\{(\d+)\}", rest):
                self.send(b"+ go\r\n")
                words.append(self.file.read(int(literal[1])))
                rest = self.file.readline().decode().strip()
            else:
                quoted = re.match(r'"((?:[^"\\]|\\.)*)" ?', rest)
                assert quoted, rest
                words.append(re.sub(r"\\(.)", r"\1", quoted[1]).encode())
                rest = rest[quoted.end() :]
        self._check(*words)

    def _check(self, user: bytes, password: bytes) -> None:
        self.server.secrets += [user, password]
        if (user, password) == (b"user", b"pass"):
            self.logged_in = True
            self.ok()
        else:
            self.send(self.tag + b" NO [AUTHENTICATIONFAILED] wrong\r\n")

    # ---- folders ----

    def _select(self, rest: str, *, mode: bytes = b"READ-WRITE") -> None:
        name = re.sub(r"\\(.)", r"\1", rest.strip('"'))
        if name not in self.server.folders:
            self.send(self.tag + b" NO [NONEXISTENT] no such folder\r\n")
            return
        self.folder = self.server.folders[name]
        lines = [
            f"* {self.folder.exists} EXISTS",
            f"* OK [UIDVALIDITY {self.folder.uid_validity}] valid",
            f"* OK [PERMANENTFLAGS ({self.quirks.permanent_flags})] flags",
        ]
        if self.quirks.uid_next:
            lines.append(f"* OK [UIDNEXT {self.folder.uid_next}] next")
        self.send("".join(line + "\r\n" for line in lines).encode() + self.quirks.select_codes)
        self.ok(b"[" + mode + b"] selected")

    def _examine(self, rest: str) -> None:
        self._select(rest, mode=b"READ-ONLY")

    def _list(self, rest: str) -> None:
        pattern, special, _ = rest.removeprefix('""').strip().partition(" RETURN (SPECIAL-USE)")
        assert not special or "SPECIAL-USE" in self._capabilities(), rest
        for name, folder in self.server.folders.items():
            if pattern.strip('"') in ("*", name):
                quoted = name.replace("\\", "\\\\").replace('"', '\\"')
                self.send(f'* LIST ({folder.attributes}) {folder.separator} "{quoted}"\r\n'.encode())
        self.ok()

    def _status(self, rest: str) -> None:
        name = rest.partition(" (")[0].strip('"')
        folder = self.server.folders[name]
        self.send(f'* STATUS "{name}" (UIDVALIDITY {folder.uid_validity})\r\n'.encode())
        self.ok()

    # ---- mails ----

    def _uid_fetch(self, rest: str) -> None:
        uid_set, _, items = rest.partition(" ")
        self._answer(self.folder.numbered(uid_set), items)

    def _fetch(self, rest: str) -> None:
        numbers, _, items = rest.partition(" ")
        assert items == "(UID)", rest  # message numbers are for looking only
        places = [n for low, high in ranges(numbers, self.folder.exists) for n in range(low, high + 1)]
        self._answer([(n, self.folder.mails[n - 1]) for n in places], items)

    def _answer(self, mails: Iterable[tuple[int, FakeMail]], items: str) -> None:
        if "BODY[" in items:
            self.server.faults.append(f"a body without PEEK: {items}")
        asked, quirks = words_of(items), self.quirks
        made: list[bytes] = []
        for number, mail in reversed(list(mails)) if quirks.descending else mails:
            if mail.uid in quirks.refused and any(item.startswith(quirks.refused_item) for item in asked):
                self.send(b"".join(made) + self.tag + b" NO " + quirks.refusal + b"\r\n")
                return
            if "BODY.PEEK[]" in asked and mail.uid in quirks.left_out:
                continue
            made.append(answer(mail, number, asked, quirks))
            if quirks.noise:
                made += [b"* 1 FETCH (FLAGS (UID 4711))\r\n* %d EXISTS\r\n" % self.folder.exists, made[-1]]
            if len(made) > 500:
                self.send(b"".join(made))
                made = []
        self.send(b"".join(made))
        self.ok()

    def _uid_search(self, rest: str) -> None:
        count = rest.startswith("RETURN (COUNT) ")
        assert not count or "ESEARCH" in self._capabilities(), rest
        found = [m.uid for m in self.folder.mails if fits(m, rest.removeprefix("RETURN (COUNT) "))]
        if count:
            self.send(b'* ESEARCH (TAG "%s") UID COUNT %d\r\n' % (self.tag, len(found)))
        else:
            self.send(b"* SEARCH" + b"".join(b" %d" % uid for uid in found) + b"\r\n")
        self.ok()

    def _uid_store(self, rest: str) -> None:
        uid_set, action, flags = rest.split(" ", 2)
        assert action == "+FLAGS.SILENT", rest
        for mail in self.folder.chosen(uid_set):
            mail.flags.update(flags.strip("()").split())
        self.ok()

    def _uid_copy(self, rest: str) -> None:
        uid_set, name = rest.split(" ", 1)
        for mail in self.folder.chosen(uid_set):
            self.server.folders[name.strip('"')].add(mail.raw, flags=mail.flags, date=mail.date)
        self.ok()

    def _uid_move(self, rest: str) -> None:
        uid_set, name = rest.split(" ", 1)
        moved = self.folder.chosen(uid_set)
        for mail in moved:
            self.server.folders[name.strip('"')].add(mail.raw, flags=mail.flags, date=mail.date)
        self._remove({m.uid for m in moved})
        self.ok()

    def _uid_expunge(self, rest: str) -> None:
        self._remove({m.uid for m in self.folder.chosen(rest) if r"\Deleted" in m.flags})
        self.ok()

    def _expunge(self, _: str) -> None:
        self._remove({m.uid for m in self.folder.mails if r"\Deleted" in m.flags})
        self.ok()

    def _remove(self, uids: set[int]) -> None:
        for mail in [m for m in self.folder.mails if m.uid in uids]:
            self.send(b"* %d EXPUNGE\r\n" % (self.folder.mails.index(mail) + 1))
            self.folder.mails.remove(mail)

    def _idle(self, _: str) -> None:
        self.send(b"+ idling\r\n")
        if line := self.file.readline():
            assert line == b"DONE\r\n", line
            self.ok()
