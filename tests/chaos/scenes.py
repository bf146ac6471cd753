"""Runs one case: a mailbox of its own on servers that all cases share, the trap, the fault, the judge, the record."""

import contextlib
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.chaos import clocks, judge, strikes_store
from tests.chaos.cases import Case
from tests.chaos.consumer import GROUP, Consumer
from tests.chaos.faultlist import STRIKES
from tests.chaos.inboxes import GraphInbox
from tests.chaos.judge import Verdict
from tests.chaos.rooms import PROTOCOLS, Rooms
from tests.chaos.strikes import Scene
from tests.chaos.trap import Trap
from tests.chaos.world import Setup, World, world
from tests.servers.redis import wait_until

RESULTS = os.environ.get("MAILFETCH_CHAOS_RESULTS", "")
SMALL, LARGE = 10, (70_000, 1_300_000)
"""Mails of a case, and the sizes of its blobs; each blob makes another commit."""
SILENT = "3s"
"""Timeout of the mail server in cases that wait for it."""
WAITING = ("silence", "black hole")
PAGE = 5
"""Mails of a page of changes, where there are to be several."""


@contextlib.contextmanager
def scene(case: Case, rooms: Rooms, rng: random.Random) -> Iterator[Scene]:
    """A world with taps before its servers."""
    store, trap = rooms.store(case.store), Trap()
    room = rooms.room(case.server, trap, random.Random(rng.random()))
    with contextlib.ExitStack() as stack:
        taps, url = store.taps(trap)
        for tap in (room.mail, *room.login, *taps):
            stack.callback(tap.close)
        stack.callback(trap.unset)
        made = stack.enter_context(
            world(
                directory=Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-"))),
                inbox=room.inbox,
                client=store.client,
                stream=room.user.partition("@")[0],
                setup=setup_of(case, redis_url=url),
            )
        )
        if case.fault.startswith("fetcher clock"):
            made.variables = clocks.of_python(made.directory / "clock")
        yield Scene(world=made, trap=trap, rng=rng, mail=room.mail, redis=taps, store=store)


def setup_of(case: Case, *, redis_url: str) -> Setup:
    """The connection of a case."""
    spec: dict[str, Any] = {"schedule": {"timeout": SILENT} if case.fault in WAITING else {}}
    if case.point.prepared == "baseline":
        spec["backlog"] = {"startFrom": "Now"}
    if case.point.prepared == "read":
        spec["queue"] = {"consumerGroups": [GROUP], "maxLength": SMALL + len(LARGE) + 2}
    return Setup(
        redis_url=redis_url,
        action=case.action,
        protocol=PROTOCOLS[case.server],
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
            if case.point.prepared == "running":
                let_poll(stopped.world)
            stopped.trap.set(*case.point.steps)
            if case.point.prepared == "running":
                stopped.world.fill(SMALL // 2, rng, large=LARGE)
            else:
                stopped.world.start("pod-1")
            assert stopped.trap.wait(), (
                f"the point was not hit, nothing fits {stopped.trap.waits_for}: {stopped.world.told()}"
            )
            stopped.world.check_now()
            STRIKES[case.fault](stopped)
            if case.point.prepared in ("baseline", "quiet"):
                mails_afterwards(stopped)
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
    if prepared in ("new", "paged"):
        if prepared == "paged":
            assert isinstance(made.inbox, GraphInbox)
            made.inbox.mailbox.largest_page = PAGE
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
    if prepared in ("quiet", "running"):
        made.kept = set(made.originals)
        return
    if prepared == "left":
        some_leave(made, rng)
        return
    known = {mail.sha256 for mail in made.originals.values()}
    if prepared == "reset":
        made.inbox.number_anew(1_000_000 + rng.randrange(10**6))
    made.originals = {}
    made.fill(SMALL // 2, rng, large=LARGE)
    made.kept = {uid for uid, mail in made.originals.items() if mail.sha256 in known}


def some_leave(made: World, rng: random.Random) -> None:
    """People remove mails that are known, and others come; the news of both do not fit on one page."""
    assert isinstance(made.inbox, GraphInbox)
    made.kept = set(made.originals)
    made.left = set(rng.sample(sorted(made.originals), 3))
    for number in made.left:
        made.inbox.remove(number)
    made.fill(SMALL // 2, rng, large=LARGE)
    made.inbox.mailbox.largest_page = len(made.left)


def mails_afterwards(stopped: Scene) -> None:
    """New mails, as soon as nothing is left to do; who only polls is started anew, to look at once."""
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
    if made.setup.protocol == "MicrosoftGraph":
        one_more_round(made)
    verdict = judge.verdict_of(
        made, touches=stopped.mail.sent, moments=stopped.store.durable(made.queue) if stopped.recorded else None
    )
    for log in made.directory.glob("*.log"):
        if "Traceback" in (text := log.read_text()):
            verdict.notes.append(f"internal error: {text[-2000:]}")
    return verdict


def let_poll(made: World, pod_uid: str = "pod-1") -> None:
    """A fetcher has done everything that there is to do, and will look again."""
    fetcher = made.start(pod_uid)
    wait_until(lambda: fetcher.report().get("phase") == "Polling", what=f"{pod_uid} polls")


def one_more_round(made: World) -> None:
    """What was done wrong in one round may come up in the next one only: a mail that is told of again, a lost link."""
    let_poll(made, "pod-7")
    made.stop(made.fetchers[0])


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
