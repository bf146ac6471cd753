"""`mailfetch-fetcher run | probe | purge | tools`: in a pod driven by mounted files; run and probe also with `-f FILE`.

Each command loads what it needs: people wait for the tools, and their pod is there all the time.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from mailfetch_fetcher import __version__, logs
from mailfetch_fetcher.contract import assignment, mounts, purge, report

log = logging.getLogger("mailfetch_fetcher")
_IN_A_POD = frozenset({"POD_NAME", "MAILFETCH_PROBE", purge.VARIABLE})
"""Environment variables of which the operator sets one."""
_PURGE = "purge is for a Job of the operator: delete a MailConnection with spec.deletionPolicy Purge"


def main() -> None:
    """The console script."""
    if sys.argv[1:] == ["tools", "idle"]:
        from mailfetch_fetcher.tools.idle import idle

        sys.exit(idle())
    if sys.argv[1:2] == ["tools"]:
        from mailfetch_fetcher.tools import cli

        sys.exit(cli.main(sys.argv[2:]))
    parser = _parser()
    args = parser.parse_args()
    if not getattr(args, "file", None) and not _IN_A_POD.intersection(os.environ):
        parser.error(
            f"{args.command} outside of a pod needs -f FILE, a manifest" if args.command != "purge" else _PURGE
        )
    if args.command == "purge":
        logs.set_up(level=logging.DEBUG if args.debug else logging.INFO)
        from mailfetch_fetcher.purging import run_purge_job

        sys.exit(run_purge_job())
    if args.file:
        from mailfetch_fetcher import standalone

        logs.set_up(plain=True, level=logging.DEBUG if args.debug else logging.INFO)
        sys.exit(standalone.run(args) if args.command == "run" else standalone.probe(args))
    logs.set_up(level=logging.DEBUG if args.debug else logging.INFO)
    if args.command == "probe":
        from mailfetch_fetcher.probe import run_probe_job

        sys.exit(run_probe_job())
    run()


def run() -> None:
    """Runs the assignments of a pod until SIGTERM."""
    from mailfetch_fetcher.environment import make_environment
    from mailfetch_fetcher.pool import AssignmentFile, Pool
    from mailfetch_fetcher.server import serve

    stop = stop_on_signals()
    env = make_environment(
        fetcher=os.environ.get("POD_NAME", "fetcher"), secrets=Path(mounts.MOUNT), redis=Path(mounts.REDIS_MOUNT)
    )
    pool = Pool(env)
    server = serve(hub=env.hub, healthy=lambda: pool.trouble() or env.leases.trouble(), host="", port=report.PORT)
    log.info("mailfetch-fetcher %s started", __version__)
    if pool.run(stop=stop, file=AssignmentFile(Path(mounts.ASSIGNMENTS_MOUNT) / assignment.FILE_NAME)):
        env.leases.stop()  # it may wait for Redis: not when that has cost all the time already
    server.shutdown()
    log.info("stopped")


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mailfetch-fetcher",
        description="Downloads every mail of a mailbox exactly once into a Redis stream.",
        epilog="Without -f it runs inside a pod of the Mailfetch operator, driven by mounted files.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--debug", action="store_true", help="log more")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("run", "download mail until stopped"), ("probe", "test the connection and count new mails")):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("-f", "--file", type=Path, help="manifest with MailConnections (and their Secrets)")
        command.add_argument("--redis", metavar="URL", help="Redis to use; default: an embedded Valkey")
        command.add_argument("--redis-ca", type=Path, metavar="FILE", help="CA certificate of a rediss:// server")
        command.add_argument(
            "--secrets", type=Path, metavar="DIR", help="Secrets that are not in the file, as files DIR/<secret>/<key>"
        )
        command.add_argument("--data", type=Path, metavar="DIR", help="where the embedded Valkey keeps its data")
        if name == "run":
            command.add_argument("--yes", action="store_true", help="download the backlog without asking")
            command.add_argument("--once", action="store_true", help="stop when all mailboxes are caught up")
            command.add_argument(
                "--http", type=int, metavar="PORT", help="serve /report, /metrics, /healthz on loopback"
            )
    text = "remove what Redis holds of a deleted connection (in a Job of the operator)"
    commands.add_parser("purge", help=text, description=text)
    commands.add_parser("tools", help="what people ask of queue and log (in the tools pod)")
    return parser


if __name__ == "__main__":
    main()
