"""Where a run may be stopped: the labelled fault points, one line each.

A point is a pattern of request or reply on the wire, its n-th occurrence, and how much of it has passed. A point that a
run never reaches fails its case, so a pattern that the product has outgrown is noticed.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from tests.chaos.framing import Side
from tests.chaos.trap import Place, Step, Then, Via

Server = Literal["imap", "imap-old", "pop3", "graph", "graph-untidy"]
"""Dovecot as it is; without MOVE (mails are copied, then removed); over POP3. The double of Microsoft Graph as it is;
with changes in any order, told twice and again, on pages of which some are empty."""
Action = Literal["None", "MarkSeen", "Delete", "Move"]
Prepared = Literal["new", "known", "reset", "baseline", "refetch", "read", "paged", "quiet", "left", "running"]
"""What was before: nothing; half of the mails known; the same, and numbered anew; not wanted; all known; a reader;
nothing, and small pages; all known, and the next ones come later; half known, of which some are gone; all known, and
the next ones come when the fetcher has compared everything (which heals much) and polls."""

PATTERNS: Final = {
    # Scripts, by what makes each of them what it is.
    "TAKE": r"'epoch', 1\)",
    "COMMIT": r"'NOBLOB'",
    "PART": r"'APPEND', KEYS",
    "BARRIER": r"'INCR'.*:barrier\r\n",
    "SETTLE": r"'ZREM', KEYS\[2\], ARGV\[p\]",
    "TRIM": r"'NOGROUP'",
    "PHASE": r"local scores = \{\}",
    # Commands to Redis.
    "STATE": r"HGETALL\r\n.*:state\r\n",
    "OUTBOX": r"\$6\r\nZRANGE\r\n.*:outbox\r\n",
    "DISK": r"\$7\r\nWAITAOF\r\n|\$4\r\nWAIT\r\n|^\*1\r\n\$4\r\nINFO\r\n",
    # IMAP.
    "SELECT": r"^(SELECT|EXAMINE) ",
    "LIST": r"^UID FETCH \d+:\S+ \(UID",
    "HEADER": r"^UID FETCH .*BODY\.PEEK\[HEADER",
    "BODY": r"^UID FETCH .*BODY\.PEEK\[\]",
    "SEEN": r"^UID STORE .*\\Seen",
    "DELETED": r"^UID STORE .*\\Deleted",
    "EXPUNGE": r"^(UID )?EXPUNGE",
    "MOVE": r"^UID MOVE ",
    "COPY": r"^UID COPY ",
    # POP3.
    "UIDL": r"(?i)^UIDL\s*$",
    "RETR": r"(?i)^RETR ",
    "DELE": r"(?i)^DELE ",
    "QUIT": r"(?i)^QUIT",
    # Microsoft Graph. `LINKED` is a commit that holds the link for the next round.
    "DELTA": r"^GET \S+/messages/delta\?",
    "NEXT": r"^GET \S+/messages/delta\?\$skiptoken=",
    "LINK": r"^GET \S+/messages/delta\?\$deltatoken=",
    "VALUE": r"^GET \S+/\$value$",
    "PATCH": r"^PATCH ",
    "TAKEN": r"^POST \S+/move$",
    "LINKED": r"'NOBLOB'.*\$deltatoken=",
    "TOKEN": r"^POST \S+/token$",
    "SEALED": r"'SET', KEYS\[2\], ARGV\[2\]",
    "TOUCH": r"^UID (STORE|MOVE|COPY) |^DELE |^PATCH |^POST ",
    # Answers.
    "LARGE": r"\{[1-9]\d{6,}\}\r\n",
    "HIT": r"\* \d+ FETCH .*\{\d+\}\r\n",
    "LONG": r".{60000}",
    "REMOVED": r"@removed",
    "EMPTY": r'"value": ?\[\]',
    "EXPIRED": r"^HTTP/1.1 410 ",
}

SIDES: Final[dict[str, Side]] = {">": "request", "<": "reply", "*": "part"}
# id | what | steps, joined by ";" | servers | actions ("acting": all but None) | what was before
# A step: via, ">" request "<" answer "*" part of an answer, PATTERN[#n][~ANSWER], place, maybe "cut" (steps on the way
# let everything pass, or cut the connection). Occurrences are counted from the moment when the session has its lease;
# with "^" from the start.
COMMON: Final = r"""
c1  | lease taken, answer unread    | ^ redis < TAKE before                            | all      | any
c1  | lease taken, answer read      | ^ redis < TAKE after                             | all      | any
c2  | state read                    | ^ redis < STATE#2 after                          | all      | any
c3  | commit not sent               | redis > COMMIT before                            | all      | any
c3  | second commit not sent        | redis > COMMIT#2 before                          | all      | any
c4  | commit half sent              | redis > COMMIT half                              | all      | any
c5  | commit sent, nothing heard    | redis > COMMIT#2 after                           | all      | any
c6  | commit done, answer unread    | redis < COMMIT before                            | all      | any
c6  | commit done, answer half read | redis < COMMIT#2 half                            | all      | any
c7  | commit's answer read          | redis < COMMIT after                             | all      | any
c8  | commit sent twice, unanswered | redis < COMMIT before cut; redis < COMMIT before | all      | any
c9  | barrier's write sent          | redis > BARRIER after                            | all      | acting
c10 | waiting for the disk          | redis > BARRIER after; redis > DISK after        | all      | acting
c10 | disk's answer unread          | redis > BARRIER after; redis < DISK before       | all      | acting
c11 | outbox read                   | redis < OUTBOX after                             | all      | acting
c11 | before the action             | mail > TOUCH before                              | all      | acting
c12 | action done, not settled      | redis > SETTLE before                            | all      | acting
c13 | settled, answer unread        | redis < SETTLE before                            | all      | acting
"""
BLOBS: Final = r"""
b1  | before the first part         | redis > PART before                              | all      | any
b2  | part half sent                | redis > PART#2 half                              | all      | any
b2  | part's answer lost            | redis < PART#2 before                            | all      | any
b3  | last part written             | redis < PART after; redis > COMMIT before        | all      | any
b5  | trim half sent                | redis > TRIM half                                | all      | any  | read
b5  | trimmed, answer unread        | redis < TRIM before                              | all      | any  | read
b5  | trimmed, bodies not removed   | redis < TRIM after                               | all      | any  | read
"""
MAIL: Final = r"""
i1  | folder opened                 | mail < SELECT after                              | imap*    | any
i2  | anchor looked at              | mail * HEADER half                               | imap*    | any  | known
i3  | list half read                | mail * LIST#3 half                               | imap*    | any
i3  | list read                     | mail < LIST after                                | imap*    | any
i5  | inside a mail                 | mail * BODY#2 half                               | imap*    | any
i5  | between two mails             | mail * BODY#4 after                              | imap*    | any
i6  | inside a large mail           | mail * BODY~LARGE half                           | imap*    | any
i7  | STORE half sent               | mail > SEEN half                                 | imap*    | MarkSeen
i7  | STORE done, answer lost       | mail < SEEN before                               | imap*    | MarkSeen
i8  | before COPY                   | mail > COPY before                               | imap-old | Move
i8  | COPY done, answer lost        | mail < COPY before                               | imap-old | Move
i8  | COPY done, phase unwritten    | mail < COPY after; redis > PHASE before          | imap-old | Move
i9  | copied, before \Deleted       | mail > DELETED before                            | imap-old | Move
i10 | \Deleted, before EXPUNGE      | mail > EXPUNGE before                            | imap*    | Delete
i10 | EXPUNGE half answered         | mail * EXPUNGE#2 half                            | imap*    | Delete
i11 | MOVE half sent                | mail > MOVE half                                 | imap     | Move
i11 | MOVE done, answer lost        | mail < MOVE before                               | imap     | Move
p1  | UIDL half read                | mail < UIDL half                                 | pop3     | any
p2  | inside a mail                 | mail < RETR#2 half                               | pop3     | any
p3  | retrieved, not committed      | mail < RETR#3 after; redis > COMMIT before       | pop3     | any
p4  | some DELE sent                | mail < DELE#4 before                             | pop3     | Delete
p5  | all DELE, before QUIT         | mail > DELE after; mail > QUIT before            | pop3     | Delete
p6  | QUIT sent, nothing heard      | mail > DELE after; mail > QUIT after             | pop3     | Delete
p6  | QUIT done, answer lost        | mail < QUIT before                               | pop3     | any
p7  | QUIT answered, not settled    | mail < QUIT after; redis > SETTLE before         | pop3     | Delete
p9  | removed, ledger not pruned    | mail > DELE after; redis < SETTLE after          | pop3     | Delete
"""
RESETS: Final = r"""
r1  | new UIDVALIDITY seen          | mail < SELECT after                              | imap*    | any  | reset
r2  | in the middle of the walk     | mail * HEADER~HIT#3 half                         | imap*    | any  | reset
r3  | in the middle of the download | mail * BODY half                                 | imap*    | any  | reset
r3  | download done, answer unread  | mail < BODY after; redis < COMMIT before         | imap*    | any  | reset
r4  | last commit, answer unread    | mail < BODY after; redis < COMMIT#2 before       | imap*    | any  | reset
"""
STARTS: Final = r"""
s1  | baseline not committed        | redis > COMMIT before                            | all      | any  | baseline
s2  | baseline half sent            | redis > COMMIT half                              | all      | any  | baseline
s3  | baseline done, answer unread  | redis < COMMIT before                            | all      | any  | baseline
f1  | asked again, nothing done     | ^ redis < TAKE after                             | all      | None | refetch
f2  | in the middle of the list     | mail * BODY#2 half                               | imap*    | None | refetch
f2  | in the middle of the list     | mail < RETR#2 half                               | pop3     | None | refetch
f2  | in the middle of the list     | mail < VALUE#2 half                              | graph    | None | refetch
f3  | done, answer unread           | redis < COMMIT before                            | all      | None | refetch
f3  | all done, answer unread       | redis < COMMIT#2 before                          | all      | None | refetch
"""

GRAPH: Final = r"""
g1  | page half read                 | mail < DELTA half                                  | graph* | any
g1  | page read                      | mail < DELTA after                                 | graph* | any
g1  | next page not asked for        | mail > NEXT before                                 | graph* | any      | paged
g2  | inside a mail                  | mail < VALUE#2 half                                | graph* | any
g2  | inside a large mail            | mail < VALUE~LONG half                             | graph* | any
g3  | some committed of a page       | redis > COMMIT#2 before                            | graph* | any
g3  | some committed of a late page  | ^ redis > COMMIT#2 before                          | graph* | any      | running
g3  | inside the last of a late page | ^ mail < VALUE#7 half                              | graph* | any      | running
g3  | late commit not heard          | ^ redis < COMMIT before                            | graph* | any      | running
g3  | page committed, answer unread  | mail < NEXT after; redis < COMMIT before           | graph* | any      | paged
g4  | last page, link not committed  | redis > LINKED before                              | graph* | any      | paged
g4  | link's commit half sent        | redis > LINKED half                                | graph* | any
g4  | link committed, not heard      | redis < LINKED before                              | graph* | any
g4  | late link, commit not heard    | ^ redis < LINKED before                            | graph* | any      | running
g5  | removals only, page read       | mail < DELTA~REMOVED after                         | graph* | any      | left
g5  | removals only, not committed   | mail < DELTA~REMOVED after; redis > COMMIT before  | graph* | any      | left
g5  | removals only, answer unread   | mail < DELTA~REMOVED after; redis < COMMIT before  | graph* | any      | left
g5  | empty page, not committed      | mail < LINK~EMPTY after; redis > COMMIT before     | graph  | any      | quiet
g5  | empty page, answer unread      | mail < LINK~EMPTY after; redis < COMMIT before     | graph  | any      | quiet
g6  | 410 unread                     | mail < LINK~EXPIRED before                         | graph* | any      | reset
g6  | 410 read                       | mail < LINK~EXPIRED after                          | graph* | any      | reset
g6  | in the new round               | mail < LINK~EXPIRED after; mail < VALUE half       | graph* | any      | reset
g6  | new round, commit not heard    | mail < LINK~EXPIRED after; redis < COMMIT before   | graph* | any      | reset
g7  | first change sent              | ^ mail > TOUCH after                               | graph* | acting   | running
g7  | PATCH half sent                | mail > PATCH#2 half                                | graph* | MarkSeen
g7  | PATCH done, answer lost        | mail < PATCH#3 before                              | graph* | MarkSeen
g7  | move half sent                 | mail > TAKEN#2 half                                | graph* | Delete
g7  | move done, answer lost         | mail < TAKEN#3 before                              | graph* | Delete
g7  | move half sent                 | mail > TAKEN#2 half                                | graph* | Move
g7  | move done, answer lost         | mail < TAKEN#3 before                              | graph* | Move
g8  | own removal told, not settled  | mail < TAKEN#3 before cut; mail < LINK after       | graph* | Delete
g8  | own removal told, not settled  | mail < TAKEN#3 before cut; mail < LINK after       | graph* | Move
g8  | own removal told, settled      | ^ redis < SETTLE after; mail < DELTA~REMOVED after | graph* | Delete   | running
g8  | own removal, not committed     | mail < DELTA~REMOVED after; redis > COMMIT before  | graph* | Move
g8  | own removal, answer unread     | mail < DELTA~REMOVED after; redis < COMMIT before  | graph* | Delete
g9  | token given, answer unread     | ^ login < TOKEN before                             | graph* | any
g9  | token rotated, not stored      | ^ login < TOKEN after; redis > SEALED before       | graph* | any
g9  | token stored, answer unread    | ^ redis < SEALED before                            | graph* | any
g10 | link stored, not followed      | redis < LINKED after; mail > LINK before           | graph* | any
g10 | next round read                | redis < LINKED after; mail < LINK after            | graph* | any
"""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One fault point.

    Attributes:
        id: As in the specification of the store.
        what: For people.
        steps: What leads to it; the last one stops.
        servers: Where it exists.
        actions: With which after-download actions it exists.
        prepared: What was before.
    """

    id: str
    what: str
    steps: tuple[Step, ...]
    servers: tuple[Server, ...]
    actions: tuple[Action, ...]
    prepared: Prepared = "new"


