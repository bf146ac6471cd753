"""A fetcher in this process, as in a pod: directories of Secrets, `assignments.json`, a pool that follows it."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from mailfetch_fetcher.contract.assignment import FILE_NAME, Assignment, Assignments, encode
from mailfetch_fetcher.contract.identity import mailbox_identity
from mailfetch_fetcher.contract.report import ConnectionReport
from mailfetch_fetcher.contract.spec import parse_spec
from mailfetch_fetcher.environment import make_environment
from mailfetch_fetcher.pool import AssignmentFile, Pool
from tests.servers import checker
from tests.servers.dovecot import Dovecot

DEADLINE = 60.0
NAMESPACE = "helpdesk"
NEVER = "24h"
"""An interval that no test lives to see."""


class Fetcher:
    """Use `fetcher_on`; all changes are made in the directories, as Kubernetes makes them."""

    def __init__(self, directory: Path, redis_url: str, *, pod_uid: str = "pod-1", lease: float = 0.0) -> None:
        self.directory = directory
        for name in ("secrets", "redis", "assignments"):
            (directory / name).mkdir(parents=True)
        self.write("redis/url", redis_url)
        variables = {"POD_UID": pod_uid} | ({"MAILFETCH_LEASE_SECONDS": str(lease)} if lease else {})
        self.env = make_environment(
            fetcher="pod-a", secrets=directory / "secrets", redis=directory / "redis", variables=variables
        )
        self.pool = Pool(self.env)
        self._stop = threading.Event()
        self._file = AssignmentFile(directory / "assignments" / FILE_NAME)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        if self.pool.run(stop=self._stop, file=self._file):
            self.env.leases.stop()

    def stop(self) -> None:
        """As SIGTERM; returns when it has ended."""
        self._stop.set()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    # -- what people change ----------------------------------------------------------------

    def write(self, name: str, content: str | bytes) -> None:
        """A mounted file, replaced in one step."""
        target = self.directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(target.name + ".new")
        fresh.write_bytes(content.encode() if isinstance(content, str) else content)
        fresh.rename(target)

    def assign(self, *assignments: Assignment) -> None:
        """A new `assignments.json`."""
        text = encode(Assignments(cluster_id="cluster-1", connections=assignments))
        self.write(f"assignments/{FILE_NAME}", text)

    # -- what it tells ---------------------------------------------------------------------

    def report(self, name: str = "support") -> ConnectionReport | None:
        return self.env.hub.get(name)

    def wait_for(self, condition: Callable[[ConnectionReport], object], name: str = "support") -> ConnectionReport:
        """The report of a connection as soon as it meets the condition."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            report = self.report(name)
            if report and condition(report):
                return report
            time.sleep(0.01)
        raise AssertionError(f"not within {DEADLINE:.0f} s; the report is {self.report(name)}")

    def caught_up(self, messages: int, name: str = "support") -> ConnectionReport:
        """Waits until so many mails are downloaded, the round has ended, and their actions are done."""
        return self.wait_for(
            lambda r: r.messages == messages and r.phase in ("Listening", "Polling") and not r.actions.pending, name
        )

    def problem(self, reason: str, name: str = "support") -> str:
        """Waits for a failure; returns its message."""
        found = self.wait_for(lambda r: r.problem and r.problem.reason == reason, name).problem
        assert found
        return found.message


@contextmanager
def fetcher_on(directory: Path, redis_url: str, **options: Any) -> Iterator[Fetcher]:
    """A running fetcher."""
    made = Fetcher(directory, redis_url, **options)
    try:
        yield made
    finally:
        made.stop()


def assignment(spec: Mapping[str, Any], *, name: str = "support", **fields: Any) -> Assignment:
    """As the operator writes it for this spec."""
    parsed = parse_spec(spec)
    identity = mailbox_identity(parsed)
    made = Assignment(namespace=NAMESPACE, name=name, uid=f"uid-{name}", spec=parsed, identity=identity)
    return msgspec.structs.replace(made, **fields)


class Account:
    """A user of the Dovecot, the Secrets that hold its password, and the spec that names both."""

    def __init__(self, dovecot: Dovecot, user: str, password: str) -> None:
        self.dovecot = dovecot
        self.user = user
        dovecot.add_user(user, password)

    def give_secrets(self, fetcher: Fetcher, *, secret: str = "mailbox") -> None:
        """The password and the CA, as they are mounted."""
        fetcher.write(f"secrets/{secret}/password", self.dovecot.password(self.user))
        fetcher.write("secrets/ca/ca.crt", self.dovecot.certificates.ca.read_bytes())

    def spec(self, *, secret: str = "mailbox", **changes: Any) -> dict[str, Any]:
        """A spec whose parts may be replaced."""
        return {
            "protocol": "IMAP",
            "server": {"host": "127.0.0.1", "port": self.dovecot.imaps_port},
            "tls": {"caSecretRef": {"name": "ca"}},
            "auth": {"type": "Password", "username": self.user, "passwordSecretRef": {"name": secret}},
            "schedule": {"interval": NEVER},
            **changes,
        }

    def mailbox(self, folder: str = "INBOX") -> checker.Mailbox:
        """For the checker."""
        return checker.Mailbox(
            host="127.0.0.1",
            port=self.dovecot.imaps_port,
            user=self.user,
            password=self.dovecot.password(self.user),
            folder=folder,
            ca=self.dovecot.certificates.ca,
        )

    def verdict(self, redis_url: str, *, stream: str = "support", seen: bool = False) -> checker.Verdict:
        """What the independent checker says."""
        key = f"mail:{{{NAMESPACE}/{stream}}}:queue"
        return checker.check(self.mailbox(), redis_url=redis_url, stream=key, expect_seen=seen)


def bodies(client: Any, *, stream: str = "support") -> list[str]:
    """SHA-256 of what the stream holds, in order."""
    return [entry.sha256 for entry in checker.read_stream(client, f"mail:{{{NAMESPACE}/{stream}}}:queue")]
