"""How far an IMAP folder was read (pure): the text that the store keeps, and the names of mails."""

from dataclasses import dataclass, replace

HIGHEST_UID = 2**32 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """Everything up to `uid` is settled; it counts only under `uid_validity`. All zero is the beginning.

    Attributes:
        uid_validity: UIDVALIDITY of the folder; 0 only at the beginning.
        uid: UID of the last mail that is settled.
        bound: Highest UID when the connection began; up to it only mails since `since` are wanted.
        since: Seconds since 1970.
    """

    uid_validity: int
    uid: int
    bound: int = 0
    since: int = 0

    def __str__(self) -> str:
        """`<uidvalidity>:<uid>`, and `;<bound>;<since>` while the filter still has something to say."""
        if not self.uid_validity:
            return ""
        return f"{self.uid_validity}:{self.uid}" + (f";{self.bound};{self.since}" if self.filters else "")

    @property
    def filters(self) -> bool:
        """Mails beyond it may be unwanted."""
        return self.uid < self.bound

    def at(self, uid: int) -> "Cursor":
        """The same, further on."""
        return replace(self, uid=uid)

    def wants(self, uid: int, received: int | None) -> bool:
        """The mail is to be downloaded; one whose date is unknown is (`store.md` 41)."""
        return uid > self.bound or received is None or received >= self.since


def read_cursor(text: str) -> Cursor:
    """The cursor that `str` of one wrote."""
    if not text:
        return Cursor(uid_validity=0, uid=0)
    place, *rest = text.split(";")
    uid_validity, uid = map(int, place.split(":"))
    bound, since = map(int, rest) if rest else (0, 0)
    return Cursor(uid_validity=uid_validity, uid=uid, bound=bound, since=since)


def key_of(uid_validity: int, uid: int) -> str:
    """Names a mail for ever (`Ref.key`)."""
    return f"{uid_validity}/{uid}"
