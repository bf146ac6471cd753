"""The request `refetch`: mails are downloaded once more, on demand (`store.md` 44).

How far it came stands in the state and moves in the same commits as the mails, so that after a crash it goes on where
it was; and an entry's `id` is made from the mail and the request, so that nothing of it comes twice.
"""

import dataclasses
import logging
from collections.abc import Callable

import msgspec

from mailfetch_fetcher.contract.report import NoticeReason
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.progress import Meter
from mailfetch_fetcher.quarantine import MOST, Quarantine
from mailfetch_fetcher.round import Round, absent
from mailfetch_fetcher.sources.base import Absent, Unreadable
from mailfetch_fetcher.sources.source import Source
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Batch, LogLine
from mailfetch_fetcher.transfer import Fetched, Transfer, chunks

log = logging.getLogger(__name__)
REQUEST = "refetch"
QUARANTINED = "quarantined"


class Position(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state's field `refetch`.

    Attributes:
        value: Value of the last request.
        position: Up to where its mails were committed; the source's own text.
        done: It is finished.
    """

    value: str = ""
    position: str = ""
    done: bool = False

    def encode(self) -> str:
        """JSON."""
        return msgspec.json.encode(self).decode()


def read_position(text: str) -> Position:
    """The position behind the state's field; none if it is empty or of another version."""
    try:
        return msgspec.json.decode(text, type=Position) if text else Position()
    except msgspec.DecodeError:
        return Position()


class Refetch:
    """Lives as long as one connection to the mailbox."""

    def __init__(
        self,
        *,
        source: Source,
        mailbox: Mailbox,
        transfer: Transfer,
        meter: Meter,
        quarantine: Quarantine,
        run: Round,
        tell: Callable[[NoticeReason, str], None],
        extra: dict[str, str],
    ) -> None:
        """Does nothing yet.

        Args:
            source: Where mails come from.
            mailbox: Where they go.
            transfer: The way from there to here.
            meter: Counts them.
            quarantine: What is downloaded leaves it.
            run: Tries again what is in quarantine.
            tell: Tells people of a request that cannot be carried out.
            extra: Names the connection in the log.
        """
        self._source = source
        self._mailbox = mailbox
        self._transfer = transfer
        self._meter = meter
        self._quarantine = quarantine
        self._run = run
        self._tell = tell
        self._extra = extra

    def carry_out(self, value: str) -> None:
        """Does what the request asks for, unless it is done already. Returns when it is done, or cannot be done.

        Raises:
            SourceError: the server does not give out several of the mails; it is tried again.
        """
        at = read_position(self._mailbox.state.refetch)
        if at.value == value and at.done:
            return
        wanted = value.partition("#")[0].strip()
        try:
            text = self._quarantined() if wanted == QUARANTINED else self._selected(wanted, value, at)
        except ValueError as e:
            text = f"the request {REQUEST}={value[:100]} cannot be carried out: {e}"
            log.warning(text, extra=self._extra)
            self._tell("RefetchRefused", text)
        else:
            log.info(text, extra=self._extra)
        line = LogLine(step=REQUEST, fields={"detail": text})
        self._mailbox.commit(Batch(refetch=Position(value=value, done=True).encode(), log=[line]))

    def _quarantined(self) -> str:
        self._run.retry(everything=True)
        return "what was in quarantine was tried again"

    def _selected(self, wanted: str, value: str, at: Position) -> str:
        """Downloads the mails that `wanted` names; returns what to tell."""
        before = at.position if at.value == value else ""
        missing = 0

        def wrap(batch: Batch) -> Batch:
            position = Position(value=value, position=batch.cursor or before)
            return dataclasses.replace(batch, cursor=None, refetch=position.encode())

        self._meter.begin(0)
        with self._transfer.committer(wrap=wrap, then=self._quarantine.committed) as committer:
            cursor, known = self._mailbox.state.cursor, self._mailbox.known
            for window in self._source.select(wanted, after=before, cursor=cursor, known=known):
                for refs in chunks(window.refs):
                    for item in self._transfer.fetch(refs, committer, refetch=value):
                        if isinstance(item, Fetched):
                            released = [item.mail.ref] if self._quarantine.holds(item.mail.ref) else []
                            committer.add(item.mail, cursor=item.cursor, released=released)
                            continue
                        missing += isinstance(item, Unreadable)
                        if missing > MOST:
                            committer.drain()
                            raise self._ill(item)
                        committer.note(_missed(item), cursor=item.cursor or None)
                committer.move(window.cursor)
        self._meter.end()
        left_out = f"; {missing} could not be had, the log has their names" if missing else ""
        return f"downloaded again: {self._meter.done}{left_out}"

    def _ill(self, item: Absent | Unreadable) -> SourceError:
        detail = item.detail if isinstance(item, Unreadable) else ""
        return SourceError(
            "ConnectionFailed",
            f"the server does not give out more than {MOST} of the mails that {REQUEST} asks for, the last was "
            f"{item.ref.key}: {detail}; its storage may be down",
            pace=Pace.CONFIGURATION,
        )


def _missed(item: Absent | Unreadable) -> LogLine:
    if isinstance(item, Absent):
        return absent(item)
    return LogLine(step=REQUEST, result="Failed", fields={"ref": item.ref.key, "detail": item.detail[:300]})
