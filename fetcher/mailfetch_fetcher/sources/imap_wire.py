"""The wire of IMAP (RFC 9051): commands out, answers in, literals handed out as they come."""

import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources.imap_channel import LONGEST_LINE, Channel

LONGEST_TEXT = 1 << 20
"""Bytes of literals other than a body (a folder name)."""
LONGEST_RUN = 32 << 20
"""Bytes of answers that are kept of one command; a server without measure must not take the memory of all mailboxes."""
_ANSWER_COSTS = 200
"""Bytes of memory that an answer takes besides its text."""

_LITERAL = re.compile(rb"~?\{(\d{1,18})\+?\}$")
_BODY = re.compile(rb"BODY\[[^\]]*\](?:<[\d.]+>)? ?$")
_BODY_QUOTED = re.compile(rb'BODY\[[^\]]*\](?:<[\d.]+>)? "((?:[^"\\]++|\\.)*+)"')
_STATUS = re.compile(rb"\* (OK|NO|BAD|BYE|PREAUTH)\b ?(.*)", re.IGNORECASE | re.DOTALL)
_UID_VALIDITY = re.compile(rb"\[UIDVALIDITY (\d{1,10})\]", re.IGNORECASE)
_NUMBERED = re.compile(rb"\* (\d{1,10}) (EXISTS|EXPUNGE|FETCH)\b", re.IGNORECASE)

_ANSWERS = 500
"""Answers between two signs of life."""


def _nothing() -> None:
    pass


