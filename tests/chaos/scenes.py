"""Runs one case: a mailbox of its own on servers that all cases share, the trap, the fault, the judge, the record."""

import contextlib
import itertools
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.chaos import clocks, judge, stores, strikes_store
from tests.chaos.cases import Case
from tests.chaos.catalogue import Server
from tests.chaos.consumer import GROUP, Consumer
from tests.chaos.faultlist import STRIKES
from tests.chaos.framing import Imap, Pop3
from tests.chaos.judge import Verdict
from tests.chaos.stores import Kind, Store
from tests.chaos.strikes import Scene
from tests.chaos.tap import Tap
from tests.chaos.trap import Trap
from tests.chaos.world import Setup, world
from tests.servers.certs import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.redis import wait_until

RESULTS = os.environ.get("MAILFETCH_CHAOS_RESULTS", "")
WORN = 25
"""Cases after which a store is replaced: its append-only file is read for each."""
SMALL, LARGE = 10, (70_000, 1_300_000)
"""Mails of a case, and the sizes of its blobs; each blob makes another commit."""
SILENT = "3s"
"""Timeout of the mail server in cases that wait for it."""
WAITING = ("silence", "black hole")
NO_MOVE = "IMAP4rev1 SASL-IR UIDPLUS IDLE ESEARCH"


