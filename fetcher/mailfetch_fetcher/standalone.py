"""`mailfetch-fetcher run|probe -f FILE`: the same sessions without Kubernetes, for a first look and for debugging."""

import argparse
import contextlib
import dataclasses
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.assignment import Assignment, Assignments
from mailfetch_fetcher.contract.probe import ProbeResult
from mailfetch_fetcher.contract.report import ConnectionReport
from mailfetch_fetcher.contract.secrets import references
from mailfetch_fetcher.embedded import embedded_valkey
from mailfetch_fetcher.environment import make_environment, redis_target
from mailfetch_fetcher.errors import FetchError
from mailfetch_fetcher.manifest import assignments, load, write_secrets
from mailfetch_fetcher.pool import Pool
from mailfetch_fetcher.probe import examine
from mailfetch_fetcher.server import serve
from mailfetch_fetcher.terminal import line_of, say, show_probe

CLUSTER_ID = "standalone"
_PASSING = ("ConnectionFailed", "StoreUnavailable", "Throttled")
"""With `--once`: failures that are tried again before they count."""
_TRIES = 3
_DATA = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "mailfetch"


@dataclass(frozen=True, kw_only=True)
class _Setting:
    """What a manifest file came to."""

    connections: tuple[Assignment, ...]
    secrets: Path
    redis: Path
    url: str


def probe(args: argparse.Namespace) -> int:
    """Tests and estimates each connection of the file; 0 if all tests succeeded, 1 if one failed, 2 for a bad file."""

    def look() -> int:
        with _setting(args) as setting:
            return 1 if any(r.problem for r in _examine(setting)) else 0

    return _answered(look)


def run(args: argparse.Namespace) -> int:
    """Downloads until stopped (with `--once`: until caught up).

    Returns:
        With `--once` 1 if a connection failed, or waits, or its after-download actions are held; 2 for a bad file.
    """

    def work() -> int:
        with _setting(args) as setting:
            results = _examine(setting)
            if not args.yes and not _agreed(setting, results):
                return 1
            approved = tuple(map(_approved, setting.connections, results))
            return _download(dataclasses.replace(setting, connections=approved), once=args.once, port=args.http)

    return _answered(work)


def _answered(work: Callable[[], int]) -> int:
    """Faults of the file or the machine are told in one line."""
    try:
        return work()
    except (ValueError, RuntimeError, FetchError, OSError) as e:
        sys.stderr.write(f"mailfetch-fetcher: {e}\n")
        return 2
    except (KeyboardInterrupt, EOFError):
        sys.stderr.write("\n")
        return 130


@contextlib.contextmanager
def _setting(args: argparse.Namespace) -> Iterator[_Setting]:
    """Reads the file, lays the Secrets out as a pod would see them, finds or starts Redis; cleans up."""
    documents = load(args.file)
    connections = tuple(assignments(documents))
    if not connections:
        raise ValueError(f"{args.file} holds no MailConnection")
    with contextlib.ExitStack() as stack:
        shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - memory, not disk
        directory = Path(tempfile.mkdtemp(prefix="mailfetch-", dir=shm))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        laid = directory / "secrets"
        laid.mkdir(mode=0o700)
        write_secrets(documents, laid)
        if args.secrets and not args.secrets.is_dir():
            raise ValueError(f"--secrets: there is no directory {args.secrets}")
        if args.secrets:
            _link_secrets(connections, directory=args.secrets.resolve(), laid=laid)
        url = args.redis or stack.enter_context(embedded_valkey(args.data or _DATA / "valkey"))
        redis = directory / "redis"
        redis.mkdir(mode=0o700)
        (redis / "url").write_text(url)
        if args.redis_ca:
            shutil.copy(args.redis_ca, redis / "ca.crt")
        shown = str(redis_target(redis, namespace="default"))  # without user and password
        yield _Setting(connections=connections, secrets=laid, redis=redis, url=shown)


