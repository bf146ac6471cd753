"""The folders of the scripted IMAP server (imapfake.py): mails, UIDs, searching."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


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

    def add(self, raw: bytes, *, uid: int = 0, flags: Iterable[str] = (), date: str = "") -> FakeMail:
        mail = FakeMail(uid=max(uid, self.uid_next), raw=raw, flags=set(flags))
        mail.date = date or mail.date
        self.uid_next = mail.uid + 1
        self.mails.append(mail)
        return mail

    def chosen(self, uid_set: str) -> list[FakeMail]:
        """As RFC 9051 has it: `*` is the last mail, and `7:*` and `*:7` are the same."""
        highest = max((m.uid for m in self.mails), default=0)
        uids: set[int] = set()
        for part in uid_set.split(","):
            ends = [highest if end == "*" else int(end) for end in part.split(":")]
            low, high = min(ends), max(ends)
            uids.update(m.uid for m in self.mails if low <= m.uid <= high)
        return [m for m in self.mails if m.uid in uids]


def fits(mail: FakeMail, criteria: str) -> bool:
    """SEARCH, as far as the product uses it."""
    return all(_criterion(mail, *words) for words in _criteria(criteria))


def _criteria(text: str) -> Iterator[list[str]]:
    words = [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', text)]
    arguments = {"UID": 1, "LARGER": 1, "SMALLER": 1, "HEADER": 2}
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
    if name == "HEADER":
        return f"{values[0]}: {values[1]}".lower().encode() in mail.raw.lower()
    return {"ALL": True, "UNSEEN": r"\Seen" not in mail.flags, "DELETED": r"\Deleted" in mail.flags}[name]
