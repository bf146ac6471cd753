"""The command line of the tools pod: one JSON object on stdout; an error is one line on stderr."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import msgspec

from mailfetch_fetcher.clock import Clock, rfc3339
from mailfetch_fetcher.contract import mounts
from mailfetch_fetcher.contract.keys import StreamKeys
from mailfetch_fetcher.contract.tools import CATEGORIES, NAMESPACE, NO_SUCH_MAIL, RESULTS, STATES, USAGE
from mailfetch_fetcher.environment import redis_target
from mailfetch_fetcher.errors import FetchError
from mailfetch_fetcher.tools.log import LogFilter, read_log
from mailfetch_fetcher.tools.model import Ambiguous, Filter, NoSuchMail, Row
from mailfetch_fetcher.tools.opened import Opened
from mailfetch_fetcher.tools.purge import purge_log, purge_queue, purge_refs
from mailfetch_fetcher.tools.queue import read_queue
from mailfetch_fetcher.tools.requeue import requeue
from mailfetch_fetcher.tools.show import read_mail, write_body


def main(
    words: Sequence[str], *, redis: Path = Path(mounts.REDIS_MOUNT), variables: Mapping[str, str] = os.environ
) -> int:
    """`mailfetch-fetcher tools …`.

    Args:
        words: What stands behind `tools`.
        redis: Directory of the mounted Redis Secret.
        variables: The environment; the pod's namespace is in it.

    Returns:
        The exit code (`contract/tools.py`).
    """
    parser = _parser()
    args = parser.parse_args(words)
    if args.command == "purge":
        _check_purge(parser, args)
    opened: list[Opened] = []
    try:
        opened = _open(args.stream, redis, variables.get(NAMESPACE, ""))
        answer = _answer(args, opened)
        if answer is not None:
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()
        return 0
    except NoSuchMail as e:
        return _fail(str(e), NO_SUCH_MAIL)
    except Ambiguous as e:
        return _fail(str(e), 1)
    except FetchError as e:
        return _fail(e.message, 1)
    finally:
        for one in opened:
            one.close()


def _answer(args: argparse.Namespace, opened: list[Opened]) -> Row | None:
    """What is printed; None if it was printed already."""
    if args.command == "queue":
        return read_queue(opened, wanted=_filter(args), limit=args.limit)
    if args.command == "log":
        wanted = LogFilter(
            connection=args.connection,
            search=args.search,
            category=args.category,
            result=args.result,
            mail=args.id,
            since=_milliseconds(args.since),
        )
        return read_log(opened, wanted=wanted, limit=args.limit)
    if args.command == "show" and args.raw:
        write_body(opened, args.ref, out=sys.stdout.buffer)
        return None
    if args.command == "show":
        return read_mail(opened, args.ref)
    if args.command == "requeue":
        return requeue(opened, args.ref, now=Clock().now)
    if args.log:
        wanted = LogFilter(connection=args.connection, search=args.search, before=_milliseconds(args.before))
        return purge_log(opened, wanted=wanted, dry_run=args.dry_run)
    if args.ref:
        return purge_refs(opened, args.ref, dry_run=args.dry_run)
    return purge_queue(opened, wanted=_filter(args), dry_run=args.dry_run)


def _filter(args: argparse.Namespace) -> Filter:
    before = getattr(args, "before", None)
    return Filter(
        connection=args.connection,
        states=frozenset(args.state),
        search=args.search,
        before=rfc3339(before) if before else "",
    )


def _milliseconds(moment: datetime | None) -> int:
    return int(moment.timestamp() * 1000) if moment else 0


def _check_purge(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    filters = bool(args.connection or args.state or args.search or args.before)
    if not args.ref and not filters:
        parser.error("purge needs a REF, or one of --connection, --state, --search and --before")
    if args.ref and (filters or args.log):
        parser.error("purge takes either REFs or filters")
    if args.log and args.state:
        parser.error("purge --log takes no --state: a line of the log has none")


def _open(streams: Sequence[str], redis: Path, namespace: str) -> list[Opened]:
    """The streams; each has a link of its own, as in a Cluster they are on different nodes.

    Raises:
        FetchError: the namespace is not known, or the Redis Secret is missing or cannot be read.
    """
    if not namespace:
        text = f"the environment variable {NAMESPACE} is not set: these commands are for the pod mailfetch-tools-0"
        raise FetchError("InvalidConfiguration", text)
    target = redis_target(redis, namespace=namespace)
    return [Opened(target, StreamKeys(namespace=namespace, stream=stream)) for stream in dict.fromkeys(streams)]


def _fail(text: str, code: int) -> int:
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Ends the process."""
        sys.exit(_fail(message, USAGE))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="mailfetch-fetcher tools", description="Queue and log, for kubectl mailfetch.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("idle", help="wait for SIGTERM")  # alone in the command line: main.py
    queue = _command(commands, "queue", "mails of the queue, newest first")
    log = _command(commands, "log", "lines of the log, newest first")
    show = _command(commands, "show", "one mail")
    again = _command(commands, "requeue", "put copies of mails at the end of the queue")
    purge = _command(commands, "purge", "remove mails from the queue, or lines from the log")
    for command in (queue, log, purge):
        command.add_argument("--connection", default="", help="only of this MailConnection")
        command.add_argument("--search", default="", help="only with this text")
    for command in (queue, purge):
        command.add_argument("--state", action="append", default=[], choices=STATES)
    for command in (queue, log):
        command.add_argument("--limit", type=_count, default=50, help="most of them")
    log.add_argument("--category", default="", choices=CATEGORIES)
    log.add_argument("--result", default="", choices=RESULTS)
    log.add_argument("--id", default="", help="only about this mail")
    log.add_argument("--since", type=_moment, metavar="RFC3339")
    show.add_argument("ref", metavar="REF", help="id, entry or Message-ID")
    show.add_argument("--raw", action="store_true", help="the bytes of the mail")
    again.add_argument("ref", metavar="REF", nargs="+")
    purge.add_argument("ref", metavar="REF", nargs="*")
    purge.add_argument("--before", type=_moment, metavar="RFC3339")
    purge.add_argument("--log", action="store_true", help="lines of the log instead of mails")
    purge.add_argument("--dry-run", action="store_true", help="only count")
    return parser


def _command(commands: "argparse._SubParsersAction[_Parser]", name: str, text: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text)
    command.add_argument("--stream", action="append", required=True, help="a stream of the namespace")
    return command


def _count(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be 1 or more")
    return number


def _moment(word: str) -> datetime:
    try:
        moment = datetime.fromisoformat(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{word}' is no time; write it as 2026-01-31T08:15:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