class Refused(Exception):
    """The server answered a command with NO or BAD. `text` is as the server wrote it, code included."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status
        self.text = text


@dataclass(slots=True)
class Answer:
    """One untagged answer.

    Attributes:
        text: Its text without line ends; literals that are not bodies stand in it as quoted strings.
        body: The body (or header, or part) that it carries, if that is at most as long as was allowed.
        chunks: A longer body, to be read before the next answer is asked for; what follows it joins `text` then.
        length: Bytes of the body; -1 without one.
    """

    text: bytes
    body: bytes | None = None
    chunks: Iterator[bytes] | None = None
    length: int = -1

    @property
    def is_fetch(self) -> bool:
        """It answers a FETCH, or tells of changed flags."""
        return (match := _NUMBERED.match(self.text)) is not None and match[2].upper() == b"FETCH"


class Wire(Channel):
    """Speaks IMAP over a channel, one command at a time, and keeps count of the mails in the open folder.

    Attributes:
        exists: Number of mails, as told last.
        news: The server told of a new mail since this was last set to False.
        mailbox: Whose mail is read, for messages.
        uid_validity: UIDVALIDITY of the open folder; a server that tells another one has made the folder anew. 0: any.
    """

    def __init__(
        self, sock: socket.socket, *, address: str, timeout: float, alive: Callable[[], None] = _nothing
    ) -> None:
        """Takes over a connected socket.

        Args:
            sock: The socket; the wire closes it.
            address: `host:port`, for messages.
            timeout: Seconds that the server may be silent.
            alive: Called again and again while a long answer is read; may raise to give up.
        """
        super().__init__(sock, address=address, timeout=timeout)
        self.exists = 0
        self.news = False
        self.mailbox = ""
        self.uid_validity = 0
        self._alive = alive
        self._tag = 0

    def start(self, command: bytes) -> bytes:
        """Sends a command; returns its tag."""
        self._tag += 1
        tag = b"M%d" % self._tag
        self.send(tag + b" " + command + b"\r\n")
        return tag

    def run(self, command: bytes) -> list[Answer]:
        """Sends a command and collects its answers; the last one is the tagged OK (its text without the tag)."""
        found: list[Answer] = []
        size = 0
        for answer in self.answers(self.start(command)):
            size += len(answer.text) + len(answer.body or b"") + _ANSWER_COSTS
            if size > LONGEST_RUN:
                raise self.broken(errors.endless(self.address))
            found.append(answer)
        return found

    def answers(self, tag: bytes, *, longest_body: int = LONGEST_TEXT) -> Iterator[Answer]:
        """The untagged answers to a command as they come, then the tagged OK.

        A longer body than `longest_body` comes as `chunks` of that size. A caller that stops early ends the connection.

        Raises:
            Refused: the command was refused.
        """
        done = False
        count = 0
        try:
            while True:
                count += 1
                if count % _ANSWERS == 0:
                    self._alive()
                line = self.line()
                if line.startswith(tag) and line[len(tag) : len(tag) + 1] == b" ":
                    done = True
                    yield self.completed(line[len(tag) + 1 :])
                    return
                if not line.startswith(b"*"):
                    raise self.broken(errors.nonsense(self.address, line))
                answer = self.untagged(line, longest_body=longest_body)
                yield answer
                for _ in answer.chunks or ():
                    self._alive()  # what the caller did not want is read away
        finally:
            if not done:
                self.shut()

    def completed(self, line: bytes) -> Answer:
        """The tagged answer, given without its tag.

        Raises:
            Refused: it is NO or BAD.
        """
        status, _, text = line.partition(b" ")
        if status.upper() == b"OK":
            return Answer(text=line)
        if status.upper() not in (b"NO", b"BAD"):
            raise self.broken(errors.nonsense(self.address, line))
        refusal = Refused(status.decode().upper(), errors.clean(text))
        if farewell := errors.farewell(self.address, self.mailbox, refusal.text):
            raise self.broken(farewell)
        raise refusal

    def untagged(self, line: bytes, *, longest_body: int = LONGEST_TEXT) -> Answer:
        """The answer that begins with `line`; notes what it says about the number of mails."""
        if status := _STATUS.match(line):
            if status[1].upper() == b"BYE":
                raise self.broken(errors.bye(self.address, errors.clean(status[2])))
            if self.uid_validity and (told := _UID_VALIDITY.search(line)) and int(told[1]) != self.uid_validity:
                raise self.broken(errors.made_anew(self.address))
            return Answer(text=line)  # free text: a `{5}` at its end is no literal
        if not line.endswith(b"}"):
            self._count(line)
            return _quoted_body(line) if b"BODY[" in line else Answer(text=line)
        return self._with_literals(line, longest_body)

    def _with_literals(self, line: bytes, longest_body: int) -> Answer:
        answer = Answer(text=b"")
        while literal := _LITERAL.search(line):
            before, size = line[: literal.start()], int(literal[1])
            answer.text += before
            if not _BODY.search(before):
                if size > LONGEST_TEXT or len(answer.text) > LONGEST_LINE:
                    raise self.broken(errors.nonsense(self.address, line))
                answer.text += _quote(self.read(size))
            elif size > longest_body:
                answer.length = size
                answer.chunks = self._chunks(answer, size, longest_body)
                return answer
            else:
                answer.length, answer.body = size, self.read(size)
            line = self._after_literal(may_end=answer.body is None)  # as in LIST
        answer.text += line
        return answer

    def _chunks(self, answer: Answer, size: int, step: int) -> Iterator[bytes]:
        left = size
        while left:
            chunk = self.read(min(left, step))
            left -= len(chunk)
            yield chunk
        line = self._after_literal()
        if _LITERAL.search(line):
            raise self.broken(errors.nonsense(self.address, line))
        answer.text += line

    def _after_literal(self, *, may_end: bool = False) -> bytes:
        line = self.line()
        if line[:1] not in (b")", b" ") and (line or not may_end):  # the literal was longer or shorter than it said
            raise self.broken(errors.nonsense(self.address, line))
        return line

    def _count(self, line: bytes) -> None:
        if match := _NUMBERED.match(line):
            number, word = int(match[1]), match[2].upper()
            if word == b"EXISTS":
                self.news = self.news or number > self.exists
                self.exists = number
            elif word == b"EXPUNGE":
                self.exists = max(self.exists - 1, 0)


def _quoted_body(line: bytes) -> Answer:
    """A server may send a short body as a quoted string (of a long one it would take much memory to read it)."""
    match = _BODY_QUOTED.search(line) if len(line) <= LONGEST_TEXT else None
    if match is None:
        return Answer(text=line)  # NIL, or not a body at all
    body = re.sub(rb"\\(.)", rb"\1", match[1])
    return Answer(text=line[: match.start()] + line[match.end() :], body=body, length=len(body))


def _quote(raw: bytes) -> bytes:
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
