"""`tools log`: the Incoming Mail Log, newest first, in the words of people."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from mailfetch_fetcher.tools.find import entry_values
from mailfetch_fetcher.tools.model import Line, Log, contains, parse_id, time_of
from mailfetch_fetcher.tools.opened import LINES, Fields, Opened, fields_of, text
from mailfetch_fetcher.tools.queue import by_ids

MOST = 1000
"""Lines about one mail that are kept in memory: the newest."""
_CATEGORIES = {"AfterDownload": "Download"}
_RESULTS = {"Failed": "Error", "Dropped": "Skipped", "Unproven": "Skipped"}
"""What stands in the log → what people read; the step then says which it was."""


@dataclass(frozen=True, kw_only=True)
class LogFilter:
    """Which lines are meant; what is empty does not restrict.

    Attributes:
        mail: `id`, entry or Message-ID: all lines about that mail.
        since: Milliseconds since 1970.
        before: Milliseconds since 1970; 0 does not restrict.
    """

    connection: str = ""
    search: str = ""
    category: str = ""
    result: str = ""
    mail: str = ""
    since: int = 0
    before: int = 0

    def fits(self, line: Line) -> bool:
        """Whether the line is meant, as far as the line itself tells."""
        return (
            self.connection in ("", line.connection)
            and self.category in ("", line.category)
            and self.result in ("", line.result)
            and (not self.before or parse_id(line.line)[0] < self.before)
            and parse_id(line.line)[0] >= self.since
            and contains(self.search, line.sender, line.subject, line.message_id, line.id, line.step, line.detail)
        )


def read_log(streams: Sequence[Opened], *, wanted: LogFilter, limit: int) -> Log:
    """The newest lines of some streams.

    Raises:
        StoreError: Redis refuses, or the link failed.
    """
    lines: list[Line] = []
    for opened in streams:
        source = reversed(lines_about(opened, wanted.mail)) if wanted.mail else _newest(opened, since=wanted.since)
        found = []
        for line in source:
            if wanted.fits(line):
                found.append(line)
            if len(found) > limit:
                break
        lines += completed(opened, found)
    lines.sort(key=lambda line: parse_id(line.line), reverse=True)
    return Log(lines=lines[:limit], truncated=len(lines) > limit)


def lines_about(opened: Opened, mail: str) -> list[Line]:
    """All lines about a mail, oldest first: after-download actions only name its entry."""
    log = opened.keys.log
    first = deque(opened.pick(log, start="-", values=entry_values(mail)), maxlen=MOST)
    if not first:
        return []
    entries = {fields["entry"] for _, fields in first if fields.get("entry")}
    values = [*entry_values(mail), *(("entry", entry) for entry in sorted(entries))]
    found = deque(opened.pick(log, start=first[0][0], values=values), maxlen=MOST)
    return [line_of(opened, line, fields) for line, fields in found]


def lines_of_entry(opened: Opened, entry: str, mail_id: str) -> list[Line]:
    """All lines about a mail of the queue, oldest first. None of them can be older than its entry."""
    start = f"{parse_id(entry)[0]}-0" if entry else "-"
    values = [(name, value) for name, value in (("entry", entry), ("id", mail_id), ("ref", mail_id)) if value]
    found = deque(opened.pick(opened.keys.log, start=start, values=values), maxlen=MOST)
    return [line_of(opened, line, fields) for line, fields in found]


def line_of(opened: Opened, line: str, fields: Fields) -> Line:
    """A line in the words of people."""
    result, step = fields.get("result", ""), fields.get("step", "")
    unsaid = result in ("Dropped", "Unproven")
    return Line(
        line=line,
        time=time_of(parse_id(line)[0]),
        stream=opened.keys.stream,
        connection=fields.get("connection", ""),
        category=_CATEGORIES.get(fields.get("category", ""), fields.get("category", "")),
        result=_RESULTS.get(result, result),
        step=f"{step} {result}" if unsaid else step,
        execution=fields.get("execution", ""),
        entry=fields.get("entry", ""),
        id=fields.get("id", "") or fields.get("ref", ""),
        message_id=fields.get("message_id", ""),
        sender=fields.get("from", ""),
        subject=fields.get("subject", ""),
        detail=fields.get("detail", ""),
        consumer=fields.get("consumer", ""),
    )


def completed(opened: Opened, lines: Iterable[Line]) -> list[Line]:
    """The same lines; those that only name an entry get what the queue still knows of its mail."""
    lines = list(lines)
    bare = sorted({line.entry for line in lines if line.entry and not line.id})
    if not bare:
        return lines
    mails = {mail.entry: mail.fields for mail in by_ids(opened, (), bare)}
    return [_with(line, mails[line.entry]) if not line.id and line.entry in mails else line for line in lines]


def _with(line: Line, mail: Fields) -> Line:
    return msgspec.structs.replace(
        line,
        id=mail.get("id", ""),
        message_id=mail.get("message_id", ""),
        sender=mail.get("from", ""),
        subject=mail.get("subject", ""),
    )


def _newest(opened: Opened, *, since: int) -> Iterator[Line]:
    start = "+"
    while start:
        found = opened.call("XREVRANGE", opened.keys.log, start, since or "-", "COUNT", LINES)
        for line, flat in found:
            yield line_of(opened, text(line), fields_of(flat))
        start = f"({text(found[-1][0])}" if len(found) == LINES else ""
