"""A fetcher in this process, as in a pod: directories of Secrets, `assignments.json`, a pool that follows it."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

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
ROOT = Path(__file__).parents[3]
NEVER = "24h"
"""An interval that no test lives to see."""


class Mounts:
    """The directories of a pod; all changes are made in them, as Kubernetes makes them."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        self.directory = directory
        for name in ("secrets", "redis", "assignments"):
            (directory / name).mkdir(parents=True)
        self.write("redis/url", redis_url)

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


class KillableFetcher(Mounts):
    """In a process of its own. Use it as a context manager; it is killed at the end."""

    def __init__(self, directory: Path, redis_url: str, *, pod_uid: str = "pod-k", lease: float = 2.0) -> None:
        super().__init__(directory, redis_url)
        self._command = [sys.executable, "-m", "tests.integration.fetcher.pod", str(directory), pod_uid, str(lease)]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.kill()

    def start(self) -> None:
        with open(self.directory / "log", "ab") as log:
            self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=log, stderr=log)

    def kill(self) -> None:
        """As kill -9; returns when it is gone."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


class Fetcher(Mounts):
    """In this process. Use `fetcher_on`."""

    def __init__(self, directory: Path, redis_url: str, *, pod_uid: str = "pod-1", lease: float = 0.0) -> None:
        super().__init__(directory, redis_url)
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

    def answered(self, request: str, value: str, name: str = "support") -> ConnectionReport:
        """Waits until a request is done."""
        return self.wait_for(lambda r: r.requests.get(request) == value, name)

    def noticed(self, reason: str, name: str = "support") -> str:
        """Waits for a notice; returns the text of the last one."""

        def found(report: ConnectionReport) -> list[str]:
            return [notice.message for notice in report.notices if notice.reason == reason]

        return found(self.wait_for(found, name))[-1]

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

    def give_secrets(self, fetcher: Mounts, *, secret: str = "mailbox") -> None:
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

    def pop3(self, **changes: Any) -> dict[str, Any]:
        """The same over POP3."""
        server = {"host": "127.0.0.1", "port": self.dovecot.pop3s_port}
        return self.spec(**{"protocol": "POP3", "server": server, **changes})

    def stored(self) -> list[str]:
        """SHA-256 of what the mailbox holds, sorted."""
        return sorted(original.sha256 for original in checker.read_mailbox(self.mailbox()).values())

    def left(self) -> int:
        """Mails in the mailbox; may be asked for while mails are being deleted."""
        return len(self.dovecot.flags(self.user))

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


def fake_spec(port: int, *, protocol: str = "IMAP", **changes: Any) -> dict[str, Any]:
    """For the scripted servers; the Secret is `give_fake_secret`'s."""
    return {
        "protocol": protocol,
        "server": {"host": "127.0.0.1", "port": port, "encryption": "None", "allowInsecureLogin": True},
        "auth": {"type": "Password", "username": "user", "passwordSecretRef": {"name": "mailbox"}},
        "schedule": {"interval": NEVER, "push": False},
        **changes,
    }


def give_fake_secret(fetcher: Mounts) -> None:
    """The password of the scripted servers."""
    fetcher.write("secrets/mailbox/password", "pass")


def entries(client: Any, *, stream: str = "support") -> list[dict[str, str]]:
    """The fields of what the stream holds, in order, without bodies."""
    found = client.xrange(f"mail:{{{NAMESPACE}/{stream}}}:queue")
    return [{k.decode(): v.decode() for k, v in fields.items() if k not in (b"raw", b"blob")} for _, fields in found]


def log_steps(client: Any, step: str, *, stream: str = "support") -> list[dict[str, str]]:
    """Lines of the Incoming Mail Log with this step."""
    lines = [
        {k.decode(): v.decode() for k, v in fields.items()}
        for _, fields in client.xrange(f"mail:{{{NAMESPACE}/{stream}}}:log")
    ]
    return [line for line in lines if line["step"] == step]


def bodies(client: Any, *, stream: str = "support") -> list[str]:
    """SHA-256 of what the stream holds, in order."""
    return [entry.sha256 for entry in checker.read_stream(client, f"mail:{{{NAMESPACE}/{stream}}}:queue")]
