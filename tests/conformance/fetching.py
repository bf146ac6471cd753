"""The product as a process of its own (`mailfetch-fetcher run -f FILE`), and the judge of what came into the stream."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.mailboxes import Mailbox
from tests.conformance.raw_imap import Held
from tests.servers.redis import RedisServer

DEADLINE = 60.0
INTERVAL = "10s"
"""The shortest that the CRD allows."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A mail in the stream."""

    id: str
    raw: bytes
    fields: Mapping[str, str]


class Connection:
    """One MailConnection: its manifest, its processes, its part of Redis."""

    def __init__(self, mailbox: Mailbox, redis: RedisServer, directory: Path, *, name: str) -> None:
        self.mailbox = mailbox
        self._redis = redis
        self._directory = directory
        self._name = name
        self._processes: list[subprocess.Popen[bytes]] = []
        self._logs = 0

    # -- the product -----------------------------------------------------------------------

    def once(self, *, fails: bool = False, port: int = 0, **changes: Any) -> str:
        """Runs until caught up; returns what it printed. `changes` are parts of the spec."""
        process, log = self._start(["--once"], port, changes)
        try:
            code = process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"it did not end:\n{log.read_text()[-3000:]}") from None
        told = log.read_text()
        assert (code != 0) == fails, f"it ended with {code}:\n{told[-3000:]}"
        assert "Traceback" not in told, told[-3000:]
        return told

    def start(self, *, port: int = 0, **changes: Any) -> "Running":
        """Runs until it is ended; ended with the test at the latest."""
        return Running(*self._start([], port, changes))

    def close(self) -> None:
        """Leaves no process behind."""
        for process in self._processes:
            process.kill()
            process.wait()

    def _start(
        self, options: Sequence[str], port: int, changes: Mapping[str, Any]
    ) -> tuple["subprocess.Popen[bytes]", Path]:
        self._logs += 1
        log = self._directory / f"{self._logs}.log"
        manifest = self._directory / f"{self._logs}.yaml"
        manifest.write_text(self._manifest(port or self.mailbox.port, changes))
        command = [sys.executable, "-m", "mailfetch_fetcher.main", "run", "--yes", "-f", str(manifest)]
        command += ["--redis", self._redis.url, *options]
        variables = {"POD_UID": "pod-1", "MAILFETCH_LEASE_SECONDS": "2"}
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | variables)
        self._processes.append(process)
        return process, log

    def _manifest(self, port: int, changes: Mapping[str, Any]) -> str:
        box = self.mailbox
        server = {"host": "127.0.0.1", "port": port, "encryption": box.encryption}
        spec = {
            "protocol": box.protocol,
            "server": server | ({"allowInsecureLogin": True} if box.encryption == "None" else {}),
            "tls": {"caSecretRef": {"name": "ca"}},
            "auth": {"type": "Password", "username": box.user, "passwordSecretRef": {"name": "mailbox"}},
            "schedule": {"interval": INTERVAL},
            "afterDownload": {"action": "None"},
        }
        password = changes.get("password", box.password)
        spec |= {key: value for key, value in changes.items() if key != "password"}
        documents = [
            {"kind": "MailConnection", "metadata": {"name": self._name}, "spec": spec},
            {"kind": "Secret", "metadata": {"name": "mailbox"}, "stringData": {"password": password}},
            {
                "kind": "Secret",
                "metadata": {"name": "ca"},
                "stringData": {"ca.crt": box.server.certificates.ca.read_text()},
            },
        ]
        return "\n---\n".join(map(json.dumps, documents))

    # -- the stream ------------------------------------------------------------------------

    def stored(self) -> int:
        """Mails in the stream."""
        return int(self._client.xlen(self._stream))

    def entries(self) -> list[Entry]:
        """All that the stream holds; what an entry says of its body must be true."""
        found: list[Entry] = []
        for _, fields in self._client.xrange(self._stream):
            raw = fields[b"raw"] if b"raw" in fields else self._client.get(fields[b"blob"])
            texts = {key.decode(): value.decode("utf-8", "replace") for key, value in fields.items() if key != b"raw"}
            assert raw is not None, texts
            assert (texts["sha256"], texts["size"]) == (hashlib.sha256(raw).hexdigest(), str(len(raw))), texts
            found.append(Entry(id=texts["id"], raw=raw, fields=texts))
        assert len({entry.id for entry in found}) == len(found), "an id came twice"
        return found

    def must_hold(self, *held: Sequence[Held]) -> None:
        """Exactly these mails stand in the stream, each once, byte for byte."""
        wanted = Counter(one.raw for group in held for one in group)
        found = Counter(entry.raw for entry in self.entries())
        lost, extra = wanted - found, found - wanted
        assert not lost, f"{lost.total()} lost, {extra.total()} not from the mailbox: {_shown(lost)} … {_shown(extra)}"
        assert not extra, f"{extra.total()} too many: {_shown(extra)}"

    @property
    def _client(self) -> Any:
        return self._redis.client()

    @property
    def _stream(self) -> str:
        return f"mail:{{default/{self._name}}}:queue"


def _shown(mails: Counter[bytes]) -> list[bytes]:
    """For messages of failed tests."""
    return [raw[:200] for raw in mails][:3]


class Running:
    """A process that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def told(self) -> str:
        """What it printed so far."""
        return self._log.read_text()

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Waits until it has come that far."""
        end = time.monotonic() + DEADLINE
        while not condition():
            assert self.process.poll() is None, f"it ended before {what}:\n{self.told[-3000:]}"
            assert time.monotonic() < end, f"{what} did not come:\n{self.told[-3000:]}"
            time.sleep(0.02)

    def wait_until_caught_up(self) -> None:
        """Waits for the end of a round."""
        self.wait_for(lambda: "up to date" in self.told, "the end of the round")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """SIGTERM; it must end well."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(DEADLINE) == 0, self.told[-3000:]
        assert "Traceback" not in self.told, self.told[-3000:]