class Rooms:
    """The servers that cases share; started when first needed."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        self._dovecots: dict[bool, Dovecot] = {}
        self._stores: dict[Kind, Store] = {}
        self._numbers = itertools.count(1)

    def dovecot(self, server: Server) -> Dovecot:
        """The mail server of a case."""
        old = server == "imap-old"
        if old not in self._dovecots:
            self._dovecots[old] = Dovecot(self._certificates, capability=NO_MOVE if old else "")
            self._dovecots[old].start()
        return self._dovecots[old]

    def store(self, kind: Kind) -> Store:
        """The Redis of a case."""
        found = self._stores.get(kind)
        if found and found.used >= WORN:
            self._stores.pop(kind).stop()
            found = None
        if found is None:
            found = self._stores[kind] = stores.start(kind)
        found.used += 1
        return found

    def user(self) -> str:
        """A name that nobody has."""
        return f"chaos{next(self._numbers)}@mail.test"

    def close(self) -> None:
        for server in self._dovecots.values():
            server.stop()
        for store in self._stores.values():
            store.stop()


@contextlib.contextmanager
def scene(case: Case, rooms: Rooms, rng: random.Random) -> Iterator[Scene]:
    """A world with taps before its servers."""
    dovecot, store, trap = rooms.dovecot(case.server), rooms.store(case.store), Trap()
    user = rooms.user()
    dovecot.add_user(user, "pass")
    with contextlib.ExitStack() as stack:
        taps, url = store.taps(trap)
        mail = mail_tap(case.server, dovecot, trap)
        for tap in (mail, *taps):
            stack.callback(tap.close)
        stack.callback(trap.unset)
        made = stack.enter_context(
            world(
                directory=Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-"))),
                dovecot=dovecot,
                client=store.client,
                user=user,
                stream=user.partition("@")[0],
                setup=setup_of(case, mail_port=mail.port, redis_url=url),
            )
        )
        if case.fault.startswith("fetcher clock"):
            made.variables = clocks.of_python(made.directory / "clock")
        yield Scene(world=made, trap=trap, rng=rng, mail=mail, redis=taps, store=store)


def mail_tap(server: Server, dovecot: Dovecot, trap: Trap) -> Tap:
    """The proxy before the mail server; it records what touches the mailbox."""
    if server == "pop3":
        return Tap(
            dovecot.pop3_port, via="mail", framing=Pop3, trap=trap, record=judge.TOUCHES["POP3"], answers="^(?i:UIDL)"
        )
    return Tap(dovecot.imap_port, via="mail", framing=Imap, trap=trap, record=judge.TOUCHES["IMAP"])


def setup_of(case: Case, *, mail_port: int, redis_url: str) -> Setup:
    """The connection of a case."""
    spec: dict[str, Any] = {"schedule": {"timeout": SILENT} if case.fault in WAITING else {}}
    if case.point.prepared == "baseline":
        spec["backlog"] = {"startFrom": "Now"}
    if case.point.prepared == "read":
        spec["queue"] = {"consumerGroups": [GROUP], "maxLength": SMALL + len(LARGE) + 2}
    return Setup(
        mail_port=mail_port,
        redis_url=redis_url,
        action=case.action,
        protocol="POP3" if case.server == "pop3" else "IMAP",
        encrypted=False,
        spec=spec,
    )


def run_case(case: Case, rooms: Rooms, rng: random.Random) -> Verdict:
    """One case from an empty mailbox to the verdict, which is written down whatever happens."""
    began = time.monotonic()
    verdict = Verdict(notes=["did not come to its end"])
    try:
        with scene(case, rooms, rng) as stopped:
            prepare(case, stopped)
            if case.fault == "Redis restored":
                strikes_store.copy_made(stopped)
            stopped.trap.set(*case.point.steps)
            stopped.world.start("pod-1")
            assert stopped.trap.wait(), (
                f"the point was not hit, nothing fits {stopped.trap.waits_for}: {stopped.world.told()}"
            )
            stopped.world.check_now()
            STRIKES[case.fault](stopped)
            if case.point.prepared == "baseline":
                mails_after_the_baseline(stopped)
            verdict = finish(stopped)
    except Exception as e:
        verdict.notes = [f"did not come to its end: {e}"]
        raise
    finally:
        record(case, verdict, seconds=time.monotonic() - began)
    return verdict


def prepare(case: Case, stopped: Scene) -> None:
    """Fills the mailbox; some of it may be known already, numbered anew, not wanted, or asked for again."""
    made, rng, prepared = stopped.world, stopped.rng, case.point.prepared
    if prepared == "new":
        made.fill(SMALL, rng, large=LARGE)
        return
    if prepared == "read":
        made.consumer = Consumer(stopped.store.client, made.queue)
    if prepared == "baseline":
        made.fill(SMALL, rng, large=())
        made.kept = made.unwanted = set(made.originals)
        return
    made.configure(action="None")
    made.fill(SMALL, rng, large=LARGE if prepared in ("refetch", "read") else ())
    made.start("pod-0")
    made.wait_until_done()
    made.stop(made.fetchers[0])
    made.configure(action=case.action)
    if prepared == "refetch":
        made.again = set(made.originals)
        made.requests = {"refetch": "since:2000-01-01#1"}
        return
    known = {mail.sha256 for mail in made.originals.values()}
    if prepared == "reset":
        made.dovecot.set_uid_validity(made.user, 1_000_000 + rng.randrange(10**6))
    made.originals = {}
    made.fill(SMALL // 2, rng, large=LARGE)
    made.kept = {uid for uid, mail in made.originals.items() if mail.sha256 in known}


def mails_after_the_baseline(stopped: Scene) -> None:
    """New mails, as soon as the baseline stands; who only polls is started anew, to look at once."""
    made = stopped.world
    wait_until(lambda: made.client.hget(f"{made.keys}:state", "phase") == b"Steady", what="the baseline")
    for fetcher in list(made.fetchers):
        made.stop(fetcher)
    made.fill(SMALL, stopped.rng, large=LARGE)
    made.start("pod-9")


def finish(stopped: Scene) -> Verdict:
    """Lets what is left run to its end, and judges."""
    made = stopped.world
    made.wait_until_done()
    for fetcher in list(made.fetchers):
        made.stop(fetcher)
    verdict = judge.verdict_of(
        made, touches=stopped.mail.sent, moments=stopped.store.durable(made.queue) if stopped.recorded else None
    )
    for log in made.directory.glob("*.log"):
        if "Traceback" in (text := log.read_text()):
            verdict.notes.append(f"internal error: {text[-2000:]}")
    return verdict


def record(case: Case, verdict: Verdict, *, seconds: float) -> None:
    """A line for the table of `docs/guarantees.md`."""
    if not RESULTS:
        return
    line = {
        "server": case.server,
        "point": case.point.id,
        "what": case.point.what,
        "fault": case.fault,
        "action": case.action,
        "store": "valkey9" if case.store == "clocked" else case.store,
        "lost": verdict.lost,
        "doubled": verdict.doubled,
        "early": verdict.early,
        "notes": verdict.notes,
        "seconds": round(seconds, 1),
    }
    with Path(RESULTS).open("a") as file:
        file.write(json.dumps(line) + "\n")
