"""The mails of one POP3 session by names that outlive it: UIDL with its occurrence, else a hash of the header.

Message numbers hold only within a session, so they never leave this module's `Maildrop` and are never remembered.
A list that is shorter than STAT says raises: from a mail that is not listed it is concluded that it is gone.

A mailbox may hold 100,000 mails or more, and a process many mailboxes: a label is kept once, names are made on demand.
"""

import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from urllib.parse import quote_from_bytes

from mailfetch_fetcher.sources import pop3_errors as errors
from mailfetch_fetcher.sources.pop3_errors import Refused
from mailfetch_fetcher.sources.pop3_wire import Pop3Wire

_LONGEST_LABEL = 200
_FEW = 50
"""Mails whose sizes are asked for one by one."""
UNREADABLE = b"=unreadable"
"""Label of a mail without UIDL whose header cannot be had."""
_STAT = re.compile(rb"\s*(\d{1,10})\b")
_NUMBERED = re.compile(rb"(\d{1,10})(?:[ \t]+(.*?))?[ \t]*$")

HeaderHash = Callable[[Sequence[int]], Iterator[bytes]]
"""Hashes of the headers of these message numbers, in their order; empty for one that cannot be had."""


class Maildrop:
    """The mails of one session by position, from 0, in the server's order.

    Attributes:
        bare: How many of them have no UIDL.
    """

    def __init__(self, numbers: Sequence[int], labels: Sequence[bytes], *, bare: int = 0) -> None:
        self.bare = bare
        self.numbers = array("L", numbers)
        self.sizes = array("Q", bytes(8 * len(numbers)))
        """Bytes, by the server's word; 0 until `read_sizes`, and where it does not tell."""
        self._labels = list(labels)
        self._first: dict[bytes, int] = {}
        self._twins: dict[bytes, list[int]] = {}
        self._occurrence: dict[int, int] = {}
        for position, label in enumerate(self._labels):
            first = self._first.setdefault(label, position)
            if first != position:
                twins = self._twins.setdefault(label, [first])
                twins.append(position)
                self._occurrence[position] = len(twins)

    def __len__(self) -> int:
        return len(self._labels)

    def name(self, position: int) -> bytes:
        """The ledger's name of a mail: `uidl <occurrence> <label>`."""
        return b"uidl %d %s" % (self._occurrence.get(position, 1), self._labels[position])

    def key(self, position: int) -> str:
        """`Ref.key` of a mail: label and occurrence, without blanks."""
        return f"{self._labels[position].decode()}/{self._occurrence.get(position, 1)}"

    def find(self, key: str) -> int | None:
        """The position of the mail that a `Ref.key` names, or None if it is not listed."""
        label, _, occurrence = key.rpartition("/")
        first = self._first.get(label.encode("ascii", "replace"))
        if first is None or not re.fullmatch(r"[1-9]\d{0,9}", occurrence):
            return None
        same = self.same(first)
        return same[int(occurrence) - 1] if int(occurrence) <= len(same) else None

    def same(self, position: int) -> Sequence[int]:
        """Positions of all mails with the same label, itself included, by occurrence."""
        return self._twins.get(self._labels[position], (self._first[self._labels[position]],))


def read_maildrop(wire: Pop3Wire, *, must_have_uidl: bool, header_hash: HeaderHash) -> Maildrop:
    """Lists the mailbox.

    Args:
        wire: A logged-in connection.
        must_have_uidl: The server announced UIDL; then a refusal is a failure, or every mail would get another name.
        header_hash: For mails that have no UIDL.

    Raises:
        SourceError: the list is refused or not complete.
    """
    total = _count(wire)
    listed = _uidl(wire, must_have_uidl)
    if listed is None:
        listed = {number: b"" for number in range(1, total + 1)}
    if len(listed) < total:
        raise wire.broken(errors.incomplete(wire.address, total, len(listed)))
    bare = [number for number, label in listed.items() if not label]
    for number, found in zip(bare, header_hash(bare), strict=True):
        listed[number] = b"=" + found if found else UNREADABLE
    return Maildrop(list(listed), list(listed.values()), bare=len(bare))


def read_sizes(wire: Pop3Wire, maildrop: Maildrop, positions: Sequence[int], *, ahead: int) -> None:
    """Fills in `Maildrop.sizes` for these mails: one by one if they are few, else with one list of all."""
    if not positions:
        return
    if len(positions) > _FEW:
        _list_sizes(wire, maildrop)
        return
    for index in wire.each([b"LIST %d" % maildrop.numbers[p] for p in positions], ahead=ahead):
        try:
            match = _NUMBERED.match(wire.status())
        except Refused:
            continue  # its body will tell
        if match and int(match[1]) == maildrop.numbers[positions[index]]:
            maildrop.sizes[positions[index]] = _size(match[2])


def _list_sizes(wire: Pop3Wire, maildrop: Maildrop) -> None:
    try:
        wire.run(b"LIST")
    except Refused:
        return
    positions = {number: position for position, number in enumerate(maildrop.numbers)}
    for line in wire.lines():
        match = _NUMBERED.match(line)
        if match and (position := positions.get(int(match[1]))) is not None:
            maildrop.sizes[position] = _size(match[2])


def _size(text: bytes | None) -> int:
    word = (text or b"").partition(b" ")[0]
    return int(word) if word.isdigit() and len(word) < 19 else 0


def _count(wire: Pop3Wire) -> int:
    try:
        answer = wire.run(b"STAT")
    except Refused as e:
        raise wire.broken(errors.refused(wire.address, "count the mails", e)) from e
    match = _STAT.match(answer)
    if match is None:
        raise wire.broken(errors.nonsense(wire.address, answer))
    return int(match[1])


def _uidl(wire: Pop3Wire, must: bool) -> dict[int, bytes] | None:
    """Labels by message number, empty where the server gives none; None without UIDL."""
    try:
        wire.run(b"UIDL")
    except Refused as e:
        if must or e.code or errors.busy(wire.address, e):
            raise wire.broken(errors.refused(wire.address, "list the mails (UIDL)", e)) from e
        return None
    listed: dict[int, bytes] = {}
    for line in wire.lines():
        match = _NUMBERED.match(line)
        if match is None or int(match[1]) in listed:
            raise wire.broken(errors.nonsense(wire.address, line))
        listed[int(match[1])] = _label(match[2] or b"")
    return listed


def _label(uidl: bytes) -> bytes:
    """A UIDL without blanks and of bounded length; what begins with `=` is never a UIDL."""
    quoted = quote_from_bytes(uidl, safe="").encode()
    return quoted if len(quoted) <= _LONGEST_LABEL else b"=uidl-" + sha256(uidl).hexdigest().encode()