def points(table: str) -> tuple[Point, ...]:
    """The points of a table."""
    return tuple(_point(*(cell.strip() for cell in line.split("|"))) for line in table.strip().splitlines())


def step(text: str, *, then: Then = "stop") -> Step:
    """`redis < COMMIT#2 before` as a step."""
    via, side, name, place, *more = text.split()
    if more == ["cut"]:
        then = "cut"
    name, _, n = name.partition("#")
    name, _, answer = name.partition("~")
    return Step(
        via=_one_of(Via, via),
        side=SIDES[side],
        about=PATTERNS[name],
        answer=PATTERNS[answer] if answer else "",
        n=int(n or 1),
        place=_one_of(Place, place),
        then=then,
    )


def _point(name: str, what: str, steps: str, servers: str, actions: str, prepared: str = "new") -> Point:
    from_start, steps = steps.startswith("^"), steps.removeprefix("^")
    *way, last = steps.split(";")
    found = (*(step(text, then="pass") for text in way), step(last))
    lease = step("redis < TAKE after", then="pass")
    known: dict[str, tuple[Server, ...]] = {
        "all": ("imap", "imap-old", "pop3", "graph"),
        "imap*": ("imap", "imap-old"),
        "graph*": ("graph", "graph-untidy"),
    }
    wanted: dict[str, tuple[Action, ...]] = {"any": get_args(Action), "acting": ("MarkSeen", "Delete", "Move")}
    return Point(
        id=name,
        what=what,
        steps=found if from_start else (lease, *found),
        servers=known.get(servers) or (_one_of(Server, servers),),
        actions=wanted.get(actions) or (_one_of(Action, actions),),
        prepared=_one_of(Prepared, prepared),
    )


def _one_of(kind: Any, text: str) -> Any:
    """The text as a value of this Literal."""
    if text not in get_args(kind):
        raise ValueError(f"'{text}' is none of {get_args(kind)}")
    return text
