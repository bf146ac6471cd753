"""Did a consumer group really acknowledge a mail? Pure decisions; `groups.py` looks (`store.md`, hazard 26).

"Delivered and not pending" is also true of a group that was made at `$`, moved with SETID, or destroyed and made anew.
So an acknowledgement counts only if the group was observed *before* the entry and nothing strange happened since. After
anything strange proof begins anew behind the newest entry: actions for older mails are dropped, and the mails stay as
they are in the mailbox.
"""

import json
from dataclasses import dataclass
from typing import Literal

from mailfetch_fetcher.store.outbox import parse_entry

Verdict = Literal["new", "pending", "gone", "marked", "acked"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What is known of a group; kept in the state (`groupSeen`).

    Attributes:
        group: Its name.
        token: Of the sentinel in it; another token means another group of the same name.
        since: Only acknowledgements of entries behind this one prove anything.
        last: Last delivered entry at the last look.
        read: Entries read by then; None if Redis does not know.
    """

    group: str
    token: str
    since: str
    last: str
    read: int | None

    def encode(self) -> str:
        """As the state holds it."""
        fields = {"group": self.group, "token": self.token, "from": self.since, "last": self.last, "read": self.read}
        return json.dumps(fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """A group at one moment.

    Attributes:
        record: What was noted when its sentinel was put in.
        last: Last delivered entry.
        read: Entries read; None if Redis does not know.
        newest: Newest entry of the queue.
        verdicts: One for each entry that was asked about.
    """

    record: Seen
    last: str
    read: int | None
    newest: str
    verdicts: tuple[Verdict, ...] = ()


def decode_seen(text: str | bytes, *, group: str = "") -> Seen | None:
    """What a state holds (or, with `group`, the stream's record of that group); None if nothing that can be read."""
    try:
        fields = json.loads(text)
        parse_entry(fields["from"]), parse_entry(fields["last"])
        return Seen(
            group=group or fields["group"],
            token=fields["token"],
            since=fields["from"],
            last=fields["last"],
            read=fields.get("read"),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def judge_group(before: Seen | None, look: Look) -> Seen:
    """What is known after a look.

    Args:
        before: What was known; None: this mailbox never looked at a group.
        look: The look.
    """
    start = before or look.record
    read = look.read
    if why_doubted(start, look):
        return Seen(group=look.record.group, token=look.record.token, since=look.newest, last=look.last, read=read)
    return Seen(group=start.group, token=start.token, since=start.since, last=look.last, read=read)


def why_doubted(start: Seen, look: Look) -> str:
    """What happened to the group that makes its acknowledgements so far worthless; empty: nothing."""
    if start.group != look.record.group:
        return "afterDownload.consumerGroup names another group now"
    if start.token != look.record.token:
        return "the group was made anew"
    if parse_entry(look.last) < parse_entry(start.last):
        return "the group was set back"
    if look.last != start.last and look.read is None:
        return "the group was moved without reading (XGROUP SETID, or entries were deleted)"
    if start.read is not None and look.read is not None and look.read < start.read:
        return "the group has read fewer entries than before"
    return ""


def must_begin_anew(before: Seen | None, look: Look) -> bool:
    """Something strange happened that the stream's record of the group does not tell yet: others must learn of it."""
    start = before or look.record
    same = (start.group, start.token) == (look.record.group, look.record.token)
    return same and bool(why_doubted(start, look))


def is_proven(entry: str, verdict: Verdict, seen: Seen) -> bool | None:
    """Whether a mail was acknowledged; None: not yet. False: nobody can ever say, as its proof is lost."""
    if verdict == "gone" or parse_entry(entry) <= parse_entry(seen.since):
        return False
    return True if verdict == "acked" else None
