"""Structured logs: one JSON object a line. Messages and fields never hold a secret or mail content."""

import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message and whatever was passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {k: v for k, v in vars(record).items() if k not in _STANDARD}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class PlainFormatter(logging.Formatter):
    """For a person who watches a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, connection and message."""
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        who = getattr(record, "connection", "")
        text = f"{moment} {who + ': ' if who else ''}{record.getMessage()}"
        return text + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def _is_news(record: logging.LogRecord) -> bool:
    """Not a failure or a closed gate: a terminal shows these once, not at each attempt."""
    return not hasattr(record, "reason") and not hasattr(record, "gate")


def set_up(*, plain: bool = False, level: int = logging.INFO) -> None:
    """Sends all logs to standard error. Libraries stay at WARNING: imapclient's debug log holds the protocol."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter() if plain else JsonFormatter())
    if plain and level > logging.DEBUG:
        handler.addFilter(_is_news)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it warns with whole URLs; what is wrong we tell ourselves
    logging.getLogger("mailfetch_fetcher").setLevel(level)
