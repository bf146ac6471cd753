"""The folders of the scripted IMAP server (imapfake.py): mails, UIDs, searching."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass
class FakeMail:
    uid: int
    raw: bytes
    flags: set[str] = field(default_factory=set)
    date: str = "01-Jan-2024 10:00:00 +0000"


@dataclass
class FakeFolder:
    uid_validity: int = 1
    mails: list[FakeMail] = field(default_factory=list)
    uid_next: int = 1
    attributes: str = r"\HasNoChildren"
    separator: str = '"/"'

    def add(self, raw: bytes, *, uid: int = 0, flags: Iterable[str] = (), date: str = "") -> FakeMail:
        mail = FakeMail(uid=max(uid, self.uid_next), raw=raw, flags=set(flags))
        mail.date = date or mail.date
        self.uid_next = mail.uid + 1
        self.mails.append(mail)
        return mail

    @property
    def exists(self) -> int:
        return len(self.mails)

    @property
    def uids(self) -> list[int]:
        return [mail.uid for mail in self.mails]

    def chosen(self, uid_set: str) -> list[FakeMail]:
        """As RFC 9051 has it: `*` is the last mail, and `7:*` and `*:7` are the same."""
        highest = max((m.uid for m in self.mails), default=0)
        wanted = list(ranges(uid_set, highest))
        return [m for m in self.mails if any(low <= m.uid <= high for low, high in wanted)]

    def numbered(self, uid_set: str) -> Iterator[tuple[int, FakeMail]]:
        """With their places."""
        places = {id(mail): place for place, mail in enumerate(self.mails, start=1)}
        return ((places[id(mail)], mail) for mail in self.chosen(uid_set))


@dataclass
class VastFolder(FakeFolder):
    """Very many mails that take no memory: UIDs are `step`, `2 * step`, …; each is made when it is asked for."""

    count: int = 0
    step: int = 1

    def __post_init__(self) -> None:
        self.uid_next = self.count * self.step + 1

    @property
    def exists(self) -> int:
        return self.count

    def chosen(self, uid_set: str) -> list[FakeMail]:
        return [mail for _, mail in self.numbered(uid_set)]

    def numbered(self, uid_set: str) -> Iterator[tuple[int, FakeMail]]:
        for low, high in ranges(uid_set, self.count * self.step):
            for place in range(-(-low // self.step), min(high // self.step, self.count) + 1):
                uid = place * self.step
                yield place, FakeMail(uid=uid, raw=b"Message-ID: <%d@vast.test>\r\n\r\n" % uid)


def ranges(uid_set: str, highest: int) -> Iterator[tuple[int, int]]:
    for part in uid_set.split(","):
        ends = [highest if end == "*" else int(end) for end in part.split(":")]
        yield min(ends), max(ends)


def fits(mail: FakeMail, criteria: str) -> bool:
    """SEARCH, as far as the product uses it."""
    if nested := re.fullmatch(r"(.*) NOT \((.*)\)", criteria):
        return fits(mail, nested[1]) and not fits(mail, nested[2])
    return all(_criterion(mail, *words) for words in _criteria(criteria))


def _criteria(text: str) -> Iterator[Sequence[str]]:
    words = [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', text)]
    arguments = {"UID": 1, "LARGER": 1, "SMALLER": 1, "BEFORE": 1, "HEADER": 2}
    while words:
        count = 1 + arguments.get(words[0], 0)
        yield words[:count]
        words = words[count:]


def _criterion(mail: FakeMail, name: str, *values: str) -> bool:
    if name == "UID":
        low, high = map(int, values[0].split(":"))
        return low <= mail.uid <= high
    if name in ("LARGER", "SMALLER"):
        return len(mail.raw) > int(values[0]) if name == "LARGER" else len(mail.raw) < int(values[0])
    if name == "BEFORE":
        received = datetime.strptime(mail.date.split(" ")[0], "%d-%b-%Y")  # noqa: DTZ007 - days, as SEARCH has it
        return received < datetime.strptime(values[0], "%d-%b-%Y")  # noqa: DTZ007
    if name == "HEADER":
        return f"{values[0]}: {values[1]}".lower().encode() in mail.raw.lower()
    return {"ALL": True, "UNSEEN": r"\Seen" not in mail.flags, "DELETED": r"\Deleted" in mail.flags}[name]
