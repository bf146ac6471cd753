#!/usr/bin/env python3
r"""A consumer of Mailfetch to start from: handles each mail of a stream once, and survives being killed at any moment.

    pip install redis
    python3 consumer.py redis://tickets:PASSWORD@redis:6379 \
        --stream helpdesk/support --group tickets --consumer worker-1

It needs `end_delivery.lua` beside it. What it does with a mail is in `handle`: replace that. Here a mail is kept in an
SQLite database, whose unique column `id` makes a second delivery harmless; what was sent in bulk is filtered.

Start any number of them with different `--consumer` names. A name is best lasting, such as the name of a pod of a
StatefulSet: what it left behind when it was killed it gets back at once; others take it over after `--idle` seconds.
"""

import argparse
import email
import email.policy
import hashlib
import signal
import sqlite3
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import redis

END_DELIVERY = (Path(__file__).parent / "end_delivery.lua").read_text(encoding="utf-8")
Fields = dict[bytes, bytes]


class Unwanted(Exception):
    """The mail is not for us; the text says why. It is marked Filtered."""


class Hopeless(Exception):
    """The mail can never be handled; the text says why. It is marked Failed at once, and people must look."""


class Consumer:
    """One worker of a consumer group."""

    def __init__(self, store: Any, database: sqlite3.Connection, args: argparse.Namespace) -> None:
        self._store = store
        self._database = database
        self._group, self._name = args.group, args.consumer
        self._idle_ms, self._most = round(args.idle * 1000), args.deliveries
        prefix = f"mail:{{{args.stream}}}"
        self._queue, self._marks, self._log = (f"{prefix}:{name}" for name in ("queue", "marks", "log"))
        self.stopping = False
        database.execute("CREATE TABLE IF NOT EXISTS mails (id TEXT PRIMARY KEY, subject TEXT, size INTEGER)")

    def run(self, *, once: bool) -> None:
        """Handles mails until it is told to stop, or with `once` until there are none."""
        self._take_up()
        while not self.stopping:
            found = self._left_behind() or self._new()
            if once and not found:
                return

    def _take_up(self) -> None:
        """What this very consumer was handling when it was killed. It is alone with it: names are not shared."""
        position: bytes = b"0"
        while not self.stopping:
            ((_, entries),) = self._store.xreadgroup(self._group, self._name, {self._queue: position}, count=1)
            if not entries:
                return
            for position, fields in entries:
                self._deliver_again(position, fields)

    def _left_behind(self) -> int:
        """What others have been handling for too long: they are dead, or they failed and it is tried again."""
        _, entries, _ = self._store.xautoclaim(self._queue, self._group, self._name, self._idle_ms, count=1)
        for entry, fields in entries:
            self._deliver_again(entry, fields)
        return len(entries)

    def _new(self) -> int:
        """The next mail that the group has not got; waits a little for one."""
        reply = self._store.xreadgroup(self._group, self._name, {self._queue: ">"}, count=1, block=2000)
        for _, entries in reply:
            for entry, fields in entries:
                self._deliver(entry, fields)
        return len(reply)

    def _deliver_again(self, entry: bytes, fields: Fields) -> None:
        deliveries = self._deliveries(entry)
        if deliveries > self._most:  # it kills whoever handles it
            self._end(entry, "Failed", f"given up after {deliveries - 1} deliveries")
        else:
            self._deliver(entry, fields)

    def _deliver(self, entry: bytes, fields: Fields) -> None:
        if not fields:  # people removed it; the script clears it away
            self._end(entry, "Failed", "it is no longer in the queue")
            return
        try:
            detail = self.handle(entry, fields)
        except Unwanted as e:
            self._end(entry, "Filtered", str(e))
        except Hopeless as e:
            self._end(entry, "Failed", str(e))
        except (redis.ConnectionError, redis.TimeoutError):
            raise
        except Exception as e:  # may pass: it stays with us, and after --idle seconds it is delivered again
            deliveries = self._deliveries(entry)
            text = f"delivery {deliveries}: {type(e).__name__}: {e}"
            if deliveries >= self._most:
                self._end(entry, "Failed", text)  # the dead letter
            else:
                self._end(entry, "Step", "", "attempt failed", text)
            print(f"{entry.decode()} failed, {text}", file=sys.stderr, flush=True)
        else:
            self._end(entry, "Processed", detail)

    def handle(self, entry: bytes, fields: Fields) -> str:
        """What this consumer is for; returns what it did, for the log."""
        mail = email.message_from_bytes(self._body(fields), policy=email.policy.default)
        if mail.get("Precedence", "").lower() in ("bulk", "list"):
            raise Unwanted("sent in bulk")
        self._end(entry, "Step", "", "read", f"{len(mail.keys())} headers")
        with self._database:  # the effect, and the note that it was done, in one transaction
            row = (fields[b"id"].decode(), fields[b"subject"].decode(), int(fields[b"size"]))
            new = self._database.execute("INSERT OR IGNORE INTO mails VALUES (?, ?, ?)", row).rowcount
        return "kept" if new else "it was kept before"

    def _deliveries(self, entry: bytes) -> int:
        found = self._store.xpending_range(self._queue, self._group, entry, entry, 1)
        return int(found[0]["times_delivered"]) if found else 0  # 0: people removed it

    def _body(self, fields: Fields) -> bytes:
        raw: bytes | None = fields[b"raw"] if b"raw" in fields else self._store.get(fields[b"blob"])
        if raw is None or hashlib.sha256(raw).hexdigest() != fields[b"sha256"].decode():
            raise Hopeless("the body is not what was stored")
        return raw

    def _end(self, entry: bytes, verdict: str, detail: str, *steps: str) -> None:
        """Ends the delivery, or writes a step of it. May be sent again when the reply was lost."""
        keys = (self._queue, self._marks, self._log)
        words = (self._group, self._name, entry, verdict, detail, *steps)
        for attempt in range(5):
            try:
                self._store.eval(END_DELIVERY, len(keys), *keys, *words)
                return
            except (redis.ConnectionError, redis.TimeoutError):
                if attempt == 4:
                    raise
                time.sleep(2**attempt)


def main() -> None:
    """Runs until SIGTERM; it then finishes the mail that it has in hand."""
    parser = argparse.ArgumentParser(description="Handles the mails of a Mailfetch stream.")
    parser.add_argument("url", help="redis://USER:PASSWORD@HOST:PORT")
    parser.add_argument("--stream", required=True, metavar="NAMESPACE/STREAM")
    parser.add_argument("--group", required=True, help="a consumer group that spec.queue.consumerGroups names")
    parser.add_argument("--consumer", required=True, help="name of this worker, no other may have it")
    parser.add_argument("--database", default="mails.sqlite3", help="where the mails are kept")
    parser.add_argument("--idle", type=float, default=600, help="seconds after which a delivery is tried again")
    parser.add_argument("--deliveries", type=int, default=5, help="deliveries after which a mail is given up")
    parser.add_argument("--once", action="store_true", help="end when the queue is empty")
    args = parser.parse_args()
    store = redis.Redis.from_url(args.url, socket_timeout=30)
    consumer = Consumer(store, sqlite3.connect(args.database), args)

    def stop(number: int, frame: FrameType | None) -> None:
        consumer.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    consumer.run(once=args.once)


if __name__ == "__main__":
    main()
