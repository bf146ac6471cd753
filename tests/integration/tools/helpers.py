"""The tools as the tools pod runs them, and a consumer in a few calls."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.tools import NAMESPACE
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Batch, Mail, QueuePolicy, WantedAction
from mailfetch_fetcher.tools import cli
from tests.integration.store.helpers import STREAM, Store, mail

ROOT = Path(__file__).parents[3]
END = (ROOT / "examples/end_delivery.lua").read_text()
GROUP = "tickets"
POLICY = QueuePolicy(consumer_groups=(GROUP,), queue_seconds=0)
DELETE = WantedAction(kind="Delete")


class LongAfter(Clock):
    """Each look comes long after the last one, so that nothing is put off."""

    def __init__(self) -> None:
        self._seconds = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        self._seconds += 60
        return self._seconds


class Tools:
    """Runs `mailfetch-fetcher tools …` with a mounted Redis Secret."""

    def __init__(self, url: str, *, directory: Path, output: pytest.CaptureFixture[bytes]) -> None:
        directory.mkdir()
        self._directory = directory
        self._output = output
        self.use(url)

    def use(self, url: str) -> None:
        """Another URL in the Secret."""
        (self._directory / "url").write_text(url)

    def run(self, *words: str, variables: dict[str, str] | None = None) -> tuple[int, bytes, str]:
        """Exit code, stdout and stderr."""
        self._output.readouterr()
        try:
            code = cli.main(words, redis=self._directory, variables=variables or {NAMESPACE: "helpdesk"})
        except SystemExit as e:
            code = int(str(e.code))
        out, err = self._output.readouterr()
        return code, out, err.decode()

    def json(self, command: str, *words: str, stream: str = "support") -> Any:
        """What a command prints that succeeds."""
        code, out, err = self.run(command, "--stream", stream, *words)
        assert (code, err) == (0, "")
        return json.loads(out)

    def error(self, command: str, *words: str) -> tuple[int, str]:
        """Exit code and the one line of a command that fails."""
        code, out, err = self.run(command, "--stream", "support", *words)
        assert out == b""
        assert err.count("\n") == 1
        return code, err.strip()

    def states(self, *words: str) -> dict[str, str]:
        """Subject → state of what `queue` lists."""
        return {entry["subject"]: entry["state"] for entry in self.json("queue", *words)["entries"]}


def letter(uid: int, **fields: Any) -> Mail:
    """A mail that people recognise."""
    values: dict[str, Any] = {
        "subject": f"subject {uid}",
        "sender": f"sender-{uid}@example.com",
        "message_id": f"<{uid}@example.com>",
    }
    made = mail(uid, **(values | fields))
    return made if not isinstance(made.body, bytes) else with_digest(made)


def with_digest(made: Mail) -> Mail:
    """The same with the right hash of its body."""
    assert isinstance(made.body, bytes)
    return replace(made, sha256=hashlib.sha256(made.body).hexdigest())


def filled(store: Store, *uids: int, policy: QueuePolicy = POLICY, action: WantedAction | None = None) -> Mailbox:
    """An open mailbox with these mails in the queue."""
    mailbox = store.opened(policy=policy, clock=LongAfter())
    mailbox.commit(Batch(mails=[letter(uid, action=action) for uid in uids], cursor=f"1700000000/{uids[-1]}"))
    return mailbox


def mixed(store: Store) -> Mailbox:
    """Mail 1 is Done, 2 Filtered, 3 Failed, 4 Processing."""
    mailbox = filled(store, 1, 2, 3, 4)
    entries = read(store)
    end(store.client, entries[0], "Processed")
    end(store.client, entries[1], "Filtered", "newsletter")
    end(store.client, entries[2], "Failed", "no such customer")
    return mailbox


def large(mailbox: Mailbox, uid: int, body: bytes, *, action: WantedAction | None = None) -> None:
    """Commits a mail whose body is a blob."""
    writer = mailbox.start_blob()
    writer.append(body)
    made = letter(uid, body=writer.finish(), action=action)
    made = replace(made, sha256=hashlib.sha256(body).hexdigest())
    mailbox.commit(Batch(mails=[made], cursor=f"1700000000/{uid}"))


def read(store: Store, count: int = 100, *, consumer: str = "w", group: str = GROUP) -> list[str]:
    """Delivers the next mails to a consumer; their entries."""
    reply = store.client.xreadgroup(group, consumer, {STREAM.queue: ">"}, count=count)
    return [entry.decode() for entry, _ in reply[0][1]] if reply else []


def end(client: Any, entry: str, verdict: str, detail: str = "", *steps: str, **who: str) -> str:
    """The documented script."""
    group, consumer = who.get("group", GROUP), who.get("consumer", "w")
    keys = [STREAM.queue, STREAM.marks, STREAM.log]
    return str(client.eval(END, 3, *keys, group, consumer, entry, verdict, detail, *steps).decode())


def mark_of(store: Store, entry: str) -> Any:
    """What is marked."""
    found = store.client.hget(STREAM.marks, entry)
    return json.loads(found) if found else None


def last_line(store: Store) -> dict[str, str]:
    """The newest line of the log."""
    return store.log()[-1]