def _link_secrets(connections: Iterable[Assignment], *, directory: Path, laid: Path) -> None:
    """Key by key: what `--secrets` has goes before what the file has; what neither has may still come there."""
    for secret, key in {ref for a in connections for ref in references(a.spec)}:
        there, here = directory / secret / key, laid / secret / key
        if there.exists() or not here.exists():
            here.parent.mkdir(mode=0o700, exist_ok=True)
            here.unlink(missing_ok=True)
            here.symlink_to(there)


def _examine(setting: _Setting) -> list[ProbeResult]:
    results = []
    for a in setting.connections:
        result = examine(a, cluster_id=CLUSTER_ID, secrets=setting.secrets, redis=setting.redis, clock=Clock())
        results.append(result)
        show_probe(a, result)
    return results


def _agreed(setting: _Setting, results: list[ProbeResult]) -> bool:
    """Asks a person about every backlog that is larger than `spec.approval.maxMessages`."""
    for a, result in zip(setting.connections, results, strict=True):
        new = _new(result)
        other = _is_other(result)
        if new <= a.spec.approval.max_messages and not other:
            continue
        if not sys.stdin.isatty():
            why = "another mailbox than before" if other else "more than spec.approval.maxMessages"
            say(f"{a.name}: {new} new mails, {why}; run with --yes to download them")
            return False
        if input(f"Download {new} mails of {a.name}? [y/N] ").strip().lower() not in ("y", "yes"):
            return False
    return True


def _new(result: ProbeResult) -> int:
    return result.estimate.new_messages if result.estimate else 0


def _is_other(result: ProbeResult) -> bool:
    """Redis holds the state of another mailbox under this name."""
    return result.state is not None and not result.state.same_mailbox


def _approved(a: Assignment, result: ProbeResult) -> Assignment:
    """A person has agreed: to another mailbox in the place of the one before, or to a flood after a reset."""
    if not result.state or not result.state.state_id:
        return a
    asked = _is_other(result) or _new(result) > a.spec.approval.max_messages
    return msgspec.structs.replace(a, gate_epoch=result.state.gate_epoch + asked)


def _download(setting: _Setting, *, once: bool, port: int | None) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    env = make_environment(fetcher="standalone", secrets=setting.secrets, redis=setting.redis)
    pool = Pool(env)
    server = None
    if port is not None:
        server = serve(hub=env.hub, healthy=lambda: pool.trouble() or env.leases.trouble(), host="127.0.0.1", port=port)
    for a in setting.connections:
        say(f"{a.name}: downloading into stream mail:{{{a.namespace}/{a.stream}}}:queue at {setting.url}")
    if not once:
        say("press Ctrl-C to stop")
    try:
        pool.assign(Assignments(cluster_id=CLUSTER_ID, connections=setting.connections))
        shown: dict[str, str] = {}
        revision = ""
        while not stop.is_set():
            pool.tick()
            report = env.hub.wait(revision, 1.0)
            revision = report.revision
            _show(report.connections, shown)
            if once and _all_settled(report.connections, expected=len(setting.connections)):
                break
        connections = env.hub.wait("", 0).connections
    finally:
        if pool.stop():
            env.leases.stop()
        if server:
            server.shutdown()
    return 0 if not once or all(map(_good, connections.values())) else 1


def _all_settled(connections: Mapping[str, ConnectionReport], *, expected: int) -> bool:
    return len(connections) == expected and all(map(_settled, connections.values()))


def _settled(report: ConnectionReport) -> bool:
    """Waiting longer changes nothing."""
    if report.problem:
        return report.problem.reason not in _PASSING or report.failures >= _TRIES
    return bool(report.gate) or (
        report.phase in ("Listening", "Polling") and (report.actions.reason != "Pending" or not report.actions.pending)
    )


def _good(report: ConnectionReport) -> bool:
    return report.phase in ("Listening", "Polling") and not report.problem and report.actions.reason == "Done"


def _show(connections: dict[str, ConnectionReport], shown: dict[str, str]) -> None:
    """One line for each connection whose line changed."""
    for name, report in connections.items():
        text = line_of(report)
        if text and shown.get(name) != text:
            shown[name] = text
            say(f"{name}: {text}")
